"""CosineAnnealingLR: half a cosine from the initial rate to eta_min in T_max epochs, and back again.

Paper: Ilya Loshchilov and Frank Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016,
https://arxiv.org/abs/1608.03983, equation 5, without its restarts.

Rate of a group at epoch t = 0, 1, 2, ...:

    f(t) = (1 + cos(pi * t/T_max)) / 2                              1 at 0, 0 at T_max, 1 at 2*T_max
    lr(t) = eta_min + (base - eta_min) * f(t)                       closed
    lr(t) = eta_min + (lr(t - 1) - eta_min) * f(t)/f(t - 1)         recursive
    lr(t) = lr(t - 1) + (base - eta_min) * f(t)                     recursive, where f(t - 1) = 0

Where PyTorch departs from the paper:
- There are no restarts: beyond T_max the cosine goes on, up to the initial rate and down again.

Where this departs from PyTorch's code:
- Near T_max, f has all its digits; 1 + cos(...) cancels there.
- A T_max that is not positive is refused at once; PyTorch divides by zero at the first step.
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ._base import Schedule
from ._ops import blend, half_cosine


def way(epoch: float, T_max: float) -> tuple[float, float]:
    """How far the epoch is from the nearest peak of the cosine, and from the trough on that side."""
    within = epoch % (2 * T_max)
    from_peak = min(within, 2 * T_max - within)
    return from_peak, T_max - from_peak


def rate(epoch: float, base: float, *, T_max: float, eta_min: float) -> float:
    """The rate at an epoch."""
    # closed form, both ends exactly
    #   lr = base * f(t) + eta_min * (1 - f(t))
    done, left = way(epoch, T_max)
    return blend(base, eta_min, half_cosine(done, left), half_cosine(left, done))


def next_rate(epoch: float, lr: float, base: float, *, T_max: float, eta_min: float) -> float:
    """The rate at an epoch, from the last one."""
    if epoch <= 0:
        return lr
    now, before = half_cosine(*way(epoch, T_max)), half_cosine(*way(epoch - 1, T_max))
    # recursive form just after the trough, which holds nothing of the initial rate
    #   lr = lr + (base - eta_min) * f(t)
    if before == 0:
        return lr + (base - eta_min) * now
    # recursive form
    #   lr = eta_min + (lr - eta_min) * f(t)/f(t - 1)
    return eta_min + (lr - eta_min) * now / before


class CosineAnnealingLR(Schedule):
    """Anneal along a cosine, drop-in for torch.optim.lr_scheduler.CosineAnnealingLR.

    Args: as torch's. T_max > 0 is in epochs; eta_min is the lowest rate.
    Raises: ValueError for a T_max that is not positive.
    Example: `CosineAnnealingLR(optimizer, T_max=100).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if not T_max > 0:
            raise ValueError(f"T_max must be positive, not {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"T_max": self.T_max, "eta_min": float(self.eta_min)}
