"""Rates of schedulers that drive others, without stepping them."""

from collections.abc import Sequence
from typing import Any

from ...common.lr_scheduler.composite import CompositeBase, base_rates
from .base import LRScheduler


class Composite(CompositeBase, LRScheduler):
    """A scheduler of schedulers, whose rates are told by following its parts' formulas."""

    def lr_at(self, step: int) -> list[float]:
        """The rate of each group after so many steps of a run that nobody else touches, without taking them.

        Raises:
            TypeError: for a part of another package, whose formula is not known.
        """
        rates = self._begun([*map(float, base_rates(self))], later=False)
        for epoch in range(1, step + 1):
            rates = self._after(epoch, rates)
        return [*rates]

    def _known(self, part: Any) -> LRScheduler:
        if not isinstance(part, LRScheduler):
            raise TypeError(f"the rates of {type(part).__module__}.{type(part).__name__} are only known step by step")
        return part

    def _parts(self) -> Sequence[LRScheduler]:
        return [self._known(part) for part in self._schedulers]
