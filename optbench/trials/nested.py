"""Walks what optimizers keep and save: dictionaries, lists and tuples with tensors and numbers in them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What a structure holds that is no structure itself, each with where it stands.

    Example:
        >>> list(leaves({"old_dirs": [3, 4]}))
        [("['old_dirs'][0]", 3), ("['old_dirs'][1]", 4)]
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from leaves(item, f"{path}[{place}]")
    else:
        yield path, value


def copied(value: Any) -> Any:
    """The same structure with memory of its own; its tensors have no history and no hooks."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([copied(item) for item in value])
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def difference(actual: Any, expected: Any) -> str:
    """Where two structures differ first; empty where they are the same to the last bit, NaN equal to NaN."""
    found, wanted = dict(leaves(actual)), dict(leaves(expected))
    for path in [*wanted, *(path for path in found if path not in wanted)]:
        if path not in found or path not in wanted:
            return f"{path} is {'new' if path in found else 'gone'}"
        if not _same(found[path], wanted[path]):
            return f"{path} is {_shown(found[path])}, was {_shown(wanted[path])}"
    return ""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if (a.dtype, a.shape, a.layout) != (b.dtype, b.shape, b.layout):
            return False
        return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())
    return type(a) is type(b) and (bool(a == b) or (a != a and b != b))


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
