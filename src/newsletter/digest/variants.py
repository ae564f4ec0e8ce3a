"""The variants of an issue: one rendering for all readers who are spoken to in the same words.

A variant is rendered and compiled when the first reader needs it. Which one a reader needs is found by asking the
questions that the templates asked: the tongue first, then each question in the order in which rendering asked it.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from newsletter.digest import slots
from newsletter.digest.encoding import Segments
from newsletter.digest.frozen import Frozen, seed_of
from newsletter.digest.rendering import Tongue, View, days, render_html, render_text, tongue_of, view
from newsletter.digest.slots import Slot
from newsletter.digest.templates import TemplateSet, untraceable
from newsletter.digest.tracing import Test, Trace, Values, plain, traced

_MOST = 64  # compiled variants that are kept; a variant of a long issue takes 100 kB
_TONGUES = 4096  # (language, zone) pairs that are remembered

Outcomes: TypeAlias = tuple[bool, ...]
Pieces: TypeAlias = list[str | Slot]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Both parts of a digest, as texts with slots between them."""

    html: Pieces
    text: Pieces


@dataclass(slots=True, eq=False)
class _Tree:
    """The questions that follow from the outcomes so far, for one way of speaking."""

    tongue: Tongue
    questions: dict[Outcomes, Test] = field(default_factory=dict)

    def ask(self, values: Values) -> Outcomes:
        outcomes: Outcomes = ()
        while outcomes in self.questions:
            outcomes += (self.questions[outcomes](values),)
        return outcomes


@dataclass(slots=True)
class Known:
    """What was found and made so far, for one issue; it pickles."""

    trees: dict[object, _Tree] = field(default_factory=dict)
    tongues: dict[tuple[str, str], _Tree] = field(default_factory=dict)
    kept: OrderedDict[tuple[_Tree, Outcomes], Segments] = field(default_factory=OrderedDict)


class Variants:
    """Finds and makes the variants of one frozen issue.

    When its templates do more with their reader than print and ask, each reader's rendering is made alone, which is
    counted in `alone`.
    """

    def __init__(
        self,
        frozen: Frozen,
        templates: TemplateSet,
        around: tuple[bytes, bytes, bytes],
        guard: AbstractContextManager[object] | None = None,
        known: Known | None = None,
    ) -> None:
        """Take an issue; `around` is what stands before the text part, between the two, and behind the HTML.

        Where several threads ask, `guard` is the lock under which one of them looks and renders at a time. `known` is
        what another process knew of the same issue.
        """
        self._frozen = frozen
        self._templates = templates
        self._around = around
        self._traceable = known is not None or not any(untraceable(templates.trees))
        self._known = known or Known()
        self._guard = guard or nullcontext()
        self.alone = 0
        self.rendered = 0

    @property
    def known(self) -> Known | None:
        """What others may be given, if readers share renderings."""
        return self._known if self._traceable else None

    @cached_property
    def _words(self) -> dict[str, str]:
        return slots.words(seed_of(self._frozen))

    def body(self, values: Values) -> bytes:
        """Return the encoded body of the message for one reader."""
        return self.segments(values).fill(values)

    def segments(self, values: Values) -> Segments:
        """Return the compiled variant of a reader."""
        with self._guard:
            tree = self._tree(values)
            if not self._traceable:
                self.alone += 1
                return self._compile(self._alone(tree, values))
            key = (tree, tree.ask(values))
            found = self._known.kept.get(key)
            if found is None:
                return self._make(tree, values)
            self._known.kept.move_to_end(key)
            return found

    def render(self, values: Values) -> Rendered:
        """Render the variant of a reader, whether or not it was made before."""
        with self._guard:
            tree = self._tree(values)
            return self._trace(tree, values) if self._traceable else self._alone(tree, values)

    def _tree(self, values: Values) -> _Tree:
        spoken = (values["language"], values["timezone"])
        tree = self._known.tongues.get(spoken)
        if tree is None:
            material, plan = self._frozen.material, self._frozen.plan
            tongue = tongue_of(material.looks, *spoken)
            key = (tongue.language, days(material, plan, tongue.timezone))
            tree = self._known.trees.setdefault(key, _Tree(tongue))
            if len(self._known.tongues) >= _TONGUES:
                self._known.tongues.clear()
            self._known.tongues[spoken] = tree
        return tree

    def _make(self, tree: _Tree, values: Values) -> Segments:
        segments = self._compile(self._trace(tree, values))
        kept = self._known.kept
        kept[tree, tree.ask(values)] = segments
        if len(kept) > _MOST:
            kept.popitem(last=False)
        return segments

    def _view(self, tongue: Tongue) -> View:
        self.rendered += 1
        return view(self._frozen.material, self._frozen.plan, tongue)

    def _trace(self, tree: _Tree, values: Values) -> Rendered:
        """Render with slots, and keep what was asked."""
        trace, seen = Trace(values, self._words), self._view(tree.tongue)
        page = slots.mark(render_html(seen, traced(trace), self._templates), self._words)
        text = slots.mark(render_text(seen, traced(trace), self._templates), self._words)
        outcomes: Outcomes = ()
        for test, outcome in trace.tests.items():
            tree.questions.setdefault(outcomes, test)
            outcomes += (outcome,)
        return Rendered(html=slots.split_html(page), text=slots.split_text(text))

    def _alone(self, tree: _Tree, values: Values) -> Rendered:
        seen, reader = self._view(tree.tongue), plain(values)
        clean = slots.NONCHARACTERS.sub
        return Rendered(
            html=[clean("", render_html(seen, reader, self._templates))],
            text=[clean("", render_text(seen, reader, self._templates))],
        )

    def _compile(self, rendered: Rendered) -> Segments:
        before, between, behind = self._around
        return Segments([before, *rendered.text, between, *rendered.html, behind])
