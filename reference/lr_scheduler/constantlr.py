"""ConstantLR: a factor until total_iters, then the initial rate.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ..., with N = total_iters:

    f(t) = factor where t < N, else 1
    lr(t) = base * f(t)                      closed
    lr(t) = lr(t - 1) * f(t) / f(t - 1)      recursive, with f(-1) = 1

Where this departs from PyTorch's code:
- With total_iters 0 the phase is over at epoch 0, at the initial rate. PyTorch's recursive form keeps the factor.
- With factor 0 the initial rate comes back at N; PyTorch divides by zero. A rate set meanwhile by something else stays.
- Built with last_epoch = N - 1, PyTorch divides a rate that is the initial one already.
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ._base import Schedule


def share(epoch: float, *, factor: float, total_iters: float) -> float:
    """The rate as a share of the initial one."""
    return factor if epoch < total_iters else 1.0


def rate(epoch: float, base: float, *, factor: float, total_iters: float) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * f(t)
    return base * share(epoch, factor=factor, total_iters=total_iters)


def next_rate(epoch: float, lr: float, base: float, *, factor: float, total_iters: float) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form
    #   lr = lr * f(t)/f(t - 1)
    now = share(epoch, factor=factor, total_iters=total_iters)
    before = share(epoch - 1, factor=factor, total_iters=total_iters) if epoch > 0 else 1.0
    return lr * (now / before) if before else lr


class ConstantLR(Schedule):
    """Multiply by a factor until total_iters, drop-in for torch.optim.lr_scheduler.ConstantLR.

    Args: as torch's. factor is in [0, 1]; total_iters is in epochs.
    Raises: ValueError for a factor out of its range.
    Example: `ConstantLR(optimizer, factor=0.5, total_iters=4).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be between 0 and 1, not {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"factor": self.factor, "total_iters": self.total_iters}
