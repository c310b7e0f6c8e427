"""What averages have beyond what their tensors can hold, as long as nobody else writes to those."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from operator import attrgetter, eq, is_
from typing import Any

import torch
from torch import Tensor

from ..layout import real_dtype, scratch_for, walk_strides
from .passes import Digits, wide_dtype

# Below these weights an addition would lose most of its change: additions to tensors of 32 and 64 bits, and to the
# float32 average of a tensor of 16, which need not be known to as many digits.
SMALL_WEIGHT = 2.0**-10
SMALL_WEIGHT_OF_HALVES = 2.0**-14


class Memory:
    """The digits of a list of averages.

    They are made anew from a tensor to which somebody else wrote, which has other memory, or another dtype. A copy of
    the memory, by deepcopy or pickle along with its tensors, remembers what it did.
    """

    def __init__(self) -> None:
        self.averages: list[Tensor] = []
        self.digits: list[Digits] = []
        self._marks: list[Any] = []
        self._small: tuple[bool, bool] | None = None

    def digits_for(self, averages: Sequence[Tensor], weight: float) -> list[Digits]:
        """What updates with this weight need, the same list as long as nothing changed."""
        marks, small = _marks(averages), (weight < SMALL_WEIGHT, weight < SMALL_WEIGHT_OF_HALVES)
        standing = len(averages) == len(self.averages) and all(map(is_, averages, self.averages))
        if standing and small == self._small and marks == self._marks:
            return self.digits
        known = {}
        for tensor, *mark, digits in zip(self.averages, *self._marks, self.digits, strict=True):
            known[id(tensor)] = mark, digits
        found = []
        for average, *mark in zip(averages, *marks, strict=True):
            before, digits = known.get(id(average), (None, Digits()))
            found.append(_digits(average, digits if before == mark else Digits(), small))
        self.averages, self.digits, self._marks, self._small = list(averages), found, marks, small
        return self.digits

    def mark(self) -> None:
        """The tensors hold what the digits say."""
        self._marks = _marks(self.averages)

    def __getstate__(self) -> dict[str, Any]:
        holds = list(map(eq, zip(*self._marks, strict=True), zip(*_marks(self.averages), strict=True)))
        return {"averages": list(compress(self.averages, holds)), "digits": list(compress(self.digits, holds))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._small = None
        self.mark()


_version, _dtype = attrgetter("_version"), attrgetter("dtype")


def _marks(tensors: Sequence[Tensor]) -> list[Any]:
    """What changes where somebody writes to a tensor, or replaces its memory."""
    try:
        versions = list(map(_version, tensors))
    except RuntimeError:
        # tensors of inference mode count no versions
        versions = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
    return [versions, list(map(Tensor.data_ptr, tensors)), list(map(_dtype, tensors))]


def _digits(average: Tensor, old: Digits, small: tuple[bool, bool]) -> Digits:
    dtype, strides = wide_dtype(average), walk_strides(average)
    wide = old.wide
    if wide is None and dtype is not None:
        wide = scratch_for(average, strides, dtype)
    # float64 has digits to spare for an integer
    if dtype == torch.float64 or not small[dtype is not None]:
        return Digits(wide)
    residual = old.residual
    if residual is None:
        residual = scratch_for(average, strides, dtype or real_dtype(average)).zero_()
    return Digits(wide, residual)
