"""Sparse gradients: gather the rows that a gradient touches, update them by a rule, scatter them back, in one launch.

A coalesced gradient says which rows of the parameter it has values for, each once. The launch walks the values; the
parameter and its state are read and written at the rows' own places, and nothing else of them is touched.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .backends import backend_for
from .bucket import Bucket
from .lang import Rule
from .layout import STORAGE_DTYPES, real_dtype


@dataclass(eq=False)
class RowBucket(Bucket):
    """A bucket whose gradients hold rows only. `numel` counts the gradients' elements, and may be 0.

    Args:
        rows: int64 [tensors], addresses of each tensor's row numbers, int64 [numel / width].
        width: int64 [tensors], elements of a row; at least 1.
    """

    rows: npt.NDArray[np.int64] = field(kw_only=True)
    width: npt.NDArray[np.int64] = field(kw_only=True)


class RowStep(NamedTuple):
    """What a sparse step of one parameter consists of.

    Args:
        grad: sparse, of the parameter's shape.
        state: the states of the rule that exist under the flags, in its order.
        step: the count of steps, None for a rule that stores none.
        number: what `prepare` then sees as the step.
    """

    param: Tensor
    grad: Tensor
    state: list[Tensor]
    flags: tuple[int, ...]
    hyper: tuple[float, ...]
    step: Tensor | None = None
    number: float = 2.0


class _Key(NamedTuple):
    device: torch.device
    dtype: torch.dtype
    flags: tuple[int, ...]
    step_dtype: torch.dtype
    steps_on_device: bool


class _Arranged(NamedTuple):
    step: RowStep
    key: _Key
    # param, grad and the states, as the launch walks them
    arrays: list[Tensor]
    rows: Tensor
    width: int
    # (where it must go, at which places, what is written)
    copies: list[tuple[Tensor, tuple[Tensor, ...], Tensor]]


def update_rows(rule: Rule, steps: Iterable[RowStep]) -> tuple[str, ...]:
    """Take a step of parameters with sparse gradients, one launch for each dtype and set of flags.

    Returns:
        The names of the backends that did.
    """
    by_key: dict[_Key, list[_Arranged]] = {}
    for step in steps:
        arranged = _arrange(step)
        by_key.setdefault(arranged.key, []).append(arranged)
    names = []
    for key, members in by_key.items():
        bucket = _bucket(rule, key, members)
        backend = backend_for(key.device)
        scalars = backend.prepare(bucket)
        if bucket.numel.any():
            importlib.import_module(f"{backend.__name__.removesuffix('_backend')}_rows").update(bucket, scalars)
        for target, places, scratch in chain.from_iterable(member.copies for member in members):
            target[places] = scratch.to(target.dtype)
        names.append(backend.NAME)
    return tuple(dict.fromkeys(names))


def _arrange(step: RowStep) -> _Arranged:
    # coalesce: one row an index
    grad = step.grad.coalesce()
    values, places = grad.values(), tuple(grad.indices().unbind())
    tensors = [step.param, *step.state]
    dtype = _storage([values, *tensors])
    copies: list[tuple[Tensor, tuple[Tensor, ...], Tensor]] = []
    if all(tensor.is_contiguous() and real_dtype(tensor) == dtype and not _has_bits(tensor) for tensor in tensors):
        rows = _row_numbers(places, grad)
        arrays = tensors
    else:
        # Rows that do not lie in one piece are copied, and the launch walks the copies.
        rows = torch.arange(len(values), device=values.device)
        arrays = [_plain(tensor[places], dtype) for tensor in tensors]
        copies = list(zip(tensors, [places] * len(tensors), arrays, strict=True))
    count = step.step
    key = _Key(
        device=step.param.device,
        dtype=dtype,
        flags=step.flags,
        step_dtype=torch.float32 if count is None else count.dtype,
        steps_on_device=count is not None and count.device.type != "cpu",
    )
    values = _plain(values, dtype)
    width = values.numel() // max(len(values), 1) * (1 + values.is_complex())
    return _Arranged(step, key, [arrays[0], values, *arrays[1:]], rows, max(width, 1), copies)


def _row_numbers(places: tuple[Tensor, ...], grad: Tensor) -> Tensor:
    if len(places) == 1:
        return places[0].contiguous()
    rows = torch.zeros(grad._nnz(), dtype=torch.int64, device=grad.device)
    for place, size in zip(places, grad.shape, strict=False):
        rows = rows * size + place
    return rows


def _bucket(rule: Rule, key: _Key, members: list[_Arranged]) -> RowBucket:
    counts = [member.step.step for member in members]
    present = [0, 1] + [row + 2 for row, exists in enumerate(rule.present(key.flags)) if exists]
    arrays = np.zeros((2 + len(rule.state), len(members)), dtype=np.int64)
    arrays[present] = np.array([[array.data_ptr() for array in member.arrays] for member in members]).T
    return RowBucket(
        rule=rule,
        flags=key.flags,
        dtype=key.dtype,
        device=key.device,
        arrays=arrays,
        # not rows times width, which is at least 1 where rows have no elements
        numel=np.array([member.arrays[1].numel() * (1 + member.arrays[1].is_complex()) for member in members]),
        steps=np.array([0 if count is None else count.data_ptr() for count in counts]),
        step_dtype=key.step_dtype,
        steps_on_device=key.steps_on_device,
        step_numbers=np.array([member.step.number for member in members], dtype=np.float64),
        hyper=np.array([member.step.hyper for member in members], dtype=np.float64),
        tensor_state=np.zeros((0, len(members)), dtype=np.int64),
        rows=np.array([member.rows.data_ptr() for member in members]),
        width=np.array([member.width for member in members]),
        # the addresses are those of tensors that must live as long
        derived={"members": members},
    )


def _storage(tensors: list[Tensor]) -> torch.dtype:
    """The dtype that all arrays have, or the one to compute in where they differ."""
    dtypes = {real_dtype(tensor) for tensor in tensors}
    if not dtypes <= set(STORAGE_DTYPES):
        raise TypeError(f"the fused tier computes on floating point and complex tensors, got {tensors[0].dtype}")
    if len(dtypes) == 1:
        return dtypes.pop()
    return torch.float64 if torch.float64 in dtypes else torch.float32


def _has_bits(tensor: Tensor) -> bool:
    return tensor.is_conj() or tensor.is_neg()


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in one piece of memory, in this storage dtype."""
    wanted = dtype.to_complex() if tensor.is_complex() else dtype
    if tensor.dtype == wanted and tensor.is_contiguous() and not _has_bits(tensor):
        return tensor
    return tensor.to(wanted).resolve_conj().resolve_neg().contiguous()


def sparse_grad(param: Any) -> bool:
    """Whether a parameter has a gradient that holds rows only."""
    return param.grad is not None and param.grad.layout == torch.sparse_coo
