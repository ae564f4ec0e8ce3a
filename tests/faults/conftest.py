"""Fixtures of the fault suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.senders import end_programs, why_no_tracing


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    """End the programs that fork senders with the last test."""
    yield
    end_programs()


@pytest.fixture(scope="session")
def tracing() -> None:
    """Skip where system calls cannot be tampered with."""
    if why := why_no_tracing():
        pytest.skip(why)
