"""What the vectorised schedulers share: a curve and a recursion of float64 vectors, one entry a parameter group."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...common.lr_scheduler.base import LRSchedulerBase

Vector = NDArray[np.float64]

# A rate this near to the curve, or this many spacings of the numbers that keep it, is on it: a recursion, in which a
# checkpoint of torch's may have it from, gathers roundings.
NEAR, NEAR_SPACINGS = 1e-12, 4.0


class LRScheduler(LRSchedulerBase):
    """Base of the schedulers of this tier, and of those that users write as for torch, by `get_lr`.

    An algorithm implements `_rates`, its closed form, and, where a rate depends on the one before, `_step`, one step of
    its recursion. Both take and give vectors, an entry a group, and change nothing.
    """

    caches: ClassVar = (*LRSchedulerBase.caches, "_vectors", "_product", "_told")
    # lists as vectors
    _vectors: dict[str, tuple[list[Any], Vector]] | None = None
    # base rates, a factor, and their product
    _product: tuple[Vector, float, Vector] | None = None
    # the vector that was last told as a list
    _told: tuple[Vector, list[float]] | None = None

    def lr_at(self, step: int) -> list[float]:
        """The rate of each group after so many steps of a run that nobody else touches, without taking them."""
        return [*self._curve(step)]

    def _rates(self, epoch: float, base: Vector) -> Vector:
        """The rates at this epoch, from the base rates."""
        raise NotImplementedError(f"{type(self).__name__} must implement _rates or get_lr")

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        """The rates at this epoch, from those that stand at the one before, or at construction."""
        raise NotImplementedError(f"{type(self).__name__} must implement _step or get_lr")

    def _curve(self, epoch: float) -> list[float]:
        rates = self._rates(epoch, self._base())
        if self._told is None or self._told[0] is not rates:
            self._told = rates, rates.tolist()
        return self._told[1]

    def _advance(self, epoch: float, rates: Sequence[float], spacings: Sequence[float] | None) -> list[float]:
        base, standing = self._base(), self._vector("standing", rates)
        with np.errstate(all="ignore"):
            moved = self._step(epoch, base, standing)
            if self.closed and epoch > 0:
                before = self._rates(epoch - 1, base)
                slack = NEAR if spacings is None else np.maximum(NEAR, NEAR_SPACINGS * np.array(spacings))
                near = (standing == before) | (np.abs(standing - before) <= slack * np.abs(before))
                moved = np.where(near, self._rates(epoch, base), moved)
        given: list[float] = moved.tolist()
        # what is given now stands there next time
        self._kept()["standing"] = given, moved
        return given

    def _after(self, epoch: int, rates: list[float]) -> list[float]:
        """The rates at this epoch, 1 or more, where these stand at the one before."""
        return self._curve(epoch) if self.absolute else self._advance(epoch, rates, None)

    def _begun(self, rates: list[float], later: bool) -> list[float]:
        """The rates at epoch 0, where these stand before: at construction, or later, in the turn of a SequentialLR."""
        return self._curve(0) if self.absolute or (later and self.jumps) else self._advance(0, rates, None)

    def _base(self) -> Vector:
        return self._vector("base_lrs", self.base_lrs)

    def _scaled(self, base: Vector, factor: float) -> Vector:
        """base*factor, the same vector as long as both are."""
        known = self._product
        if known is None or known[0] is not base or known[1] != factor:
            known = self._product = base, factor, scaled(base, factor)
        return known[2]

    def _vector(self, name: str, values: Sequence[Any]) -> Vector:
        """Numbers, or tensors of one, as a vector, which is kept under this name until one changes."""
        known = self._kept().get(name)
        if known is None or known[0] != values:
            known = self._kept()[name] = [*values], np.array([*map(float, values)])
        return known[1]

    def _kept(self) -> dict[str, tuple[list[Any], Vector]]:
        if self._vectors is None:
            self._vectors = {}
        return self._vectors


def power(base: float, exponent: float) -> float:
    """`base**exponent`, infinite where that is too large for a float."""
    try:
        return base**exponent
    except OverflowError:
        return np.inf


def cosine(over: float, length: float) -> tuple[float, float]:
    """Weights of start and end after `over` of `length`: (1 + cos(pi*over/length))/2, and what it lacks to 1.

    By sines of half the angle, from both ends, so that a small weight has all its digits.
    """
    if length == math.inf:
        return 1.0, 0.0
    half = math.pi / 2
    return math.sin(half * ((length - over) / length)) ** 2, math.sin(half * (over / length)) ** 2


def scaled(rates: Vector, factor: Any) -> Vector:
    """rates*factor, without a warning where that is too large; a rate of 0 stays 0 under an infinite factor."""
    if type(factor) is float and -1e200 < factor < 1e200:
        return rates * factor
    with np.errstate(all="ignore"):
        return np.where((rates == 0) & np.isinf(factor), rates, rates * factor)
