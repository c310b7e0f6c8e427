"""Constructor, checks and state of CosineAnnealingWarmRestarts: everything but its arithmetic."""

import math
from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check


class CosineAnnealingWarmRestartsBase(LRSchedulerBase):
    """CosineAnnealingWarmRestarts without its arithmetic.

    `T_cur` epochs are over of the cycle, which has `T_i`. A tier implements `_cycle`, which tells both of any epoch,
    and `_within`, the rates there.

    Raises:
        ValueError: for a T_0 that is not a positive integer, a T_mult that is not an integer of at least 1, an eta_min
            that is not a number, or a negative epoch.

    Source: the constructor of torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.
    """

    absolute: ClassVar = True

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check(isinstance(T_0, int) and T_0 > 0, "T_0", T_0, "a positive integer")
        check(isinstance(T_mult, int) and T_mult >= 1, "T_mult", T_mult, "an integer of at least 1")
        check(isinstance(eta_min, float | int), "eta_min", eta_min, "a float or an int")
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur, self.T_i = self._cycle(last_epoch)
        super().__init__(optimizer, last_epoch)

    def _cycle(self, epoch: float) -> tuple[float, int]:
        """Epochs that are over of the cycle in which this epoch is, and epochs that the cycle has."""
        raise NotImplementedError(f"{type(self).__name__} must implement _cycle")

    def _within(self, T_cur: float, T_i: int) -> list[float]:
        """The rate of each group where so many epochs are over of a cycle that has so many."""
        raise NotImplementedError(f"{type(self).__name__} must implement _within")

    def _curve(self, epoch: float) -> list[float]:
        return self._within(*self._cycle(epoch))

    def _here(self) -> list[float]:
        return self._within(self.T_cur, self.T_i)

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go to the next epoch, or to the one that is named, which may be a fraction."""
        if epoch is None:
            super().step()
            return
        check(epoch >= 0, "epoch", epoch, "at least 0")
        self._step_count += 1
        self._update_lr(epoch)  # type: ignore[arg-type]

    def _settle(self, given: bool) -> None:
        before = self.T_cur, self.T_i
        if given or self.last_epoch == 0:
            self.T_cur, self.T_i = self._cycle(self.last_epoch)
            self.last_epoch = math.floor(self.last_epoch)
        else:
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        try:
            super()._settle(given)
        except BaseException:
            self.T_cur, self.T_i = before
            raise
