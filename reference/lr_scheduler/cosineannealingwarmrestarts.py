"""CosineAnnealingWarmRestarts: half a cosine from the initial rate to eta_min, again and again, each T_mult as long.

Paper: Ilya Loshchilov and Frank Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016,
https://arxiv.org/abs/1608.03983, equation 5.

Rate of a group at epoch t, T_cur after the last restart, in a run of T_i; T_i = T_0 in the first run:

    T_cur = T_cur + 1                                     and where T_cur >= T_i:
        T_cur = T_cur - T_i, T_i = T_i * T_mult           restart
    lr = eta_min + (base - eta_min) * (1 + cos(pi * T_cur/T_i)) / 2

It always sets this closed form, whatever the rate was. So it does when it is built with a last_epoch.

Where PyTorch departs from the paper:
- T_cur counts from 0 at a restart and never is T_i: a run ends above eta_min, the next epoch being the restart.

Where this departs from PyTorch's code:
- Built with a last_epoch, it finds T_cur and T_i; PyTorch takes the epoch for T_cur of the first run.
- The run that an epoch is in is counted, not computed by a logarithm, which may be off by one at a restart.
- Near the end of a run, the rate has all its digits; 1 + cos(...) cancels there.
"""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from ._base import Schedule
from ._ops import blend, half_cosine


def place(T_cur: float, T_i: int, T_mult: int) -> tuple[float, int]:
    """Go on to the run that an epoch is in: from T_cur, counted from the beginning of a run of T_i, to its own."""
    if T_mult == 1:
        return T_cur % T_i, T_i
    # restart
    #   T_cur = T_cur - T_i, T_i = T_i * T_mult
    while T_cur >= T_i:
        T_cur = T_cur - T_i
        T_i = T_i * T_mult
    return T_cur, T_i


def rate(T_cur: float, base: float, *, T_i: int, eta_min: float) -> float:
    """The rate T_cur after a restart."""
    # closed form, both ends exactly
    #   lr = eta_min + (base - eta_min) * (1 + cos(pi * T_cur/T_i))/2
    left = T_i - T_cur
    return blend(base, eta_min, half_cosine(T_cur, left), half_cosine(left, T_cur))


class CosineAnnealingWarmRestarts(Schedule):
    """Anneal along cosines, with restarts, drop-in for torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.

    Args: as torch's. T_0 > 0 is the first run's length in epochs, T_mult >= 1 an integer, eta_min the lowest rate.
    Raises: ValueError for a value out of its range.
    Example: `CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=2).step(epoch + batch/batches)`
    """

    _rate = staticmethod(rate)

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"T_0 must be a positive integer, not {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"T_mult must be an integer of at least 1, not {T_mult}")
        if not isinstance(eta_min, float | int):
            raise ValueError(f"eta_min must be a float or an integer, not {eta_min} of type {type(eta_min).__name__}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to any: a fraction is a moment within it.

        Raises: ValueError for an epoch below 0.
        """
        if epoch is not None and epoch < 0:
            raise ValueError(f"epoch must be 0 or more, not {epoch}")
        self._count_step()
        self._update_lr(epoch)

    def _update_lr(self, epoch: float | None = None) -> None:
        if epoch is None and self.last_epoch >= 0:
            self.T_cur, self.T_i = place(self.T_cur + 1, self.T_i, self.T_mult)
        else:
            self.T_cur, self.T_i = place(self.last_epoch + 1 if epoch is None else epoch, self.T_0, self.T_mult)
        super()._update_lr(None if epoch is None else math.floor(epoch))

    def _closed(self, index: int, epoch: float) -> float:
        # The epoch is a whole number, T_cur need not be.
        return super()._closed(index, self.T_cur)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"T_i": self.T_i, "eta_min": float(self.eta_min)}
