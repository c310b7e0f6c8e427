"""CosineAnnealingWarmRestarts, all groups at once: rates fall along a cosine, and start again.

Paper: Ilya Loshchilov, Frank Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
https://arxiv.org/abs/1608.03983, equation 5.
"""

from ...common.lr_scheduler.cosineannealingwarmrestarts import CosineAnnealingWarmRestartsBase
from .base import LRScheduler, cosine


class CosineAnnealingWarmRestarts(CosineAnnealingWarmRestartsBase, LRScheduler):
    """Rates that fall to eta_min along half a wave of a cosine, and start again; each time in T_mult times the epochs.

        rate = eta_min + (base - eta_min) * (1 + cos(pi*T_cur/T_i))/2

    T_cur epochs are over of the T_i between two restarts; T_i is T_0 at first.

    Args:
        optimizer: whose groups' rates are set.
        T_0: epochs until the first restart.
        T_mult: by how much T_i grows at a restart.
        eta_min: the least rate.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a T_0 that is not a positive integer, a T_mult that is not an integer of at least 1, an eta_min
            that is not a number, or, at a step, a negative epoch.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=2)
        >>> scheduler.step(epoch + batch / batches)

    Source: equation 5 of https://arxiv.org/abs/1608.03983, arguments of
        torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.
    """

    def _within(self, T_cur: float, T_i: int) -> list[float]:
        # rate = base*w + eta_min*(1 - w), exact at both ends
        weight, rest = cosine(T_cur, T_i)
        return (self._base() * weight + self.eta_min * rest).tolist()

    def _cycle(self, epoch: float) -> tuple[float, int]:
        if self.T_mult == 1:
            return epoch % self.T_0, self.T_0
        over, length = epoch, self.T_0
        # in whole numbers: a logarithm misses restarts by a rounding
        while over >= length:
            over, length = over - length, length * self.T_mult
        return over, length
