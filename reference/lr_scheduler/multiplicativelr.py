"""MultiplicativeLR: each epoch's rate is the last one times a function of the epoch.

There is no paper. Rate of a group at epoch t = 1, 2, ..., from lr(0) = base:

    lr(t) = lr(t - 1) * factor(t)                        recursive
    lr(t) = base * factor(1) * factor(2) * ... * factor(t)   closed, as a product

Where this departs from PyTorch's code:
- step(epoch) sets the product; PyTorch multiplies the rate that is there with factor(epoch).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ._lambdas import LambdaSchedule


def rate(epoch: int, base: float, *, factor: Callable[[int], float]) -> float:
    """The rate at an epoch, in as many factors as it has."""
    lr = base
    for past in range(1, epoch + 1):
        lr = next_rate(past, lr, factor=factor)
    return lr


def next_rate(epoch: int, lr: float, *, factor: Callable[[int], float]) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form; the first rate is the one that stands there
    #   lr = lr * factor(t)
    return lr * float(factor(epoch)) if epoch > 0 else lr


class MultiplicativeLR(LambdaSchedule):
    """Multiply the rate by a factor each epoch, drop-in for torch.optim.lr_scheduler.MultiplicativeLR.

    Args: as torch's. lr_lambda: a function of the epoch, from 1 on, or a list of them, one for each group.
    Raises: ValueError for a list of the wrong length; TypeError for what cannot be called.
    Example: `MultiplicativeLR(optimizer, lambda epoch: 0.95).step()`
    """

    _rate = staticmethod(rate)

    def _following(self, index: int, lr: float | Tensor) -> float:
        # Always from the last rate: the product would call the function once for each epoch that was.
        if self._is_initial:
            return float(lr)
        return next_rate(self.last_epoch, float(lr), **self._constants(index))
