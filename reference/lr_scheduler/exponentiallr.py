"""ExponentialLR: decays by gamma every epoch.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ...:

    lr(t) = base * gamma**t         closed
    lr(t) = lr(t - 1) * gamma       recursive
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ._base import Schedule
from ._ops import power


def rate(epoch: float, base: float, *, gamma: float) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * gamma**t
    return base * power(gamma, epoch)


def next_rate(epoch: float, lr: float, base: float, *, gamma: float) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form; the first rate is the one that stands there
    #   lr = lr * gamma
    return lr * gamma if epoch > 0 else lr


class ExponentialLR(Schedule):
    """Decay by gamma every epoch, drop-in for torch.optim.lr_scheduler.ExponentialLR.

    Args: as torch's. gamma is a factor.
    Example: `ExponentialLR(optimizer, gamma=0.95).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"gamma": self.gamma}
