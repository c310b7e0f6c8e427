"""What the operators ask of a syntax tree's nodes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def works_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def refuses(node: ast.If) -> bool:
    return any(isinstance(statement, ast.Raise) for statement in node.body)


def is_whole(node: Any) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def asks_whether_zero(node: ast.AST) -> bool:
    """Whether it is `option != 0`, which asks whether there is anything to do: any other number does as well."""
    return isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotEq)


def is_nothing(node: ast.AST) -> bool:
    """Whether a replacement does nothing at all."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
        return isinstance(node.targets[0], ast.Name) and node.targets[0].id == node.value.id
    return isinstance(node, ast.Pass)


def untouched(target: ast.Name) -> ast.Assign:
    return ast.Assign([target], ast.Name(target.id, ast.Load()))


def with_part(node: Any, wanted: Callable[[Any], bool], changed: Callable[[Any], ast.AST]) -> Iterator[ast.AST]:
    """Copies of a node with one of its direct parts changed."""
    for name, value in ast.iter_fields(node):
        if wanted(value):
            yield type(node)(**{**dict(ast.iter_fields(node)), name: changed(value)})
        elif isinstance(value, list):
            for index, part in enumerate(value):
                if wanted(part):
                    parts = [*value[:index], changed(part), *value[index + 1 :]]
                    yield type(node)(**{**dict(ast.iter_fields(node)), name: parts})


def all_but_last(items: ast.expr) -> ast.expr:
    every = ast.List([ast.Starred(items, ast.Load())], ast.Load())
    behind = ast.Slice(None, ast.UnaryOp(ast.USub(), ast.Constant(1)), None)
    return ast.Subscript(every, behind, ast.Load())


def text(node: ast.AST) -> str:
    if isinstance(node, ast.comprehension):
        return "".join(ast.unparse(ast.ListComp(ast.Constant(0), [node])).split())[2:-1]
    if isinstance(node, ast.For):
        return "".join(f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}".split())
    return "".join(ast.unparse(node).split())
