"""PolynomialLR: a power of what is left of total_iters, and then 0.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ..., with N = total_iters:

    f(t) = ((N - t) / N)**power      and f(t) = 0**power for t >= N, which is 1 for power 0
    lr(t) = base * f(t)                      closed
    lr(t) = lr(t - 1) * f(t) / f(t - 1)      recursive, with f(-1) = 1

Where this departs from PyTorch's code:
- With total_iters 0 the way is over at epoch 0. PyTorch keeps the initial rate, and its closed form divides by zero.
- A power below 0 is refused at once; PyTorch divides by zero at N.
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from . import _ops
from ._base import Schedule


def share(epoch: float, *, total_iters: float, power: float) -> float:
    """The rate as a share of the initial one."""
    # what is left
    #   f = ((N - t)/N)**power
    return _ops.power(_ops.remaining(epoch, total_iters), power)


def rate(epoch: float, base: float, *, total_iters: float, power: float) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * f(t)
    return base * share(epoch, total_iters=total_iters, power=power)


def next_rate(epoch: float, lr: float, base: float, *, total_iters: float, power: float) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form; an f of 0 is the last one
    #   lr = lr * f(t)/f(t - 1)
    now = share(epoch, total_iters=total_iters, power=power)
    before = share(epoch - 1, total_iters=total_iters, power=power) if epoch > 0 else 1.0
    return lr if now == before else lr * now / before


class PolynomialLR(Schedule):
    """Go down along a power, drop-in for torch.optim.lr_scheduler.PolynomialLR.

    Args: as torch's. total_iters is in epochs; power >= 0 is an exponent, 1 for a straight line.
    Raises: ValueError for a power below 0.
    Example: `PolynomialLR(optimizer, total_iters=20, power=0.9).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        if not power >= 0:
            raise ValueError(f"power must be 0 or more, not {power}")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"total_iters": self.total_iters, "power": self.power}
