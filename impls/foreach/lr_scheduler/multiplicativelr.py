"""MultiplicativeLR, all groups at once: rate = rate*function(epoch).

Source: torch.optim.lr_scheduler.MultiplicativeLR, whose functions are the user's.
"""

import numpy as np

from ...common.lr_scheduler.multiplicativelr import MultiplicativeLRBase
from .base import LRScheduler, Vector, scaled
from .lambdas import factors


class MultiplicativeLR(MultiplicativeLRBase, LRScheduler):
    """The rate so far times the user's function of the epoch, of each group.

        rate(t) = rate(t - 1) * f(t) = base * f(1) * ... * f(t)

    Args:
        optimizer: whose groups' rates are set.
        lr_lambda: the function, or a list of one for each group; called once an epoch from 1 on, also where groups
            share it.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for fewer or more functions than parameter groups.
        TypeError: for a function that is none, or an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = MultiplicativeLR(optimizer, lambda epoch: 0.95)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.MultiplicativeLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * f(1) * ... * f(t)
        rates = np.array(base)
        for over in range(1, int(epoch) + 1):
            rates = scaled(rates, factors(self.lr_lambdas, over))
        return rates

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * f(t)
        if self._is_initial:
            return rates
        # as a part of a SequentialLR, whose turn has come
        return scaled(rates, factors(self.lr_lambdas, epoch)) if epoch > 0 else base

    def _begun(self, rates: list[float], later: bool) -> list[float]:
        return self._base().tolist() if later else rates
