"""Which tensors can be walked as flat memory in their parameter's order, and scratch copies of those that cannot."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

# Private parts of torch that make checks of many tensors cheap, and crash when they are called in other ways: only
# for versions in which they are known.
TRIED_PRIVATE_TORCH = (2, 11) <= tuple(map(int, torch.__version__.split(".")[:2])) <= (2, 13)
TensorGuards: Any = importlib.import_module("torch._C._dynamo.guards").TensorGuards if TRIED_PRIVATE_TORCH else None

_REAL = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}
_COMPLEX = {real: imaginary for imaginary, real in _REAL.items()}
STORAGE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def real_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype of the tensor's numbers: that of its real view where it is complex."""
    return _REAL.get(tensor.dtype, tensor.dtype)


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one block of memory, each once, in any order of the dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def walk_strides(tensor: Tensor) -> tuple[int, ...]:
    """Strides in which a parameter's arrays are walked: its own if it is dense, else those of a contiguous tensor."""
    if is_dense(tensor):
        return tensor.stride()
    return torch.empty(tensor.shape, device="meta").stride()


def fits(tensor: Tensor, strides: Sequence[int], dtype: torch.dtype) -> bool:
    """Whether memory as it stands can be walked in these strides and this storage dtype."""
    return (
        real_dtype(tensor) == dtype
        and not tensor.is_neg()
        and not tensor.is_conj()
        and all(
            size == 1 or stride == wanted
            for size, stride, wanted in zip(tensor.shape, tensor.stride(), strides, strict=True)
        )
    )


def scratch_for(tensor: Tensor, strides: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A copy of the tensor in these strides and this storage dtype."""
    kind = _COMPLEX[dtype] if tensor.is_complex() else dtype
    return torch.empty_strided(tensor.shape, strides, dtype=kind, device=tensor.device).copy_(tensor)


def layout_guard(tensors: Sequence[Tensor]) -> Callable[[Sequence[Tensor]], bool]:
    """A fast test that other tensors have, one by one, the dtype, device, shape, strides and conj and neg bits of
    these.

    It may say no where nothing that matters differs; it holds no tensor.
    """
    if TensorGuards is not None and len({id(tensor) for tensor in tensors}) == len(tensors):
        sizes = [list(tensor.shape) for tensor in tensors]
        strides = [list(tensor.stride()) for tensor in tensors]
        check = TensorGuards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
        return lambda others: check(*others)
    expected = _describe(tensors)
    return lambda others: _describe(others) == expected


_ATTRIBUTES = attrgetter("dtype", "device", "shape", "layout")


def _describe(tensors: Sequence[Any]) -> list[Any] | None:
    if any(not isinstance(tensor, Tensor) or tensor.layout != torch.strided for tensor in tensors):
        return None
    methods = (Tensor.stride, Tensor.is_conj, Tensor.is_neg)
    return list(itertools.chain(map(_ATTRIBUTES, tensors), *(map(method, tensors) for method in methods)))
