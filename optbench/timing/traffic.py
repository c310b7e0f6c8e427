"""Bytes that the operations of a step move, and the calls that its host's work takes: figures without a clock."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# What these are given to write, they do not read.
_OVERWRITES = frozenset(("copy_", "_foreach_copy_", "zero_", "_foreach_zero_", "fill_", "normal_", "uniform_"))
# These touch no element.
_IDLE = frozenset(
    (
        "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_local_scalar_dense", "_nnz",
        "is_coalesced", "sparse_dim", "dense_dim", "_values", "_indices", "values", "indices", "_coalesced_",
        "_sparse_coo_tensor_with_dims_and_tensors", "is_same_size", "resize_", "set_", "_reshape_alias",
    )
)  # fmt: skip


@dataclass(frozen=True)
class _Form:
    """What an operation's signature says: the names of what it writes, and whether it gives new tensors."""

    idle: bool
    written: tuple[str, ...]
    makes: bool


class Traffic(TorchDispatchMode):
    """Counts bytes as if every operation read each of its arguments once, and wrote each of its results once.

    Views and empty tensors cost nothing.

    Args of the object:
        moved_bytes: so far.
        passes: operations that moved any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved_bytes = self.passes = 0
        self._forms: dict[Any, _Form] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        form = self._forms.get(func)
        if form is None:
            form = self._forms[func] = _form(func._schema)
        if form.idle:
            return result
        moved = self._moved(func, form, args, kwargs, result)
        self.moved_bytes += moved
        self.passes += moved > 0
        return result

    def _moved(
        self, func: Any, form: _Form, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> int:
        given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | dict(kwargs)
        overwrites = func._schema.name.partition("::")[2] in _OVERWRITES
        moved = 0
        for name, value in given.items():
            written = name in form.written
            read = not (written and (overwrites or name == "out"))
            moved += _bytes((value,)) * (written + read)
        return moved + (_bytes((result,)) if form.makes else 0)


def _form(schema: Any) -> _Form:
    namespace, _, name = schema.name.partition("::")
    aliases = [each.alias_info for each in schema.returns]
    view = any(alias is not None and not alias.is_write for alias in aliases)
    written = tuple(each.name for each in schema.arguments if each.alias_info is not None and each.alias_info.is_write)
    return _Form(view or name in _IDLE or namespace == "profiler", written, any(alias is None for alias in aliases))


def _bytes(values: Iterable[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _dense(values))


def _dense(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            if value.layout == torch.strided:
                yield value
            elif value.layout == torch.sparse_coo:
                yield from (value._indices(), value._values())
        elif isinstance(value, (list, tuple)):
            yield from _dense(value)


def calls(step: Callable[[], object]) -> int:
    """Functions that a step calls on the host, in Python and in C, whoever wrote them."""
    count = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    collecting, before = gc.isenabled(), sys.getprofile()
    # A collection would call finalizers of things that are none of the step's.
    gc.disable()
    sys.setprofile(seen)
    try:
        step()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    # The last one is the call that ends the counting.
    return count - 1
