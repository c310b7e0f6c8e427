"""Changes of a function's syntax tree, one at a time: where the operators of `changes` apply."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .changes import OPERATORS, Context
from .dependence import binds, depend, held_by
from .nodes import called, is_nothing, refuses, text

# What is asked where something runs on a device that is not here, or without autograd's counters.
_ELSEWHERE = ("'mps'", "is_inference()")


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of a tree, made in place and undone.

    Args:
        operator: its name.
        old, new: source texts without blanks; `new` is "" where something is left out.
        holder, name, index: where the tree holds what is changed.
        replacement: what stands there instead; a tuple of two: what stands there and behind it.
    """

    operator: str
    old: str
    new: str
    holder: ast.AST
    name: str
    index: int | None
    replacement: Any

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """The tree is changed for the moment."""
        place = getattr(self.holder, self.name)
        if self.index is None:
            setattr(self.holder, self.name, self.replacement)
        elif isinstance(self.replacement, tuple):
            kept = place[self.index : self.index + 2]
            place[self.index : self.index + 2] = self.replacement
        else:
            kept = place[self.index]
            place[self.index] = self.replacement
        try:
            yield
        finally:
            if self.index is None:
                setattr(self.holder, self.name, place)
            elif isinstance(self.replacement, tuple):
                place[self.index : self.index + 2] = kept
            else:
                place[self.index] = kept


def edits(function: ast.FunctionDef, defaults: dict[str, Any]) -> Iterator[Edit]:
    """Every change that the operators make of a function.

    Args:
        function: its tree, which is changed and restored while an edit is made.
        defaults: of the subject's options.
    """
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = [argument.arg for argument in arguments]
    context = Context(
        defaults,
        frozenset(names),
        bool(names) and names[0] == "self",
        function.name in ("__init__", "__setstate__", "__getstate__"),
    )
    yield from _inside(function, "body", context)


def _inside(holder: ast.AST, name: str, context: Context) -> Iterator[Edit]:
    """The edits of what a field of a node holds."""
    place = getattr(holder, name)
    if not isinstance(place, list):
        if isinstance(place, ast.AST):
            yield from _of(place, holder, name, None, context)
        return
    statements = bool(place) and isinstance(place[0], ast.stmt)
    bound = context.bound
    for index, node in enumerate(place):
        if isinstance(node, ast.AST):
            here = Context(context.defaults, bound, context.has_self, context.constructs)
            yield from _of(node, holder, name, index, here)
            if statements and index + 1 < len(place) and _swappable(node, place[index + 1], bound):
                yield _swapped(holder, name, index)
            bound = bound | binds(node)


def _of(node: ast.AST, holder: ast.AST, name: str, index: int | None, context: Context) -> Iterator[Edit]:
    if _out_of_sight(node, name):
        return
    for operator, changes in OPERATORS.items():
        for replacement in changes(node, context):
            placed = ast.copy_location(replacement, node) if not hasattr(replacement, "lineno") else replacement
            ast.fix_missing_locations(placed)
            old, new = text(node), "" if is_nothing(replacement) else text(replacement)
            if old != new:
                yield Edit(operator, old, new, holder, name, index, placed)
    within = Context(context.defaults, context.bound | held_by(node), context.has_self, context.constructs)
    for inner, _ in ast.iter_fields(node):
        yield from _inside(node, inner, within)


def _swapped(holder: ast.AST, name: str, index: int) -> Edit:
    first, second = getattr(holder, name)[index : index + 2]
    return Edit("swap-order", text(first), "<>" + text(second), holder, name, index, (second, first))


def _swappable(first: ast.AST, second: ast.AST, bound: frozenset[str]) -> bool:
    """Whether two statements do something, of which the other can see."""
    if not all(isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.If) for node in (first, second)):
        return False
    if any(_out_of_sight(node, "body") or (isinstance(node, ast.If) and refuses(node)) for node in (first, second)):
        return False
    return depend(first, second, bound)


def _out_of_sight(node: ast.AST, name: str) -> bool:
    """What is no behaviour: messages, annotations, docstrings, imports, and what mypy alone reads."""
    if name in ("annotation", "returns", "decorator_list", "type_params", "args") and not isinstance(node, ast.expr):
        return True
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.ClassDef):
        return True
    if isinstance(node, ast.If | ast.IfExp) and any(asked in ast.unparse(node.test) for asked in _ELSEWHERE):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return isinstance(node, ast.Call) and called(node) in ("warn", "isinstance", "cast", "hasattr")
