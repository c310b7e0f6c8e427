"""MultiplicativeLR: each epoch's rate is the last one times a function of the epoch.

There is no paper. Rate of a group at epoch t = 1, 2, ..., from lr(0) = base:

    lr(t) = lr(t - 1) * factor(t)                            recursive
    lr(t) = base * factor(1) * factor(2) * ... * factor(t)   the same as a product, which takes t calls

Where this departs from PyTorch's code:
- step(epoch=0) sets the initial rate, as a part of a SequentialLR has to begin; PyTorch multiplies with factor(0).
- A group that is added later gets the common function, where there is one; PyTorch raises at the next step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import Tensor

from ._lambdas import LambdaScheduler


def next_rate(epoch: int, lr: float, *, factor: Callable[[int], float]) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form
    #   lr = lr * factor(t)
    return lr * float(factor(epoch))


class MultiplicativeLR(LambdaScheduler):
    """Multiply the rate by a factor each epoch, drop-in for torch.optim.lr_scheduler.MultiplicativeLR.

    Args: as torch's. lr_lambda: a function of the epoch, from 1 on, or a list of them, one for each group.
    Raises: ValueError for a list of the wrong length; TypeError for what cannot be called.
    Example: `MultiplicativeLR(optimizer, lambda epoch: 0.95).step()`
    """

    def get_lr(self) -> list[float | Tensor]:
        """The rates of the present epoch, from those that the groups have. To read a rate, use get_last_lr()."""
        if not self._get_lr_called_within_step:
            warnings.warn("get_lr() is a part of step(): use `get_last_lr()`", UserWarning, stacklevel=2)
        groups = self.optimizer.param_groups
        # Built: what stands there is the rate of this epoch, be it the first.
        if self._is_initial:
            return [group["lr"] for group in groups]
        if self.last_epoch == 0:
            return self.base_lrs
        functions = zip(groups, self.lr_lambdas, strict=True)
        return [next_rate(self.last_epoch, float(group["lr"]), factor=factor) for group, factor in functions]
