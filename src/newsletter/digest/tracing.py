"""A reader as templates see one: what is printed becomes a slot, what is branched on is noted.

Rendering is a function of the outcomes of its tests: readers for whom every test comes out alike share one rendering,
and differ only in what stands in its slots. `newsletter.digest.templates` proves of a template that it does nothing
else with its reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TypeAlias

#: What a template may know of its reader. All values are text, empty where there is nothing.
FIELDS = ("name", "address", "since", "language", "timezone", "unsubscribe", "preferences")
#: Those that are URLs, and the only ones that may stand in an `href`.
LINKS = frozenset({"unsubscribe", "preferences"})

Values: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Test:
    """A question about one field: is it this constant, or (None) is there anything at all."""

    field: str
    constant: str | None = None

    def __call__(self, values: Values) -> bool:
        """Return the outcome for a reader."""
        value = values[self.field]
        return bool(value) if self.constant is None else value == self.constant


@dataclass(slots=True)
class Trace:
    """What a rendering asked of its reader, in order, each question once."""

    values: Values
    words: Mapping[str, str]
    tests: dict[Test, bool] = field(default_factory=dict)

    def ask(self, test: Test) -> bool:
        """Answer a question and note it."""
        return self.tests.setdefault(test, test(self.values))


class _Traced:
    """One field of a traced reader."""

    __slots__ = ("_name", "_trace")
    __hash__ = None  # type: ignore[assignment]  # it would be a look at the value that nobody notes

    def __init__(self, name: str, trace: Trace) -> None:
        self._name = name
        self._trace = trace

    def __str__(self) -> str:
        """Return the slot; where there is nothing, nothing, because white space around it may then go as well."""
        return self._trace.words[self._name] if self else ""

    __html__ = __str__

    def __bool__(self) -> bool:
        return self._trace.ask(Test(self._name))

    def __eq__(self, other: object) -> bool:
        return self._trace.ask(Test(self._name, other)) if isinstance(other, str) else NotImplemented


def traced(trace: Trace) -> object:
    """Return a reader whose every use is noted."""
    return SimpleNamespace(**{name: _Traced(name, trace) for name in FIELDS})


def plain(values: Values) -> object:
    """Return one reader as they are."""
    return SimpleNamespace(**{name: values[name] for name in FIELDS})


class Nobody(SimpleNamespace):
    """The reader of the archive: none, so a question whether there is one says no and every field is empty."""

    def __init__(self) -> None:
        super().__init__(**dict.fromkeys(FIELDS, ""))

    def __bool__(self) -> bool:
        return False
