"""CSV: from bytes to rows and back; pure. Our own format is one line a person and newsletter.

UTF-8, a BOM or not, `,` or `;`, LF or CRLF. A line is read by itself, so that a wrong one spoils no other; only a
quoted cell that is closed some lines later joins them. Cells that a spreadsheet would run as a formula get a `'`
before them, which reading takes away again.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from newsletter.errors import InputError
from newsletter.model import Standing
from newsletter.subscriptions.address import name_of, normalise, unseen
from newsletter.subscriptions.formats import FORMATS, IP, NOTE, TAGS, TOLD, Format, recognise
from newsletter.subscriptions.row import (
    Refused,
    Row,
    instant_of,
    language_of,
    newsletters_of,
    reason_of,
    said,
    standing_of,
    timezone_of,
    wording_of,
)

OWN = "newsletter"  # the name of our own format
COLUMNS = (
    "email",
    "name",
    "newsletters",
    "language",
    "timezone",
    "status",
    "since",
    "reason",
    "consent_at",
    "consent_source",
    "consent_wording",
    "consent_language",
    "paused_until",
)
LONGEST_LINE = 16_384  # bytes
_MOST_JOINED = 200  # lines that one quoted cell may reach over
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")
_REMEDY = f"The columns are {', '.join(COLUMNS)}; email alone is needed"


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line says: the columns, what stands between them, and whose export it is (None: ours)."""

    columns: tuple[str, ...]
    delimiter: str
    format: Format | None


def read(lines: Iterable[bytes], *, where: str, program: str = "") -> Iterator[Row | Refused]:
    """Give a row or a refusal for each line after the header, blank ones left out.

    Raises InputError when the header is neither ours nor one that another program exports, or not that of the
    `program` that is asked for; `where` names the file.
    """
    return read_with(lines, where=where, program=program)[1]


def read_with(
    lines: Iterable[bytes], *, where: str, program: str = ""
) -> tuple[Header, Iterator[Row | Refused]]:
    """Do the same, and return the header too."""
    numbered = enumerate(lines, start=1)
    _, first = next(numbered, (0, b""))
    header = _header(first, where, program)
    return header, _rows(numbered, header)


def _rows(numbered: Iterator[tuple[int, bytes]], header: Header) -> Iterator[Row | Refused]:
    there = frozenset(header.columns)
    theirs = header.format
    for number, line in _joined(numbered, header):
        if not line.strip(b"\r\n\t ,;"):
            continue
        cells: Mapping[str, str] = {}
        try:
            cells = _cells(line, header)
            if theirs is not None:
                cells = theirs.read(cells, there)
            yield _row(number, cells)
        except InputError as e:
            shown = cells.get("email", "") or cells.get("email address", "") or cells.get("email_address", "")
            yield Refused(line=number, address="" if unseen(shown) else shown[:254], why=str(e))


def lines_of(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Cut a file into lines; of one that is too long only the beginning is kept, for the refusal."""
    while line := stream.readline(LONGEST_LINE + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(LONGEST_LINE)):
            pass
        yield line


def _joined(numbered: Iterator[tuple[int, bytes]], header: Header) -> Iterator[tuple[int, bytes]]:
    """Join the lines of a quoted cell, where that gives as many cells as the header has; else leave them alone."""
    ahead: deque[tuple[int, bytes]] = deque()
    while one := ahead.popleft() if ahead else next(numbered, None):
        number, line = one
        if line.count(b'"') % 2 == 0:
            yield one
            continue
        taken, whole = 0, line
        while whole.count(b'"') % 2 and taken < _MOST_JOINED and len(whole) <= LONGEST_LINE:
            if taken == len(ahead):
                more = next(numbered, None)
                if more is None:
                    break
                ahead.append(more)
            whole += ahead[taken][1]
            taken += 1
        if _is_record(whole, header):
            for _ in range(taken):
                ahead.popleft()
            yield number, whole
        else:
            yield one


def _is_record(line: bytes, header: Header) -> bool:
    try:
        return len(_split(line.decode(), header.delimiter)) == len(header.columns)
    except (InputError, UnicodeDecodeError):
        return False


# Writing


def write(rows: Iterable[Row], *, program: str = OWN, standing: Standing | None = None) -> Iterator[str]:
    """Give the lines of a file that `read` reads back, the header first; `standing` is that of all rows."""
    theirs = None if program == OWN else FORMATS[program]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    columns: Sequence[str] = COLUMNS if theirs is None else theirs.columns
    if theirs is not None and theirs.also and standing is not None and standing in theirs.also:
        columns = (*columns, theirs.also[standing])
    writer.writerow(columns)
    yield _taken(buffer)
    for row in rows:
        cells = _own_cells(row) if theirs is None else theirs.write(row)[: len(columns)]
        writer.writerow([neutralise(cell) if cell else "" for cell in cells])
        yield _taken(buffer)


def _own_cells(row: Row) -> Sequence[str]:
    return (
        row.address,
        row.name,
        " ".join(row.newsletters),
        row.language,
        row.timezone,
        row.standing.value,
        _instant_text(row.since),
        row.reason.value if row.standing is Standing.SUPPRESSED else "",
        _instant_text(row.consent_at),
        row.consent_source,
        row.consent_wording,
        row.consent_language,
        _instant_text(row.paused_until),
    )


def neutralise(cell: str) -> str:
    """Put a `'` before what a spreadsheet would run as a formula."""
    return f"'{cell}" if cell[:1] in "'=+-@\t\r" and _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and _NEUTRALISED.match(cell) else cell


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _instant_text(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).isoformat()


# Reading


def _header(line: bytes, where: str, program: str) -> Header:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("the file is UTF-16", where=where, remedy="Save it as CSV in UTF-8")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError("the file is not UTF-8 text", where=where, remedy="Save it as CSV in UTF-8") from e
    delimiter = ";" if text.count(";") > text.count(",") else ","
    columns = tuple(name.strip().lower() for name in _split(text, delimiter))
    ours = set(columns) <= set(COLUMNS) and "email" in columns
    theirs = FORMATS.get(program) or (None if ours or program == OWN else recognise(columns))
    if theirs is None:
        _check_own(columns, where)
    elif program and not any(known <= set(columns) for known in theirs.known_by):
        wanted = " or ".join(", ".join(sorted(known)) for known in theirs.known_by)
        raise InputError(
            f"the file has no column of a {theirs.title} export",
            where=f"{where}:1",
            remedy=f"Expected: {wanted}",
        )
    return Header(columns, delimiter, theirs)


def _check_own(columns: Sequence[str], where: str) -> None:
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1, 0.5)
            remedy = f"Did you mean {near[0]}? {_REMEDY}" if near else _REMEDY
            raise InputError(f"the column {name[:40]!r} is not known", where=f"{where}:1", remedy=remedy)
        if columns.count(name) > 1:
            raise InputError(f"the column {name} stands there twice", where=f"{where}:1", remedy=_REMEDY)
    if "email" not in columns:
        raise InputError("the column email is missing", where=f"{where}:1", remedy=_REMEDY)


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter, strict=True), [])
    except csv.Error as e:
        raise InputError(f"the line cannot be cut into cells: {e}", remedy="Mend its quotes") from e


def _cells(line: bytes, header: Header) -> dict[str, str]:
    if len(line) > LONGEST_LINE:
        raise InputError(f"the line is longer than {LONGEST_LINE} bytes", remedy="Shorten it")
    try:
        text = line.decode()
    except UnicodeDecodeError as e:
        raise InputError("the line is not UTF-8 text", remedy="Save the file as CSV in UTF-8") from e
    columns, delimiter = header.columns, header.delimiter
    cells = _split(text, delimiter) if '"' in text else text.rstrip("\r\n").split(delimiter)
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise InputError(
            f"the line has {len(cells)} cells, the header {len(columns)}",
            remedy="Quote cells with delimiters",
        )
    if "'" in text:
        cells = [_plain(cell.strip(" ")) for cell in cells]
    return {name: cell.strip(" ") for name, cell in zip(columns, cells, strict=False) if cell}


def _row(number: int, cells: Mapping[str, str]) -> Row:
    get = cells.get
    status = get("status", "")
    tags = get(TAGS)
    return Row(
        line=number,
        address=normalise(get("email", "")),
        name=name_of(get("name", "")),
        newsletters=newsletters_of(get("newsletters", "")),
        language=language_of(get("language", "")),
        timezone=timezone_of(get("timezone", "")),
        standing=standing_of(status),
        since=instant_of(get("since", ""), "since"),
        reason=reason_of(get("reason", ""), status),
        consent_at=instant_of(get("consent_at", ""), "consent_at"),
        consent_source=said(get("consent_source", "")),
        consent_wording=wording_of(get("consent_wording", "")),
        consent_language=language_of(get("consent_language", "")),
        paused_until=instant_of(get("paused_until", ""), "paused_until"),
        tags=tuple(filter(None, tags.split("\n"))) if tags else (),
        told=said(get(TOLD, ""), "what it says of the consent"),
        note=get(NOTE, ""),
        ip=get(IP, ""),
    )
