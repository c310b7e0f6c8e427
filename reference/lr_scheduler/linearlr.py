"""LinearLR: a factor that goes linearly from start_factor to end_factor in total_iters epochs, and stays.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ..., with N = total_iters:

    f(t) = start_factor * (N - t)/N + end_factor * t/N     and f(t) = end_factor for t >= N
    lr(t) = base * f(t)                      closed
    lr(t) = lr(t - 1) * f(t) / f(t - 1)      recursive, with f(-1) = 1

Where this departs from PyTorch's code:
- With total_iters 0 the way is over at epoch 0: the factor is end_factor. PyTorch keeps start_factor, and its closed
  form divides by zero.
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ._base import Schedule
from ._ops import blend, remaining


def share(epoch: float, *, start_factor: float, end_factor: float, total_iters: float) -> float:
    """The rate as a share of the initial one."""
    # both ends exactly
    #   f = start_factor * (N - t)/N + end_factor * t/N
    if epoch >= total_iters:
        return end_factor
    done = max(epoch, 0)
    return blend(start_factor, end_factor, remaining(done, total_iters), done / total_iters)


def rate(epoch: float, base: float, **constants: float) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * f(t)
    return base * share(epoch, **constants)


def next_rate(epoch: float, lr: float, base: float, **constants: float) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form; an f of 0 is the last one
    #   lr = lr * f(t)/f(t - 1)
    now = share(epoch, **constants)
    before = share(epoch - 1, **constants) if epoch > 0 else 1.0
    return lr if now == before else lr * now / before


class LinearLR(Schedule):
    """Change a factor linearly, drop-in for torch.optim.lr_scheduler.LinearLR.

    Args: as torch's. start_factor is in (0, 1], end_factor in [0, 1]; total_iters is in epochs.
    Raises: ValueError for a factor out of its range.
    Example: `LinearLR(optimizer, start_factor=0.1, total_iters=20).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not 0 < start_factor <= 1:
            raise ValueError(f"start_factor must be above 0 and at most 1, not {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor must be between 0 and 1, not {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"start_factor": self.start_factor, "end_factor": self.end_factor, "total_iters": self.total_iters}
