"""What averages have beyond what their tensors hold, for as long as nobody else writes to those."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .averages import wide_dtype


class Digits(NamedTuple):
    """More of an average.

    Args:
        wide: all of it, where its tensor has too few bits; None where that has enough.
        low: what additions have lost; None where nothing was kept.
    """

    wide: Tensor | None = None
    low: Tensor | None = None


class Memory:
    """The digits of averages, each known by its tensor.

    Somebody else's writing shows by the tensor's version, memory, device or dtype: the digits are then made anew. A
    copy, by deepcopy or pickle along with the tensors, remembers what holds.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[Tensor, Any, Digits]] = {}

    def digits(self, averages: Sequence[Tensor], *, compensated: bool) -> list[Digits]:
        """The digits of averages of one dtype, made where there are none.

        Args:
            compensated: whether what additions lose is to be kept.
        """
        wide = wide_dtype(averages[0].dtype)
        result = []
        for average in averages:
            tensor, mark, digits = self._held.get(id(average), (None, None, Digits()))
            if tensor is not average or mark != _mark(average):
                digits = Digits()
            if digits.wide is None and wide != average.dtype:
                digits = Digits(average.to(wide))
            if compensated and digits.low is None:
                digits = digits._replace(low=torch.zeros_like(average, dtype=wide))
            result.append(digits if compensated else digits._replace(low=None))
        return result

    def keep(self, averages: Sequence[Tensor], digits: Sequence[Digits]) -> None:
        """Remember digits that go with what the tensors hold now."""
        for average, more in zip(averages, digits, strict=True):
            self._held[id(average)] = average, _mark(average), more

    def __getstate__(self) -> list[tuple[Tensor, Digits]]:
        return [(tensor, digits) for tensor, mark, digits in self._held.values() if mark == _mark(tensor)]

    def __setstate__(self, state: list[tuple[Tensor, Digits]]) -> None:
        self._held = {id(tensor): (tensor, _mark(tensor), digits) for tensor, digits in state}


def _mark(tensor: Tensor) -> tuple[Any, ...]:
    # tensors of inference mode count no versions
    version = 0 if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.device, tensor.dtype
