"""The kinds of values that the configuration's keys take; each refusal says what is needed."""

from __future__ import annotations

import ipaddress
import re
from datetime import time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NOT_ON_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_LINE = 300  # characters
_WEB_PATH = re.compile(r"/(?!/)[^\s\"'\\$;{}<>?#%|^`*]*")  # what stands in the files of any web server
_GENERIC = ("serif", "sans-serif", "monospace", "cursive", "fantasy", "system-ui")


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("an absolute http:// or https:// URL without credentials is needed")
    if not value.isprintable() or " " in value or parts.port == 0:  # .port refuses what is no number
        raise ValueError("a URL without spaces and control characters is needed")
    return value


def _base_url(value: str) -> str:
    value = _url(value)
    if urlsplit(value).query or urlsplit(value).fragment:
        raise ValueError("a URL without query and fragment is needed")
    return value if value.endswith("/") else value + "/"


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as e:
        raise ValueError("an IANA time zone is needed, such as Europe/Brussels") from e
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name of lower-case letters, digits and hyphens is needed, such as weekly")
    return value


def _language(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        raise ValueError("a language tag (BCP 47) is needed, such as en-AU")
    return value


_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?/ ?(s|min|h)")
_PERIODS = {"s": 1, "min": 60, "h": 3600}


def _colour(value: str) -> str:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
        raise ValueError("a colour of six hexadecimal digits is needed, such as #0b5c7a")
    if value.lower() in ("#000000", "#ffffff"):
        raise ValueError("a colour beside pure black or white is needed, such as #14181c or #fdfcfa")
    return value.lower()


def _fonts(value: str) -> str:
    if re.search(r"[;{}<>\\@\x00-\x1f\x7f]|\burl\s*\(|/\*", value, re.I):
        raise ValueError("a list of font names is needed, without url( and none of ; { } < > \\ @")
    bare = re.sub(r"'[^'\"]*'|\"[^'\"]*\"", "name", value)
    if "'" in bare or '"' in bare:
        raise ValueError("each quote of a font's name must be closed by the same")
    families = [one.strip() for one in bare.split(",")]
    if not all(re.fullmatch(r"-?[A-Za-z][\w -]*", one) for one in families):
        raise ValueError("font names are needed, with commas between them, other signs in quotes")
    if families[-1].lower() not in _GENERIC:
        raise ValueError(f"the last name must be a generic family: {', '.join(_GENERIC)}")
    return value


def _address(value: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as e:
        raise ValueError(f"an e-mail address is needed: {e}") from e


def _host(value: str) -> str:
    if value and not _HOST.fullmatch(value.lower()):
        raise ValueError(
            "a host name in ASCII letters, digits and hyphens is needed, such as mail.example.org"
        )
    return value.lower()


def _origin(value: str) -> str:
    parts = urlsplit(_url(value))
    if value != f"{parts.scheme}://{parts.netloc}".lower():
        raise ValueError("an origin is needed, such as https://example.org: lower case, without a path")
    return value


def _optional_url(value: str) -> str:
    return _url(value) if value else ""


def _authority(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not _HOST.fullmatch(domain) or bool(at) != bool(re.fullmatch(r"[A-Za-z0-9._-]+", local)):
        raise ValueError("a domain or e-mail address of yours in lower case is needed, such as example.org")
    return value


def _line(value: str) -> str:
    if _NOT_ON_A_LINE.search(value):
        raise ValueError("one line of text without control characters is needed")
    if len(value) > _LONGEST_LINE:
        raise ValueError(f"at most {_LONGEST_LINE} characters are allowed")
    return value


def parse_duration(value: object) -> timedelta:
    """Read a duration such as `90s`, `15m`, `12h`, `2d` or `1w`; ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError('a duration in quotes is needed, such as "90s", "15m", "12h", "2d" or "1w"')
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not 1 <= seconds <= 100 * 365 * 86400:
        raise ValueError("a duration of one second to a hundred years is needed")
    return timedelta(seconds=seconds)


def _rate(value: Any) -> Any:
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError('a rate in quotes is needed, such as "10/s", "300/min" or "5000/h"')
    rate = float(match[1]) / _PERIODS[match[2]]
    if not 1 / 3600 <= rate <= 1_000_000:
        raise ValueError("a rate of one message an hour to a million a second is needed")
    return rate


def _listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    known = re.fullmatch(r"\[[0-9A-Fa-f:.]+\]", host) or (host and _HOST.fullmatch(host.lower()))
    if value and not (known and port.isdecimal() and int(port) <= 65535):
        raise ValueError("a host and a port are needed, such as 127.0.0.1:2424 or [::1]:2424")
    return value


def _local_time(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("a local time is needed, such as 07:00; the zone is a key of its own")
    return value


def _web_path(value: str) -> str:
    if not _WEB_PATH.fullmatch(value) or not value.isprintable():
        raise ValueError("a path from the root is needed, such as /old/feed.xml, as a browser shows it")
    return value


def _target(value: str) -> str:
    return _web_path(value) if value.startswith("/") else _url(value)


def _ip_address(value: str) -> str:
    return str(ipaddress.ip_address(value))


Url = Annotated[str, AfterValidator(_url)]
OptionalUrl = Annotated[str, AfterValidator(_optional_url)]
Origin = Annotated[str, AfterValidator(_origin)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name)]
Language = Annotated[str, AfterValidator(_language)]
Colour = Annotated[str, AfterValidator(_colour)]
Fonts = Annotated[str, AfterValidator(_line), AfterValidator(_fonts)]  # as CSS's font-family
Address = Annotated[str, AfterValidator(_address)]
WebPath = Annotated[str, AfterValidator(_web_path)]
Target = Annotated[str, AfterValidator(_target)]  # a path or a URL
IpAddress = Annotated[str, AfterValidator(_ip_address)]
Host = Annotated[str, AfterValidator(_host)]  # may be empty: then it is not set
Listen = Annotated[str, AfterValidator(_listen)]  # may be empty
Authority = Annotated[str, AfterValidator(_authority)]  # RFC 4151's authorityName
Line = Annotated[str, AfterValidator(_line)]  # fit for a header
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Rate = Annotated[float, BeforeValidator(_rate)]  # a second
LocalTime = Annotated[time, AfterValidator(_local_time)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
