"""Mutants of the tiers' own sources: which functions there are, every change of them, and how one is planted.

A mutant is planted by exchanging a function's code, so that every module that holds the function runs it, and nothing
is imported again.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.util
import inspect
import linecache
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from optbench.errors import OptbenchError

from .edits import Edit, edits

# Longer texts are cut in a mutant's id.
_SHOWN = 56
# Modules that keep what does not depend on any function's code: machine code by its text, threads, places in memory.
_BY_TEXT = ("native", "workers", "peek")
# What a rule, which is compiled, cannot be asked for.
_NOT_IN_RULES = ("mutated-input", "skipped-tail", "shared-storage", "wrong-dtype", "stale-state", "dead-check")


@dataclass(frozen=True, eq=False)
class SourceMutant:
    """A function with one change.

    Args:
        id: "adam/foreach/drop-term@_adam:1-beta1=>1": where, which operator, in which function, what becomes what.
        operator: its name.
        module: the module's full name.
        function: the function's qualified name.
        line: where it begins.
        edit: the change.
        compiled: whether the function is a rule that a compiler takes.
    """

    id: str
    operator: str
    module: str
    function: str
    line: int
    edit: Edit
    compiled: bool


@dataclass(frozen=True, eq=False)
class _Source:
    """A module's tree and its outermost functions, those of its classes included."""

    name: str
    tree: ast.Module
    functions: tuple[tuple[str, ast.stmt, ast.FunctionDef], ...]


def mutants(module: str, where: str, defaults: dict[str, Any]) -> list[SourceMutant]:
    """Every mutant of a module, in the order of its source.

    Args:
        module: full name, "optbench.reference.adam".
        where: how ids begin, "adam/reference".
        defaults: of the subject's options.
    """
    found = []
    told: Counter[str] = Counter()
    for qualified, _, function in _source(module).functions:
        compiled = any(isinstance(item, ast.Name) and item.id == "rule" for item in function.decorator_list)
        own = {option.lower(): value for option, value in defaults.items()}
        for edit in edits(function, own):
            if compiled and edit.operator in _NOT_IN_RULES:
                continue
            change = f"{_shown(edit.old)}=>{_shown(edit.new)}" if edit.new else _shown(edit.old)
            name = f"{where}/{edit.operator}@{qualified}:{change}"
            told[name] += 1
            again = f"#{told[name]}" if told[name] > 1 else ""
            first = min([function.lineno, *(item.lineno for item in function.decorator_list)])
            found.append(SourceMutant(name + again, edit.operator, module, qualified, first, edit, compiled))
    return found


@contextlib.contextmanager
def planted(mutant: SourceMutant) -> Iterator[None]:
    """The function runs with the change in it for the moment."""
    source = _source(mutant.module)
    stands, node = next(
        (statement, function)
        for qualified, statement, function in source.functions
        if qualified == mutant.function and mutant.line <= function.lineno < mutant.line + 20
    )
    function = _function(importlib.import_module(mutant.module), mutant.function, mutant.line)
    name = f"<mutant {mutant.id}>"
    original = function.__code__
    with mutant.edit.made():
        text = ast.unparse(node)
        with _closing_over(original, node):
            code = compile(ast.Module([stands], []), name, "exec")
    changed = _code(code, mutant.function, mutant.line)
    if changed is None or changed.co_freevars != original.co_freevars:
        raise OptbenchError(f"selftest: {mutant.id} cannot be planted: its function closes over other names.")
    # Compilers of rules ask for the source of what they compile.
    lines = ["\n"] * (mutant.line - 1) + [line + "\n" for line in text.splitlines()]
    linecache.cache[name] = (len(text), None, lines, name)
    function.__code__ = changed
    try:
        _forget(mutant.module)
        yield
    finally:
        function.__code__ = original
        del linecache.cache[name]
        _forget(mutant.module)


@contextlib.contextmanager
def _closing_over(original: CodeType, node: ast.FunctionDef) -> Iterator[None]:
    """A method that calls super() has a cell for its class, which one that has lost the call needs as well."""
    if "__class__" not in original.co_freevars:
        yield
        return
    node.body += ast.parse("if 0: __class__").body
    try:
        yield
    finally:
        node.body.pop()


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def path(module: str) -> Path:
    """Where a tier's module is, without importing its package, which would import torch."""
    top, _, rest = module.removeprefix("optbench.").partition(".")
    found = importlib.util.find_spec(f"optbench.{top}")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0], *rest.split(".")).with_suffix(".py")


@functools.cache
def _source(module: str) -> _Source:
    tree = ast.parse(path(module).read_text(encoding="utf-8"))
    functions: list[tuple[str, ast.stmt, ast.FunctionDef]] = []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            functions.append((statement.name, statement, statement))
        elif isinstance(statement, ast.ClassDef):
            methods = (item for item in statement.body if isinstance(item, ast.FunctionDef))
            functions += [(f"{statement.name}.{method.name}", statement, method) for method in methods]
    return _Source(module, tree, tuple(functions))


def _function(module: ModuleType, qualified: str, line: int) -> FunctionType:
    """The live function of that name that begins on that line; a property has several."""
    owner, _, name = qualified.rpartition(".")
    held: Any = vars(getattr(module, owner) if owner else module)[name]
    parts = [held.fget, held.fset, held.fdel] if isinstance(held, property) else [held]
    for part in parts:
        part = part.__func__ if isinstance(part, (staticmethod, classmethod)) else part
        function = inspect.unwrap(part) if part is not None else None
        if isinstance(function, FunctionType) and function.__code__.co_firstlineno == line:
            return function
    raise OptbenchError(f"selftest: {module.__name__} has no function {qualified} at line {line}.")


def _code(code: CodeType, qualified: str, line: int) -> CodeType | None:
    """The code of a function among the constants of what holds it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == qualified and constant.co_firstlineno == line:
                return constant
            inner = _code(constant, qualified, line)
            if inner is not None:
                return inner
    return None


def _forget(module: str) -> None:
    """Drop what the mutant's tier has computed from the source of functions, or by them, and kept.

    Machine code is kept by the text that it was made of, which a mutant changes.
    """
    tier = ".".join(module.split(".")[: 3 if ".impls." in module else 2])
    for name, loaded in list(sys.modules.items()):
        if name.startswith(f"{tier}.") and name.rpartition(".")[2] not in _BY_TEXT:
            for value in list(vars(loaded).values()):
                if hasattr(value, "cache_clear") and getattr(value, "__module__", "") == name:
                    value.cache_clear()
