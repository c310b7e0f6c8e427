"""StepLR: decays by gamma at every multiple of step_size.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ...:

    n(t) = floor(t / step_size)                    multiples of step_size in (0, t]
    lr(t) = base * gamma**n(t)                     closed
    lr(t) = lr(t - 1) * gamma**(n(t) - n(t - 1))   recursive

Where this departs from PyTorch's code:
- Built with a last_epoch just before a multiple, PyTorch decays a rate that has decayed already.
- With a fractional step_size, PyTorch's recursive form decays only where a multiple is an integer.
- A step_size that is not positive is refused at once; PyTorch divides by zero at the first step.
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ._base import Schedule
from ._ops import power


def rate(epoch: float, base: float, *, step_size: float, gamma: float) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * gamma**floor(t/step_size)
    return base * power(gamma, epoch // step_size)


def next_rate(epoch: float, lr: float, base: float, *, step_size: float, gamma: float) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form: decay once for each multiple that the epoch has passed
    #   lr = lr * gamma**(n(t) - n(t - 1))
    passed = epoch // step_size - (epoch - 1) // step_size if epoch > 0 else 0
    return lr * power(gamma, passed)


class StepLR(Schedule):
    """Decay by gamma every step_size epochs, drop-in for torch.optim.lr_scheduler.StepLR.

    Args: as torch's. step_size > 0 is in epochs; gamma is a factor.
    Raises: ValueError for a step_size that is not positive.
    Example: `StepLR(optimizer, step_size=30, gamma=0.1).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if not step_size > 0:
            raise ValueError(f"step_size must be positive, not {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"step_size": self.step_size, "gamma": self.gamma}
