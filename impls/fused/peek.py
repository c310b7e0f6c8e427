"""Where this torch and this Python keep what the host asks for at every step, found out by looking.

Reading the gradients of a thousand parameters from Python takes as long as updating them: after a backward pass each
one has to be wrapped into a Python object first. So generated kernels read the same facts from memory: through torch's
stable C interface (the `aoti_torch_` functions, made for compiled models) where it has a function, and else at places
in torch's own records. These places are searched for, once, in tensors whose facts are known, and used only where
they are found and unique, in versions in which this was tried. Where anything is missing, Python asks.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .layout import TRIED_PRIVATE_TORCH

_WORD = 8
# Bytes of a tensor's record, and of the part of autograd's that is looked at: both are longer in every version tried.
_RECORD, _AUTOGRAD = 176, 96


@dataclass(frozen=True)
class Places:
    """Addresses of C functions, and places in records in words of eight bytes.

    Args:
        address, dim, sizes, strides, dtype: functions (handle, where to put the answer) of torch's C interface. A
            handle is the address of a word that holds the address of a tensor's record.
        keys: in a tensor's record, the set of its dispatch keys: device type, layout, conj and neg bits.
        autograd: in a tensor's record, the address of autograd's record of it; 0 where there is none.
        grad: in autograd's record, the address of the gradient's record.
        items: in a Python tuple, the addresses of its items.
    """

    address: int
    dim: int
    sizes: int
    strides: int
    dtype: int
    keys: int
    autograd: int
    grad: int
    items: int


@functools.cache
def places() -> Places | None:
    """The places, or None where Python has to be asked."""
    known = TRIED_PRIVATE_TORCH and hasattr(os, "RTLD_NOLOAD") and ctypes.sizeof(ctypes.c_void_p) == _WORD
    if not known or platform.python_implementation() != "CPython" or not getattr(sys, "_is_gil_enabled", lambda: 1)():
        return None
    try:
        functions = [_function(f"aoti_torch_get_{name}") for name in ("data_ptr", "dim", "sizes", "strides", "dtype")]
        found = [_keys(), _autograd(), _grad(), _items()]
    except (OSError, AttributeError):
        return None
    whole = [place for place in found if place is not None]
    return Places(*functions, *whole) if len(whole) == len(found) else None


def record(tensor: Tensor) -> int:
    """The address of a tensor's record."""
    return tensor._cdata


def keys(tensor: Tensor) -> int:
    """The set of a tensor's dispatch keys."""
    return torch._C._dispatch_keys(tensor).raw_repr()


@functools.cache
def dtype_number(dtype: torch.dtype) -> int:
    """How the C interface names a dtype."""
    return int(getattr(_library(), f"aoti_torch_dtype_{str(dtype).removeprefix('torch.')}")())


@functools.cache
def _library() -> ctypes.CDLL:
    # The library is loaded already; nothing may load a second one.
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)


def _function(name: str) -> int:
    return ctypes.cast(getattr(_library(), name), ctypes.c_void_p).value or 0


def _word(address: int, place: int) -> int:
    return ctypes.c_uint64.from_address(address + _WORD * place).value


def _only(found: Sequence[int]) -> int | None:
    return found[0] if len(found) == 1 else None


def _keys() -> int | None:
    plain = torch.zeros(3)
    tensors = [plain, torch._neg_view(plain), plain.to_sparse(), torch.zeros(3, dtype=torch.complex64).conj()]
    return _only([i for i in range(1, _RECORD // _WORD) if all(_word(record(t), i) == keys(t) for t in tensors)])


def _with_gradient() -> Tensor:
    param = torch.zeros(3, requires_grad=True)
    param.grad = torch.zeros(3)
    return param


def _autograd() -> int | None:
    with torch.inference_mode(False):
        tensors = [torch.zeros(3), torch.zeros(2, 5)]
        before = [[_word(record(t), i) for i in range(_RECORD // _WORD)] for t in tensors]
        for tensor in tensors:
            tensor.requires_grad_()
    changed = [
        i
        for i in range(1, _RECORD // _WORD)
        if all(not words[i] and _word(record(t), i) for t, words in zip(tensors, before, strict=True))
    ]
    return _only(changed)


def _grad() -> int | None:
    place = _autograd()
    if place is None:
        return None
    with torch.inference_mode(False):
        params = [_with_gradient(), _with_gradient()]
    found = [
        i
        for i in range(1, _AUTOGRAD // _WORD)
        if all(_word(_word(record(p), place), i) == record(p.grad) for p in params if p.grad is not None)
    ]
    return _only(found)


def _items() -> int | None:
    pair = (object(), object())
    words = pair.__sizeof__() // _WORD
    return _only([i for i in range(words - 1) if [_word(id(pair), i + k) for k in (0, 1)] == [*map(id, pair)]])
