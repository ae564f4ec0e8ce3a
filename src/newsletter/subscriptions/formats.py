"""The CSV exports of other programs: how each is known, what of it is read, and how one is written.

Columns are compared in lower case. What a program exports is not what it must export: a column too many is no error,
as people give their audiences fields of their own.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from newsletter.errors import InputError
from newsletter.model import Standing
from newsletter.subscriptions.row import Row, instant_of, language_of, timezone_of

Cells = Mapping[str, str]  # by column; an empty cell is not in it
#: What a conversion may say beside our own columns: the words after an underscore are none of ours.
TAGS, TOLD, NOTE, IP = "_tags", "_told", "_note", "_ip"
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{1,6})?\d* ([+-]\d{4})( \S+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One program's export: `known_by` are sets of columns of which one must be there whole.

    `read` turns its cells into ours, knowing all columns of the file; `write` gives the cells of `columns`, and
    `also` the columns that a file of people of one other standing has besides.
    """

    name: str
    title: str
    known_by: tuple[frozenset[str], ...]
    read: Callable[[Cells, frozenset[str]], dict[str, str]]
    columns: tuple[str, ...]
    write: Callable[[Row], Sequence[str]]
    also: Mapping[Standing, str] | None = None


def _sets(*columns: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split("|")) for one in columns)


def recognise(columns: Sequence[str]) -> Format | None:
    """Return the program that exports these columns, None when it is none that we know."""
    there = frozenset(columns)
    return next((one for one in FORMATS.values() if any(known <= there for known in one.known_by)), None)


# What several share


def _first(cells: Cells, *columns: str) -> str:
    return next((cells[one] for one in columns if cells.get(one)), "")


def _name(cells: Cells) -> str:
    parts = (
        _first(cells, "first name", "first_name", "fname"),
        _first(cells, "last name", "last_name", "lname"),
    )
    return _first(cells, "name", "full name") or " ".join(filter(None, parts))


def _when(text: str, column: str) -> str:
    """Return an instant as ISO 8601; Go's way of writing one is read, and no zone means UTC."""
    match = _GO_TIME.fullmatch(text)
    value = instant_of(f"{match[1]}T{match[2]}{match[3] or ''}{match[4]}" if match else text, column)
    return value.isoformat() if value else ""


def _kept(ours: dict[str, str], told: Mapping[str, str]) -> None:
    """Keep language and zone where they are ones; a program's guess at them refuses nobody."""
    left = []
    for column, check in (("language", language_of), ("timezone", timezone_of)):
        try:
            ours[column] = check(told.get(column, ""))
        except InputError as e:
            left.append(f"{e.what}, so it was left out")
    ours[NOTE] = "; ".join(left)


def _object(text: str, column: str) -> dict[str, str]:
    """Return the texts of a JSON object in a cell."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as e:
        raise InputError(f"{column} is not JSON", remedy="Export anew") from e
    return {k: v.strip() for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def _tags(text: str) -> str:
    """Return tags with line breaks between them; quoted ones are read as Mailchimp writes them."""
    found = next(csv.reader([text], skipinitialspace=True), []) if text else []
    return "\n".join(tag.strip() for tag in found if tag.strip())


def _told(title: str, cells: Cells, *columns: str) -> str:
    """Quote what an export says of the consent, as it stands there."""
    said = ", ".join(
        f"{one.upper() if title == 'Mailchimp' else one} {cells[one]}" for one in columns if cells.get(one)
    )
    return f"{title} export: {said}" if said else f"{title} export"


def _iso(value: datetime | None) -> str:
    return (
        ""
        if value is None
        else value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _plain_time(value: datetime | None) -> str:
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


# Mailchimp: a file each for subscribed, unsubscribed and cleaned contacts. Times are UTC.

_MAILCHIMP = {
    "subscribed": "active",
    "unsubscribed": "unsubscribed",
    "cleaned": "cleaned",
    "archived": "unsubscribed",
    "pending": "pending",
}


def _read_mailchimp(cells: Cells, columns: frozenset[str]) -> dict[str, str]:
    status = cells.get("status", "").lower()
    if status.replace("-", "") in ("nonsubscribed", "transactional"):
        raise InputError("a non-subscribed contact of Mailchimp's never agreed", remedy="Ask the person")
    ours = {
        "email": _first(cells, "email address", "email", "e-mail address"),
        "name": _name(cells),
        "status": _MAILCHIMP.get(status, status),
    }
    if "clean_time" in columns or "clean_campaign_id" in columns:
        ours |= {"status": "cleaned", "since": _when(cells.get("clean_time", ""), "CLEAN_TIME")}
    elif "unsub_time" in columns or "unsub_campaign_id" in columns:
        complained = re.search(r"spam|abuse", cells.get("unsub_reason", ""), re.I)
        ours["status"] = "complained" if complained else "unsubscribed"
        ours["since"] = _when(cells.get("unsub_time", ""), "UNSUB_TIME")
    _kept(ours, {"timezone": cells.get("timezone", "")})
    ours[TAGS] = _tags(cells.get("tags", ""))
    ours[TOLD] = _told("Mailchimp", cells, "optin_time", "confirm_time")
    ours[IP] = _first(cells, "confirm_ip", "optin_ip")
    agreed = _when(_first(cells, "confirm_time", "optin_time"), "CONFIRM_TIME")
    ours["consent_at"] = agreed
    if agreed and (cells.get("optin_time") or ours[IP]):  # what an importer wrote into Mailchimp has neither
        ours["consent_source"] = "confirmed" if cells.get("confirm_ip") else "signed up"
    return ours


def _write_mailchimp(row: Row) -> Sequence[str]:
    first, _, last = row.name.partition(" ")
    agreed = _plain_time(row.consent_at)
    return row.address, first, last, agreed, agreed, row.timezone, _plain_time(row.since)


# listmonk: one file; the standing on a list is not in it.

_LISTMONK = {"enabled": "active", "disabled": "unsubscribed", "blocklisted": "suppressed"}


def _read_listmonk(cells: Cells, columns: frozenset[str]) -> dict[str, str]:
    attributes = _object(cells.get("attributes", ""), "attributes")
    status = cells.get("status", "enabled").lower()
    ours = {"email": cells.get("email", ""), "name": _name(cells), "status": _LISTMONK.get(status, status)}
    _kept(ours, attributes)
    ours["consent_at"] = _when(cells.get("created_at", ""), "created_at")
    ours[TOLD] = _told("listmonk", cells, "created_at")
    return ours


def _write_listmonk(row: Row) -> Sequence[str]:
    told = {name: value for name in ("language", "timezone") if (value := getattr(row, name))}
    status = "blocklisted" if row.standing is Standing.SUPPRESSED else "enabled"
    return row.address, row.name, json.dumps(told, ensure_ascii=False), status, _iso(row.consent_at)


# Ghost


def _read_ghost(cells: Cells, columns: frozenset[str]) -> dict[str, str]:
    wanted = _first(cells, "subscribed_to_emails", "subscribed").lower()
    if wanted not in ("true", "false"):
        raise InputError("subscribed_to_emails says neither true nor false", remedy="Export anew")
    stays = wanted == "true" and not cells.get("deleted_at")
    return {
        "email": cells.get("email", ""),
        "name": _name(cells),
        "status": "active" if stays else "unsubscribed",
        "consent_at": _when(cells.get("created_at", ""), "created_at"),
        TAGS: "\n".join((_tags(cells.get("labels", "")), _tags(cells.get("newsletters", "")))),
        TOLD: _told("Ghost", cells, "created_at"),
    }


def _write_ghost(row: Row) -> Sequence[str]:
    mailed = "true" if row.standing in (Standing.ACTIVE, Standing.PAUSED) else "false"
    return (
        row.address,
        row.name,
        mailed,
        "false",
        _iso(row.consent_at),
        row.newsletters[0] if row.newsletters else "",
    )


# Substack: `email_list.….csv` of a whole export, or the file of the page of subscribers.


def _read_substack(cells: Cells, columns: frozenset[str]) -> dict[str, str]:
    off = cells.get("email_disabled", "false").lower() == "true"
    return {
        "email": cells.get("email", ""),
        "name": _name(cells),
        "status": "unsubscribed" if off else "active",
        "consent_at": _when(_first(cells, "created_at", "start date"), "created_at"),
        TOLD: _told("Substack", cells, "created_at", "start date", "subscription source (free)"),
    }


def _write_substack(row: Row) -> Sequence[str]:
    off = "false" if row.standing in (Standing.ACTIVE, Standing.PAUSED) else "true"
    return row.address, "false", off, _iso(row.consent_at)


# Buttondown: the names of its API, or the labels of its page.

_BUTTONDOWN = {
    **dict.fromkeys(
        ("regular", "premium", "gifted", "trialed", "churning", "churned", "past_due", "unpaid", "upcoming"),
        "active",
    ),
    "unactivated": "pending",
    **dict.fromkeys(
        ("unsubscribed", "removed", "disabled", "paused", "blocked", "spammy", "malformed"), "unsubscribed"
    ),
    "undeliverable": "bounced",
    "complained": "complained",
}


def _read_buttondown(cells: Cells, columns: frozenset[str]) -> dict[str, str]:
    kind = _first(cells, "type", "subscriber_type", "subscriber type", "status").lower()
    gone = _first(cells, "unsubscription_date", "unsubscription date")
    lost = _first(cells, "undeliverability_date", "undeliverability date")
    kind = kind or ("undeliverable" if lost else "unsubscribed" if gone else "regular")
    metadata = _object(cells.get("metadata", ""), "metadata")
    began = _first(cells, "creation_date", "subscription date", "subscription_date")
    ours = {
        "email": _first(cells, "email_address", "email", "email address"),
        "name": _name(metadata) or _name(cells),
        "status": _BUTTONDOWN.get(kind, kind),
        "since": _when(lost or gone, "unsubscription_date"),
        "consent_at": _when(began, "creation_date"),
        TAGS: _tags(cells.get("tags", "")),
        TOLD: _told("Buttondown", cells, "creation_date", "subscription date", "source"),
        IP: _first(cells, "ip_address", "ip address"),
    }
    _kept(ours, metadata)
    return ours


def _write_buttondown(row: Row) -> Sequence[str]:
    kinds = {
        Standing.UNSUBSCRIBED: "unsubscribed",
        Standing.SUPPRESSED: "undeliverable",
        Standing.PENDING: "unactivated",
    }
    told = {name: value for name in ("name", "language", "timezone") if (value := getattr(row, name))}
    kind, tags = kinds.get(row.standing, "regular"), ", ".join(row.newsletters)
    return row.address, _iso(row.consent_at), kind, tags, json.dumps(told, ensure_ascii=False)


FORMATS = {
    one.name: one
    for one in (
        Format(
            name="mailchimp",
            title="Mailchimp",
            known_by=_sets("leid", "euid", "member_rating", "optin_time", "clean_time", "unsub_time"),
            read=_read_mailchimp,
            columns=("Email Address", "First Name", "Last Name", "OPTIN_TIME", "CONFIRM_TIME", "TIMEZONE"),
            write=_write_mailchimp,
            also={Standing.UNSUBSCRIBED: "UNSUB_TIME", Standing.SUPPRESSED: "CLEAN_TIME"},
        ),
        Format(
            name="ghost",
            title="Ghost",
            known_by=_sets(
                "email|subscribed_to_emails", "email|complimentary_plan", "email|stripe_customer_id"
            ),
            read=_read_ghost,
            columns=("email", "name", "subscribed_to_emails", "complimentary_plan", "created_at", "labels"),
            write=_write_ghost,
        ),
        Format(
            name="listmonk",
            title="listmonk",
            known_by=_sets("email|uuid|attributes", "email|attributes"),
            read=_read_listmonk,
            columns=("email", "name", "attributes", "status", "created_at"),
            write=_write_listmonk,
        ),
        Format(
            name="substack",
            title="Substack",
            known_by=_sets("email|active_subscription", "email|email_disabled", "email|start date|type"),
            read=_read_substack,
            columns=("email", "active_subscription", "email_disabled", "created_at"),
            write=_write_substack,
        ),
        Format(
            name="buttondown",
            title="Buttondown",
            known_by=_sets(
                "email_address", "email|creation_date", "email|subscriber_type", "email|subscription date"
            ),
            read=_read_buttondown,
            columns=("email_address", "creation_date", "type", "tags", "metadata"),
            write=_write_buttondown,
        ),
    )
}
