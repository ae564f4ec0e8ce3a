"""Values of the configuration's keys are right or refused, whatever is written there."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from newsletter.config.fields import Address, Duration, Host, Line, Url, Zone

duration: TypeAdapter[timedelta] = TypeAdapter(Duration)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@given(st.integers(1, 5000), st.sampled_from("smhdw"), st.sampled_from(["", " ", "  "]))
def test_durations(number: int, unit: str, space: str) -> None:
    assert duration.validate_python(f"{number}{space}{unit}") == timedelta(seconds=number * SECONDS[unit])


def accepts(kind: Any, value: object) -> Any:
    """Return what a kind makes of a value, None where it refuses; nothing else may happen."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


anything = st.text() | st.from_regex(r"[-+0-9.eE]{1,9} ?[smhdwy]") | st.integers() | st.floats() | st.none()


@given(anything)
def test_a_duration_is_one_or_refused(value: object) -> None:
    found = accepts(Duration, value)
    assert found is None or timedelta(seconds=1) <= found <= timedelta(days=36500)


@given(
    st.text() | st.sampled_from(sorted(zoneinfo.available_timezones())) | st.from_regex(r"(\.\./)+[a-z/]+")
)
def test_a_zone_is_one_or_refused(value: str) -> None:
    found = accepts(Zone, value)
    assert found is None or zoneinfo.ZoneInfo(found).key == value


@given(st.text(max_size=40))
def test_a_line_is_fit_for_a_header_or_refused(value: str) -> None:
    found = accepts(Line, value)
    assert found is None or (found == value and len(f"{found}.".splitlines()) == 1 and "\0" not in found)


@given(st.emails() | st.text(max_size=30) | st.builds("{}\n{}@example.org".format, st.text(), st.text()))
def test_an_address_is_one_or_refused(value: str) -> None:
    found = accepts(Address, value)
    assert found is None or (found.count("@") == 1 and found.isprintable() and " " not in found)


@given(st.from_regex(r"https?://[^\n]{0,30}") | st.text(max_size=30))
def test_a_url_is_one_or_refused(value: str) -> None:
    found = accepts(Url, value)
    assert found is None or (found == value and found.startswith(("http", "HTTP")) and found.isprintable())


@given(st.text(max_size=20) | st.from_regex(r"[a-zA-Z0-9.\-]{1,70}"))
def test_a_host_is_printable_ascii_or_refused(value: str) -> None:
    found = accepts(Host, value)
    assert found is None or (found.isascii() and found.isprintable() and " " not in found)
