"""What somebody did to a structure of dictionaries, lists and tensors between two looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optbench.failures.scripts.literals import text


class Gone:
    """Stands for what is there no more."""


@dataclass(frozen=True)
class Edit:
    """A change: what stands in `target`, as Python, is `value` now, or holds it where `within` is true."""

    target: str
    value: Any = Gone
    within: bool = False


@dataclass(frozen=True)
class Token:
    """Python that a value is written as, with names such as @o1 for the tape's first optimizer."""

    text: str


@dataclass(frozen=True)
class Kept:
    """A tensor, and what it held."""

    tensor: Tensor
    values: Tensor


def kept(value: Any) -> Any:
    """A structure with what it holds now."""
    if isinstance(value, dict):
        return {key: kept(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [kept(item) for item in value]
    return Kept(value, value.detach().clone()) if isinstance(value, Tensor) else value


def edits(target: str, now: Any, then: Any, objects: bool = True) -> Iterator[Edit]:
    """The changes since `then`, which `kept` made.

    Args:
        target: the structure as Python.
        now: the structure.
        then: what it was.
        objects: whether another tensor of the same numbers is a change.
    """
    if isinstance(now, dict) and isinstance(then, dict):
        yield from (Edit(f"{target}[{text(key)}]") for key in then if key not in now)
        for key, value in now.items():
            place = f"{target}[{text(key)}]"
            yield from edits(place, value, then[key], objects) if key in then else [Edit(place, value)]
    elif isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        for at, (value, before) in enumerate(zip(now, then, strict=True)):
            yield from edits(f"{target}[{at}]", value, before, objects)
    elif isinstance(now, Tensor) and isinstance(then, Kept):
        if now is not then.tensor and objects:
            yield Edit(target, Token(f"{target}.clone()") if alike(now, then.values) else now)
        elif not alike(now, then.values):
            yield Edit(target, now, within=objects)
    elif isinstance(now, tuple) and isinstance(then, list):
        if len(now) != len(then) or any(True for pair in zip(now, then, strict=True) for _ in edits("", *pair)):
            yield Edit(target, now)
    elif not _same(now, then):
        yield Edit(target, now)


def _same(now: Any, then: Any) -> bool:
    """Whether two plain values are equal, NaN equal to NaN; what does not compare is another."""
    try:
        return now is then or (type(now) is type(then) and bool(now == then or (now != now and then != then)))
    except Exception:
        return False


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are of one kind and hold the same, NaN equal to NaN."""
    if (one.dtype, one.shape, one.layout) != (other.dtype, other.shape, other.layout):
        return False
    if one.layout is not torch.strided:
        pairs = [(one._indices(), other._indices()), (one._values(), other._values())]
        return one.is_coalesced() == other.is_coalesced() and all(alike(*pair) for pair in pairs)
    return one.stride() == other.stride() and bool(((one == other) | ((one != one) & (other != other))).all())
