"""LambdaLR: the initial rate times a function of the epoch.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ...:

    lr(t) = base * factor(t)

It always sets this closed form, whatever the rate was. So it does when it is built with a last_epoch.

Where this departs from PyTorch's code:
- A group that is added later gets the common function, where there is one; PyTorch raises at the next step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._base import Schedule
from ._lambdas import LambdaScheduler


def rate(epoch: int, base: float, *, factor: Callable[[int], float]) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * factor(t)
    return base * float(factor(epoch))


class LambdaLR(LambdaScheduler, Schedule):
    """Set the initial rate times a factor, drop-in for torch.optim.lr_scheduler.LambdaLR.

    Args: as torch's. lr_lambda: a function of the epoch, or a list of them, one for each group.
    Raises: ValueError for a list of the wrong length; TypeError for what cannot be called.
    Example: `LambdaLR(optimizer, lambda epoch: 0.95**epoch).step()`
    """

    _rate = staticmethod(rate)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"factor": self.lr_lambdas[index]}
