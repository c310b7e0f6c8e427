"""Notice what changed since the last step: objects, tensors' memory and layout, gradients.

Each watch is asked once a step. Of many tensors a generated kernel asks, at the places that `peek` finds; of few
tensors, or where there are no such places, Python does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import peek
from .layout import layout_guard
from .native import kernel

_JOB, _RESULT, _ANSWER = 32, 16, 24
# Fewer tensors than this, Python asks as quickly, and nothing needs compiling.
FEW_TENSORS = 256

_address = torch._C.TensorBase.data_ptr
_grad = attrgetter("grad")

# Compares dispatch keys, dtype, sizes and strides of the tensor behind `handle` with what is written from `place` on.
_LAYOUT = """
        if load_int(load_int(handle, 0), place_keys) != load_int(layouts, place):
            return
        dim = ask(get_dim, handle, answer)
        # the dtype is 32 bits wide
        store_int(answer, 0, 0)
        if ask(get_dtype, handle, answer) != load_int(layouts, place + 1) or dim != load_int(layouts, place + 2):
            return
        sizes = ask(get_sizes, handle, answer)
        strides = ask(get_strides, handle, answer)
        place += 3
        for axis in range(dim):
            if load_int(sizes, axis) != load_int(layouts, place):
                return
            if load_int(strides, axis) != load_int(layouts, place + 1):
                return
            place += 2
"""

_HEAD = f"""
    records, count, addresses, shaped, layouts = (
        load_int(job, 0), load_int(job, 1), load_int(job, 2), load_int(job, 3), load_int(job, 4)
    )
    get_address, get_dim, get_sizes, get_strides, get_dtype = (
        load_int(job, 5), load_int(job, 6), load_int(job, 7), load_int(job, 8), load_int(job, 9)
    )
    place_keys, place_autograd, place_grad = load_int(job, 10), load_int(job, 11), load_int(job, 12)
    answer = job + 8 * {_ANSWER}
    store_int(job, {_RESULT}, 0)
    place = 0
"""

_MEMORY_SOURCE = f"""
def memory(job):
{_HEAD}
    for index in range(count):
        handle = records + 8 * index
        if ask(get_address, handle, answer) != load_int(addresses, index):
            return
        if index >= shaped:
            continue
{_LAYOUT}
    store_int(job, {_RESULT}, 1)
"""

_GRADIENTS_SOURCE = f"""
def gradients(job):
{_HEAD}
    moved = 0
    for index in range(count):
        autograd = load_int(load_int(records, index), place_autograd)
        if autograd == 0:
            return
        handle = autograd + 8 * place_grad
{_LAYOUT}
        address = ask(get_address, handle, answer)
        if address != load_int(addresses, index):
            store_int(addresses, index, address)
            moved = 1
    store_int(job, {_RESULT}, 1 + moved)
"""

_OBJECTS_SOURCE = f"""
def objects(job):
    found, held, count = load_int(job, 0), load_int(job, 1), load_int(job, 2)
    store_int(job, {_RESULT}, 0)
    for index in range(count):
        if load_int(found, index) != load_int(held, index):
            return
    store_int(job, {_RESULT}, 1)
"""


def objects(held: Iterable[Any]) -> Callable[[Iterable[Any]], bool]:
    """A test that an iterable gives these very objects, and as many. They are kept alive."""
    items = tuple(held)
    places = peek.places() if len(items) >= FEW_TENSORS else None
    return _PlainObjects(items) if places is None else _NativeObjects(items, places)


def memory(shaped: Sequence[Tensor], others: Sequence[Tensor]) -> Callable[[], bool]:
    """A test that all these tensors are where they are now, and `shaped` of the same dtype, shape and strides as well.

    The tensors are kept alive.
    """
    tensors = [*shaped, *others]
    places = peek.places() if len(tensors) >= FEW_TENSORS else None
    return _PlainMemory(shaped, tensors) if places is None else _NativeMemory(shaped, tensors, places)


def gradients(params: Sequence[Tensor], addresses: npt.NDArray[np.int64]) -> Callable[[], bool | None]:
    """A test that all parameters have gradients of the dtype, layout and device that they have now.

    Args:
        params: their gradients are there, and are dense. They are kept alive; gradients are not.
        addresses: int64 [params], where the gradients are; the test brings it up to date.

    Returns:
        A function that gives None where the gradients differ, else whether any address changed.
    """
    plain = all(type(param) in (Tensor, torch.nn.Parameter) and type(param.grad) is Tensor for param in params)
    places = peek.places() if plain and len(params) >= FEW_TENSORS else None
    return _PlainGradients(params, addresses) if places is None else _NativeGradients(params, addresses, places)


class _PlainObjects:
    def __init__(self, held: tuple[Any, ...]) -> None:
        self._held = held

    def __call__(self, items: Iterable[Any]) -> bool:
        # The end mark makes two sequences of different lengths differ.
        return all(map(is_, chain(items, (self,)), chain(self._held, (self,))))


class _PlainMemory:
    def __init__(self, shaped: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
        self.shaped, self.tensors = shaped, tensors
        self.layouts, self.addresses = self._layouts(), self._addresses()

    def _layouts(self) -> list[Any]:
        return [(t.dtype, t.shape, t.stride(), t.is_conj(), t.is_neg()) for t in self.shaped]

    def _addresses(self) -> list[int]:
        return list(map(_address, self.tensors))

    def __call__(self) -> bool:
        return self._addresses() == self.addresses and self._layouts() == self.layouts


class _PlainGradients:
    def __init__(self, params: Sequence[Tensor], addresses: npt.NDArray[np.int64]) -> None:
        self._params, self._addresses = params, addresses
        grads = list(map(_grad, params))
        self._guard = layout_guard(grads)
        self._last = list(map(_address, grads))

    def __call__(self) -> bool | None:
        grads = list(map(_grad, self._params))
        if not self._guard(grads):
            return None
        addresses = list(map(_address, grads))
        if addresses == self._last:
            return False
        self._addresses[:] = self._last = addresses
        return True


class _Native:
    """A job for a kernel: what is written in its first words, and the answer that comes back."""

    def __init__(self, source: str, name: str, words: Sequence[int]) -> None:
        self._job = np.zeros(_JOB, dtype=np.int64)
        self._job[: len(words)] = words
        self._at = self._job.ctypes.data
        self._kernel = kernel(source, name)

    def ask(self) -> int:
        self._kernel(self._at)
        return int(self._job[_RESULT])


class _NativeObjects(_Native):
    def __init__(self, held: tuple[Any, ...], places: peek.Places) -> None:
        self._held, self._first = held, 8 * places.items
        super().__init__(_OBJECTS_SOURCE, "objects", (0, id(held) + self._first, len(held)))

    def __call__(self, items: Iterable[Any]) -> bool:
        found = tuple(items)
        if len(found) != len(self._held):
            return False
        self._job[0] = id(found) + self._first
        return self.ask() == 1


class _NativeTensors(_Native):
    """A job over tensors, which it keeps alive: where each is, and of `shaped` the layout."""

    def __init__(
        self,
        source: str,
        name: str,
        tensors: Sequence[Tensor],
        addresses: npt.NDArray[np.int64],
        shaped: Sequence[Tensor],
        places: peek.Places,
    ) -> None:
        self._tensors, self._addresses = tensors, addresses
        self._records = np.array(list(map(peek.record, tensors)), dtype=np.int64)
        self._layouts = np.array([number for tensor in shaped for number in _layout(tensor)], dtype=np.int64)
        arrays = (self._records, addresses, self._layouts)
        records, at, layouts = (array.ctypes.data for array in arrays)
        functions = (places.address, places.dim, places.sizes, places.strides, places.dtype)
        found = (places.keys, places.autograd, places.grad)
        super().__init__(source, name, (records, len(tensors), at, len(shaped), layouts, *functions, *found))


class _NativeMemory(_NativeTensors):
    def __init__(self, shaped: Sequence[Tensor], tensors: Sequence[Tensor], places: peek.Places) -> None:
        addresses = np.array(list(map(_address, tensors)), dtype=np.int64)
        super().__init__(_MEMORY_SOURCE, "memory", tensors, addresses, shaped, places)

    def __call__(self) -> bool:
        return self.ask() == 1


class _NativeGradients(_NativeTensors):
    def __init__(self, params: Sequence[Tensor], addresses: npt.NDArray[np.int64], places: peek.Places) -> None:
        grads = [param.grad for param in params if param.grad is not None]
        super().__init__(_GRADIENTS_SOURCE, "gradients", params, addresses, grads, places)

    def __call__(self) -> bool | None:
        answer = self.ask()
        return None if not answer else answer > 1


def _layout(tensor: Tensor) -> list[int]:
    """Dispatch keys, dtype, number of dimensions, and size and stride of each."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return [peek.keys(tensor), peek.dtype_number(tensor.dtype), tensor.dim(), *chain.from_iterable(pairs)]
