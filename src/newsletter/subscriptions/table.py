"""Our CSV format: one line a person and standing; pure, from bytes to rows and back.

UTF-8, a BOM or not, `,` or `;`, LF or CRLF. A line is read by itself, so that a wrong one spoils no other; a cell
therefore holds no line break. Cells that a spreadsheet would run as a formula get a `'` before them, which reading
takes away again.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from newsletter.errors import InputError
from newsletter.model import Standing
from newsletter.subscriptions.address import name_of, normalise, unseen

COLUMNS = (
    "email",
    "name",
    "newsletters",
    "language",
    "timezone",
    "status",
    "consent_at",
    "consent_source",
    "paused_until",
)
LONGEST_LINE = 16_384  # bytes
AGREED = "agreed "  # how the consent ledger tells an imported consent: `agreed INSTANT: SOURCE`
#: What other programs call a standing.
_STATUSES = {one.value: one for one in Standing} | {
    "": Standing.ACTIVE,
    "subscribed": Standing.ACTIVE,
    "cleaned": Standing.SUPPRESSED,
    "bounced": Standing.SUPPRESSED,
    "complained": Standing.SUPPRESSED,
}
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_REMEDY = f"The columns are {', '.join(COLUMNS)}; email alone is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one line says of one person. An empty value says nothing."""

    line: int
    address: str
    name: str = ""
    newsletters: tuple[str, ...] = ()
    language: str = ""
    timezone: str = ""
    standing: Standing = Standing.ACTIVE
    consent_at: datetime | None = None
    consent_source: str = ""
    paused_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that is not a row, and why."""

    line: int
    address: str
    why: str


def read(lines: Iterable[bytes], *, where: str) -> Iterator[Row | Refused]:
    """Give a row or a refusal for each line after the header, blank ones left out.

    Raises InputError when the header is not ours; `where` names the file.
    """
    numbered = enumerate(lines, start=1)
    _, first = next(numbered, (0, b""))
    columns, delimiter = _header(first, where)
    for number, line in numbered:
        if not line.strip(b"\r\n\t ,;"):
            continue
        cells: dict[str, str] = {}
        try:
            cells = _cells(line, columns, delimiter)
            yield _row(number, cells)
        except InputError as e:
            shown = cells.get("email", "")
            yield Refused(line=number, address="" if unseen(shown) else shown[:254], why=str(e))


def lines_of(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Cut a file into lines; of one that is too long only the beginning is kept, for the refusal."""
    while line := stream.readline(LONGEST_LINE + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(LONGEST_LINE)):
            pass
        yield line


def write(rows: Iterable[Row]) -> Iterator[str]:
    """Give the lines of a file that `read` reads back, the header first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    yield _taken(buffer)
    for row in rows:
        writer.writerow(
            neutralise(cell)
            for cell in (
                row.address,
                row.name,
                " ".join(row.newsletters),
                row.language,
                row.timezone,
                row.standing.value,
                _instant_text(row.consent_at),
                row.consent_source,
                _instant_text(row.paused_until),
            )
        )
        yield _taken(buffer)


def neutralise(cell: str) -> str:
    """Put a `'` before what a spreadsheet would run as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and _NEUTRALISED.match(cell) else cell


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _instant_text(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).isoformat()


def _header(line: bytes, where: str) -> tuple[list[str], str]:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("the file is UTF-16", where=where, remedy="Save it as CSV in UTF-8")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError("the file is not UTF-8 text", where=where, remedy="Save it as CSV in UTF-8") from e
    delimiter = ";" if text.count(";") > text.count(",") else ","
    columns = [name.strip().lower() for name in _split(text, delimiter)]
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1, 0.5)
            remedy = f"Did you mean {near[0]}? {_REMEDY}" if near else _REMEDY
            raise InputError(f"the column {name[:40]!r} is not known", where=f"{where}:1", remedy=remedy)
        if columns.count(name) > 1:
            raise InputError(f"the column {name} stands there twice", where=f"{where}:1", remedy=_REMEDY)
    if "email" not in columns:
        raise InputError("the column email is missing", where=f"{where}:1", remedy=_REMEDY)
    return columns, delimiter


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter, strict=True), [])
    except csv.Error as e:
        raise InputError(f"the line cannot be cut into cells: {e}", remedy="Mend its quotes") from e


def _cells(line: bytes, columns: list[str], delimiter: str) -> dict[str, str]:
    if len(line) > LONGEST_LINE:
        raise InputError(f"the line is longer than {LONGEST_LINE} bytes", remedy="Shorten it")
    try:
        text = line.decode()
    except UnicodeDecodeError as e:
        raise InputError("the line is not UTF-8 text", remedy="Save the file as CSV in UTF-8") from e
    cells = _split(text, delimiter)
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise InputError(
            f"the line has {len(cells)} cells, the header {len(columns)}",
            remedy="Quote cells with delimiters",
        )
    return {name: _plain(cell.strip(" ")) for name, cell in zip(columns, cells, strict=False) if cell}


def _row(number: int, cells: dict[str, str]) -> Row:
    get = cells.get
    return Row(
        line=number,
        address=normalise(get("email", "")),
        name=name_of(get("name", "")),
        newsletters=tuple(dict.fromkeys(re.findall(r"[^\s,;|]+", get("newsletters", "")))),
        language=language_of(get("language", "")),
        timezone=timezone_of(get("timezone", "")),
        standing=_standing(get("status", "")),
        consent_at=_instant(get("consent_at", ""), "consent_at"),
        consent_source=_said(get("consent_source", "")),
        paused_until=_instant(get("paused_until", ""), "paused_until"),
    )


def _standing(word: str) -> Standing:
    standing = _STATUSES.get(word.lower())
    if standing is None:
        near = difflib.get_close_matches(word.lower(), [*Standing], 1)
        known = ", ".join(Standing)
        remedy = f"Did you mean {near[0]}?" if near else f"Known: {known}"
        raise InputError(f"the status {word[:40]!r} is not known", remedy=remedy)
    return standing


def language_of(tag: str) -> str:
    """Return a language tag (BCP 47), or raise InputError."""
    if tag and not _LANGUAGE.fullmatch(tag):
        raise InputError(f"{tag[:40]!r} is not a language tag", remedy="Write one such as en-AU")
    return tag


def timezone_of(name: str) -> str:
    """Return the name of a time zone, or raise InputError."""
    try:
        return name and ZoneInfo(name).key
    except (KeyError, ValueError, OSError) as e:
        raise InputError(
            f"{name[:40]!r} is not an IANA time zone", remedy="Write one such as Europe/Brussels"
        ) from e


def _instant(text: str, column: str) -> datetime | None:
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise InputError(
            f"{column} {text[:40]!r} is not a date", remedy="Write 2026-11-23 or 2026-11-23T09:30:00+01:00"
        ) from e


def _said(text: str) -> str:
    if unseen(text) or len(text) > 1000:
        raise InputError("consent_source is not one short line of text", remedy="Shorten it")
    return text
