"""What stands on a tape: optimizers, lists of tensors, and what happened to them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from optbench.failures.scripts.changes import Edit
from optbench.failures.scripts.memory import Memory
from optbench.registry import Implementation

# What is no call of a method.
BUILT, COPIED = "built", "copied"


@dataclass(frozen=True)
class Many:
    """Values in something that is made of a list of them: `made` is Python with the list's place in it."""

    made: str
    items: list[Any]


@dataclass(frozen=True)
class Closure:
    """What a step was given to call."""


@dataclass(frozen=True)
class Call:
    """What a closure did: what it changed, and what it returned or raised."""

    edits: list[Edit]
    value: Any


@dataclass(eq=False)
class Track:
    """An optimizer: its number, the optimizer itself, and what made it."""

    number: int
    implementation: Implementation
    optimizer: Any = None

    @property
    def name(self) -> str:
        return f"@o{self.number}"


@dataclass(eq=False)
class Listed:
    """Tensors that a law named: those of a list of parameters, or a single one.

    Args:
        number: which of the lists.
        tensors, starts: the tensors, and how they lay when they were seen first.
        source: the list as Python, where it is made of what was there before.
        single: whether it is no list, but a tensor among the options.
    """

    number: int
    tensors: list[Tensor]
    starts: list[Memory]
    source: str = ""
    single: bool = False

    @property
    def name(self) -> str:
        return f"@{'t' if self.single else 'p'}{self.number}"

    def item(self, i: int) -> str:
        """A tensor of it as Python."""
        return self.name if self.single else f"{self.name}[{i}]"


@dataclass(eq=False)
class Event:
    """Something that happened: tensors were named, somebody changed something, and something was called.

    Args:
        edits: what was changed, in place of a call.
        track, method: of which optimizer what was called; None: there was no call.
        arguments, named: what it was given, as it can be written.
        listed: the tensors that are new in it.
        failed: what it raised.
        calls: what a closure did that it was given.
        terms: what a closure is made of that is the law's own objective: parameter, start, slope and curvature.
        muted: whether no gradients were recorded when it was called.
    """

    edits: list[Edit] = field(default_factory=list)
    track: Track | None = None
    method: str = ""
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    listed: list[Listed] = field(default_factory=list)
    failed: Exception | None = None
    calls: list[Call] = field(default_factory=list)
    terms: list[tuple[Any, ...]] = field(default_factory=list)
    muted: bool = False


# What can be looked at without being used up.
MADE: tuple[tuple[Any, str], ...] = (
    (frozenset, "frozenset({})"),
    (set, "set({})"),
    (type({}.values()), "dict(enumerate({})).values()"),
    ((type(iter([])), type(iter(()))), "iter({})"),
)


def tensors_in(value: Any, params: bool) -> Iterator[tuple[Tensor, bool]]:
    """The tensors of an argument, each with whether it is a parameter."""
    if isinstance(value, Tensor):
        yield value, params
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from tensors_in(item, name == "params")
    elif isinstance(value, (list, tuple)) or any(isinstance(value, kind) for kind, _ in MADE):
        for item in value if isinstance(value, (list, tuple)) else copy.copy(value):
            yield from tensors_in(item, params)
