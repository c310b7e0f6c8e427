"""Notice that tensors got other memory or another layout, as `tensor.data = …` gives them.

Asking thousands of tensors for their address from Python costs more than updating them. torch's stable C interface
(the `aoti_torch_` functions, made for compiled models) answers in nanoseconds, and a generated kernel asks it for all
tensors at once. Where it is missing, Python asks.
"""

from __future__ import annotations

import ctypes
import functools
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .layout import TRIED_PRIVATE_TORCH
from .native import kernel

_QUESTIONS = (
    "aoti_torch_get_data_ptr",
    "aoti_torch_get_dim",
    "aoti_torch_get_sizes",
    "aoti_torch_get_strides",
    "aoti_torch_get_dtype",
)
_RESULT, _ANSWER = 16, 24
# Fewer tensors than this, Python asks as quickly, and nothing needs compiling.
FEW_TENSORS = 256

_SOURCE = f"""
def watch(job):
    handles, count, addresses, shaped, layouts = (
        load_int(job, 0), load_int(job, 1), load_int(job, 2), load_int(job, 3), load_int(job, 4)
    )
    get_address, get_dim, get_sizes, get_strides, get_dtype = (
        load_int(job, 5), load_int(job, 6), load_int(job, 7), load_int(job, 8), load_int(job, 9)
    )
    answer = job + 8 * {_ANSWER}
    store_int(job, {_RESULT}, 0)
    for index in range(count):
        if ask(get_address, load_int(handles, index), answer) != load_int(addresses, index):
            return
    place = 0
    for index in range(shaped):
        handle = load_int(handles, index)
        dim = ask(get_dim, handle, answer)
        # the dtype is 32 bits wide
        store_int(answer, 0, 0)
        if ask(get_dtype, handle, answer) != load_int(layouts, place) or dim != load_int(layouts, place + 1):
            return
        sizes = ask(get_sizes, handle, answer)
        strides = ask(get_strides, handle, answer)
        place += 2
        for axis in range(dim):
            if load_int(sizes, axis) != load_int(layouts, place):
                return
            if load_int(strides, axis) != load_int(layouts, place + 1):
                return
            place += 2
    store_int(job, {_RESULT}, 1)
"""


def watch(shaped: Sequence[Tensor], others: Sequence[Tensor]) -> Callable[[], bool]:
    """A test that all these tensors are where they are now, and `shaped` of the same dtype, shape and strides as well.

    The tensors' memory stays allocated as long as the test is kept.
    """
    tensors = [*shaped, *others]
    functions = _c_interface() if len(tensors) >= FEW_TENSORS else None
    if functions is None:
        return _Plain(shaped, tensors)
    return _Native(shaped, tensors, functions)


class _Plain:
    def __init__(self, shaped: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
        self.shaped, self.tensors = shaped, tensors
        self.layouts, self.addresses = self._layouts(), self._addresses()

    def _layouts(self) -> list[Any]:
        return [(tensor.dtype, tensor.shape, tensor.stride()) for tensor in self.shaped]

    def _addresses(self) -> list[int]:
        return list(map(torch._C.TensorBase.data_ptr, self.tensors))

    def __call__(self) -> bool:
        return self._addresses() == self.addresses and self._layouts() == self.layouts


class _Native:
    def __init__(self, shaped: Sequence[Tensor], tensors: Sequence[Tensor], functions: tuple[int, ...]) -> None:
        capsules = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))
        self._handles = np.array([_pointer(capsule, None) for capsule in capsules], dtype=np.int64)
        # A handle owns a reference to its tensor.
        weakref.finalize(self, _release, self._handles)
        self._addresses = np.array([tensor.data_ptr() for tensor in tensors], dtype=np.int64)
        self._layouts = np.array([number for tensor in shaped for number in _layout(tensor)], dtype=np.int64)
        self._job = np.zeros(32, dtype=np.int64)
        parts = (
            self._handles.ctypes.data,
            len(tensors),
            self._addresses.ctypes.data,
            len(shaped),
            self._layouts.ctypes.data,
        )
        self._job[: len(parts) + len(functions)] = parts + functions
        self._address = self._job.ctypes.data
        self._kernel = kernel(_SOURCE, "watch")

    def __call__(self) -> bool:
        self._kernel(self._address)
        return bool(self._job[_RESULT])


def _layout(tensor: Tensor) -> list[int]:
    pairs = [number for pair in zip(tensor.shape, tensor.stride(), strict=True) for number in pair]
    return [_dtype_number(tensor.dtype), tensor.dim(), *pairs]


@functools.cache
def _dtype_number(dtype: torch.dtype) -> int:
    """How the C interface names a dtype."""
    return int(getattr(_library(), f"aoti_torch_dtype_{str(dtype).removeprefix('torch.')}")())


@functools.cache
def _library() -> ctypes.CDLL:
    # The library is loaded already; nothing may load a second one.
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)


@functools.cache
def _c_interface() -> tuple[int, ...] | None:
    """Addresses of the functions in `_QUESTIONS`, if this torch has them."""
    if not TRIED_PRIVATE_TORCH or not hasattr(os, "RTLD_NOLOAD"):
        return None
    try:
        functions = [getattr(_library(), name) for name in (*_QUESTIONS, "aoti_torch_delete_tensor_object")]
        torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors  # noqa: B018 - asked for
    except (OSError, AttributeError):
        return None
    return tuple(ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions[: len(_QUESTIONS)])


def _release(handles: np.ndarray[Any, Any]) -> None:
    delete = _library().aoti_torch_delete_tensor_object
    for handle in handles.tolist():
        delete(ctypes.c_void_p(handle))


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_pointer.restype = ctypes.c_void_p
