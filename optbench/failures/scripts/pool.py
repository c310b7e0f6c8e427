"""The tensors and the names of a script: what is used more than once is a variable, and what is large is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from optbench.failures.scripts import literals
from optbench.failures.scripts.memory import Memory

_WORDS = {"o": "optimizer", "p": "params", "t": "number", "m": "memory", "a": "around", "s": "saved", "l": "kept",
          "c": "before", "r": "result", "f": "called", "x": "values"}  # fmt: skip
_NAME = re.compile(r"@([optmaslcrfx])(\d+)\b")
# What is shorter stands where it is needed, as often as that is.
_LONG = 40


class Pool:
    """The tensors of a script.

    Args:
        draw: whether those that may be are drawn by a seed rather than written down.
        dtype: of all floating-point tensors, where it is another than theirs.
    """

    def __init__(self, draw: bool, dtype: torch.dtype | None) -> None:
        self.draw, self.dtype = draw, dtype
        self._seeds: dict[Any, int] = {}
        self._pool: dict[Any, tuple[str, str]] = {}

    def tensor(self, memory: Memory, draw: bool = False) -> str:
        """A tensor as a name, which `finished` makes a variable or an expression of."""
        if draw and self.draw and memory.plain and memory.held.numel() > 1 and memory.held.is_floating_point():
            memory = self._drawn(memory)
        if self.dtype and (memory.held.is_floating_point() or memory.held.is_complex()):
            wide = self.dtype.to_complex() if memory.held.is_complex() else self.dtype
            memory = replace(memory, held=memory.held.to(wide), seed=None)
        key = memory.key
        if key not in self._pool:
            self._pool[key] = (f"@x{len(self._pool)}", literals.tensor(memory))
        return self._pool[key][0]

    def literal(self, name: str) -> str:
        """The expression that a name stands for."""
        return next((literal for known, literal in self._pool.values() if known == name), name)

    def _drawn(self, memory: Memory) -> Memory:
        """The same with numbers in the place of which a seed can stand."""
        seed = self._seeds.setdefault(memory.key, len(self._seeds))
        kind = torch.complex64 if memory.held.is_complex() else torch.float32
        values = torch.randn(memory.shape, generator=torch.Generator().manual_seed(seed), dtype=kind)
        return replace(memory, held=values.reshape(-1).to(memory.held.dtype), seed=seed)

    def finished(self, lines: list[str], first: Sequence[str]) -> list[str]:
        """The lines with names in them: those of `first` are the plain ones, all others are numbered."""
        text = "\n".join(lines)
        for name, literal in self._pool.values():
            uses = re.findall(rf"{name}\b", text)
            if len(uses) > 1 and len(literal) > _LONG:
                at = text.rfind("\n", 0, re.search(rf"{name}\b", text).start()) + 1  # type: ignore[union-attr]
                at = _statement(text, at)
                text = text[:at] + f"{name} = {literal}\n" + re.sub(rf"{name}\b", f"{name}.clone()", text[at:])
            else:
                text = re.sub(rf"{name}\b", lambda _, literal=literal: literal, text)  # type: ignore[misc]
        return renamed(text, first).splitlines()


def names(texts: Iterable[str]) -> set[str]:
    """The names in Python about the tape."""
    return {match[0] for text in texts for match in _NAME.finditer(text)}


def _statement(text: str, at: int) -> int:
    """Where the statement begins that a line is part of."""
    while text[at:].startswith((" ", "]")):
        at = text.rfind("\n", 0, at - 1) + 1
    return at


def renamed(text: str, first: Sequence[str]) -> str:
    """Python about the tape with the names that a script has."""
    names: dict[str, str] = {}
    count: dict[str, int] = {}
    for kind, number in [*(_NAME.findall("".join(first))), *_NAME.findall(text)]:
        token = f"@{kind}{number}"
        if token not in names:
            count[kind] = count.get(kind, 0) + 1
            names[token] = _WORDS[kind] + (f"_{count[kind]}" if count[kind] > 1 else "")
    return _NAME.sub(lambda match: names[match[0]], text)
