"""What a template set may say, judged from its text alone: names, fields, and what it does with its reader.

A template that only prints its reader's fields and asks plain questions about them can be compiled once for many
readers. Whether it does is proved here from its syntax tree; anything else is not refused, it is rendered for each
reader alone.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Protocol

from jinja2 import meta, nodes

from newsletter.digest.tracing import FIELDS
from newsletter.errors import TemplateError

READER = "reader"
#: The filter that fills a sentence's `{…}`: it only puts texts behind each other, so what it is given stays traceable.
SENTENCE = "sentence"
_CAPTURING = (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)


class TemplateSet(Protocol):
    """The templates of a digest, all that they include with them."""

    @property
    def sources(self) -> Mapping[str, str]:
        """The text of each, by name."""
        ...

    @property
    def trees(self) -> Mapping[str, nodes.Template]:
        """The syntax tree of each."""
        ...

    def render(self, name: str, **values: object) -> str:
        """Render one; TemplateError names file and line."""
        ...


def check(trees: Mapping[str, nodes.Template], view: Mapping[str, object]) -> None:
    """Raise TemplateError for a name or a field that does not exist; `view` gives the type of each name."""
    bound = {READER, *view}
    for tree in trees.values():
        bound |= {one.name for one in tree.find_all(nodes.Name) if one.ctx != "load"}
        bound |= {one.name for one in tree.find_all(nodes.Macro)}
    for name, tree in trees.items():
        for unknown in sorted(meta.find_undeclared_variables(tree) - bound):
            line = next(one.lineno for one in tree.find_all(nodes.Name) if one.name == unknown)
            raise _unknown(f"nothing is called {unknown!r} here", f"{name}:{line}", sorted(bound))
        _Fields(name, view).look(tree, {})


def _unknown(what: str, where: str, known: list[str]) -> TemplateError:
    return TemplateError(what, where=where, remedy=f"There are: {', '.join(known)}")


class _Fields:
    """Looks for fields that the nouns of the view do not have, as far as types can be followed."""

    def __init__(self, template: str, view: Mapping[str, object]) -> None:
        self.template = template
        self.view = view

    def look(self, node: nodes.Node, scope: Mapping[str, object]) -> None:
        """Look at a node with what the names around it are."""
        if isinstance(node, nodes.For):
            self.look(node.iter, scope)
            inner = dict(scope)
            if isinstance(node.target, nodes.Name):
                inner[node.target.name] = _element(self.kind(node.iter, scope))
            for child in (*node.body, *node.else_, *([node.test] if node.test else [])):
                self.look(child, inner)
            return
        if isinstance(node, nodes.Macro | nodes.CallBlock):
            scope = {**scope, **{one.name: None for one in node.args}}
        if isinstance(node, nodes.Getattr):
            self.kind(node, scope)
        for child in node.iter_child_nodes():
            self.look(child, scope)

    def kind(self, node: nodes.Node, scope: Mapping[str, object]) -> object:
        """Return the type of an expression, None where it cannot be told."""
        if isinstance(node, nodes.Name):
            return scope[node.name] if node.name in scope else self.view.get(node.name)
        if isinstance(node, nodes.Getitem):
            return _element(self.kind(node.node, scope))
        if not isinstance(node, nodes.Getattr):
            return None
        if isinstance(node.node, nodes.Name) and node.node.name == READER and READER not in scope:
            if node.attr not in FIELDS:
                raise _unknown(
                    f"a reader has no {node.attr!r}", f"{self.template}:{node.lineno}", list(FIELDS)
                )
            return str
        owner = self.kind(node.node, scope)
        if not (isinstance(owner, type) and dataclasses.is_dataclass(owner)):
            return None
        hints = typing.get_type_hints(owner)
        if node.attr not in hints and not hasattr(owner, node.attr):
            known = sorted(one.name for one in dataclasses.fields(owner))
            what = f"{owner.__name__} has no {node.attr!r}"
            raise _unknown(what, f"{self.template}:{node.lineno}", known)
        return hints.get(node.attr)


def _element(kind: object) -> object:
    """Return the type of what a tuple or list holds."""
    inner = typing.get_args(kind)
    return inner[0] if typing.get_origin(kind) in (tuple, list) and inner else None


def places(trees: Mapping[str, nodes.Template], field: str) -> list[str]:
    """Return where (`file:line`) a field of the reader is named."""
    found = ((name, one) for name, tree in trees.items() for one in tree.find_all(nodes.Getattr))
    return list(
        dict.fromkeys(f"{name}:{one.lineno}" for name, one in found if _field(one) and one.attr == field)
    )


def untraceable(trees: Mapping[str, nodes.Template]) -> Iterator[str]:
    """Yield the places (`file:line`) where a template does more with its reader than print and ask."""
    reading = {name for name, tree in trees.items() if any(_reads(one) for one in tree.find_all(nodes.Name))}
    for name, tree in trees.items():
        for line in sorted({*_statements(tree.body, reading), *(_inherited(tree) if reading else ())}):
            yield f"{name}:{line}"


def _reads(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == READER


def _uses(node: nodes.Node | None) -> bool:
    return node is not None and (_reads(node) or any(_reads(one) for one in node.find_all(nodes.Name)))


def _inherited(tree: nodes.Template) -> Iterator[int]:
    """Yield the lines where the text of a block is taken as a value, which may be changed before it is printed."""
    printed = {
        id(one.node)
        for output in tree.find_all(nodes.Output)
        for one in output.nodes
        if isinstance(one, nodes.Call) and isinstance(one.node, nodes.Name)
    }
    for name in tree.find_all(nodes.Name):
        if name.name in ("self", "super") and id(name) not in printed:
            yield name.lineno


def _statements(body: typing.Iterable[nodes.Node], reading: set[str]) -> Iterator[int]:
    """Yield the lines of statements that cannot be traced."""
    for node in body:
        if isinstance(node, nodes.Output):
            yield from (one.lineno for one in node.nodes if not _printable(one))
        elif isinstance(node, nodes.If):
            if not _question(node.test):
                yield node.lineno
            yield from _statements((*node.body, *node.elif_, *node.else_), reading)
        elif isinstance(node, nodes.For):
            if _uses(node.iter) or _uses(node.test) or (node.recursive and _uses(node)):
                yield node.lineno
            yield from _statements((*node.body, *node.else_), reading)
        elif isinstance(node, nodes.Block | nodes.Scope | nodes.ScopedEvalContextModifier):
            yield from _statements(node.body, reading)
        elif isinstance(node, nodes.With):
            yield from (one.lineno for one in node.values if _uses(one))
            yield from _statements(node.body, reading)
        elif _uses(node) or _keeps(node, reading):
            yield node.lineno


def _keeps(node: nodes.Node, reading: set[str]) -> bool:
    """Tell whether a statement takes the text of a template that reads the reader as a value."""
    if isinstance(node, nodes.Import | nodes.FromImport):
        return bool(_named(node) & reading)
    return isinstance(node, _CAPTURING) and any(_named(one) & reading for one in node.find_all(nodes.Include))


def _named(node: nodes.Import | nodes.FromImport | nodes.Include) -> set[str]:
    name = node.template
    return {name.value} if isinstance(name, nodes.Const) and isinstance(name.value, str) else set()


def _printable(node: nodes.Node) -> bool:
    """Tell whether an expression only puts fields of the reader between texts."""
    if not _uses(node) or _field(node):
        return True
    if isinstance(node, nodes.Concat):
        return all(map(_printable, node.nodes))
    if isinstance(node, nodes.CondExpr):
        branches = [node.expr1, *([node.expr2] if node.expr2 is not None else [])]
        return _question(node.test) and all(map(_printable, branches))
    if isinstance(node, nodes.And | nodes.Or):
        return (_field(node.left) or not _uses(node.left)) and _printable(node.right)
    if isinstance(node, nodes.Filter) and node.dyn_args is None and node.dyn_kwargs is None:
        if node.name == SENTENCE:
            return (
                not _uses(node.node) and not node.args and all(_printable(one.value) for one in node.kwargs)
            )
        return node.name in ("default", "d") and _or_else(node)
    return False


def _or_else(node: nodes.Filter) -> bool:
    """Tell whether a filter gives a field, or a text that nobody reads when it is empty: `default("friend", true)`."""
    also_empty = len(node.args) == 2 and isinstance(node.args[1], nodes.Const)
    return _field_of(node.node) and also_empty and not node.kwargs and _printable(node.args[0])


def _field_of(node: nodes.Node | None) -> bool:
    return node is not None and _field(node)


def _question(node: nodes.Node) -> bool:
    """Tell whether an expression asks no more than: is a field empty, is it this constant, is there a reader."""
    if not _uses(node) or _field(node) or _reads(node):
        return True
    if isinstance(node, nodes.Not):
        return _question(node.node)
    if isinstance(node, nodes.And | nodes.Or):
        return _question(node.left) and _question(node.right)
    return isinstance(node, nodes.Compare) and _field(node.expr) and all(map(_constant, node.ops))


def _constant(operand: nodes.Operand) -> bool:
    if operand.op in ("eq", "ne"):
        return isinstance(operand.expr, nodes.Const) and isinstance(operand.expr.value, str)
    if operand.op not in ("in", "notin") or not isinstance(operand.expr, nodes.Tuple | nodes.List):
        return False
    return all(isinstance(one, nodes.Const) and isinstance(one.value, str) for one in operand.expr.items)


def _field(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Getattr) and _reads(node.node)
