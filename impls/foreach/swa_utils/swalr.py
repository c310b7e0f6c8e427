"""SWALR, all groups at once: rates move to a constant.

Paper: Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon Wilson, "Averaging Weights Leads
to Wider Optima and Better Generalization", 2018, https://arxiv.org/abs/1803.05407, section 3.2.
"""

import numpy as np

from ...common.swa_utils.swalr import SWALRBase
from ..lr_scheduler.base import LRScheduler, Vector, cosine


class SWALR(SWALRBase, LRScheduler):
    """Rates that move from where they stand to swa_lr, along half a wave of a cosine or a line, and stay there.

        a(t) = (1 - cos(pi*s))/2, or s, where s = min(t/anneal_epochs, 1)
        rate(t) = base * (1 - a(t)) + swa_lr * a(t)

    Args:
        optimizer: whose groups' rates are set.
        swa_lr: the rate in the end, for all groups or one each.
        anneal_epochs: epochs until it is reached; 0 means at once.
        anneal_strategy: "cos" or "linear".
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a list of another length than the groups, an unknown strategy, or an anneal_epochs that is not
            an integer of at least 0.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = SWALR(optimizer, swa_lr=0.05)
        >>> scheduler.step()

    Source: arguments of torch.optim.swa_utils.SWALR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        return self._between(base, *self._shares(epoch))

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        rest, share = self._shares(epoch)
        before, gone = self._shares(epoch - 1) if epoch > 0 else (1.0, 0.0)
        if rest == 0:
            return np.array(self._end())
        # the rate from which they set out, as far as what stands there tells
        start = (rates - gone * self._end()) / before
        return self._between(start, rest, share)

    def _between(self, start: Vector, rest: float, share: float) -> Vector:
        end = self._end()
        # rate = base*(1 - a) + swa_lr*a; rounded, the two shares may add up to more than 1
        return np.clip(start * rest + end * share, np.minimum(start, end), np.maximum(start, end))

    def _shares(self, epoch: float) -> tuple[float, float]:
        """1 - a and a."""
        over, length = min(epoch, self.anneal_epochs), self.anneal_epochs
        if over == length:
            return 0.0, 1.0
        return cosine(over, length) if self._anneal_strategy == "cos" else ((length - over) / length, over / length)

    def _end(self) -> Vector:
        return self._vector("swa_lr", self._swa_lrs)
