"""CosineAnnealingLR, all groups at once: rates move between two bounds along a cosine.

Paper: Ilya Loshchilov, Frank Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
https://arxiv.org/abs/1608.03983, equation 5, without restarts.
"""

from ...common.lr_scheduler.cosineannealinglr import CosineAnnealingLRBase
from .base import LRScheduler, Vector, cosine


class CosineAnnealingLR(CosineAnnealingLRBase, LRScheduler):
    """Rates that fall to eta_min along half a wave of a cosine in T_max epochs, rise again, and so on.

        w(t) = (1 + cos(pi*t/T_max))/2
        rate(t) = eta_min + (base - eta_min) * w(t)

    Args:
        optimizer: whose groups' rates are set.
        T_max: epochs of half a wave, more than 0.
        eta_min: the least rate.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a T_max that is not positive.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = CosineAnnealingLR(optimizer, T_max=200)
        >>> scheduler.step()

    Source: equation 5 of https://arxiv.org/abs/1608.03983, arguments of torch.optim.lr_scheduler.CosineAnnealingLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base*w(t) + eta_min*(1 - w(t)), exact at both ends
        weight, rest = self._weights(epoch)
        return base * weight + self.eta_min * rest

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        if epoch == 0:
            return rates
        (weight, _), (before, _) = self._weights(epoch), self._weights(epoch - 1)
        if before == 0:
            # at the foot of the wave: rise as the curve does
            return rates + (base - self.eta_min) * weight
        # rate = eta_min + (rate - eta_min) * w(t)/w(t - 1)
        return self.eta_min + (rates - self.eta_min) * (weight / before)

    def _weights(self, epoch: float) -> tuple[float, float]:
        # the second half of a wave mirrors the first; pi*t itself would lose digits as t grows
        over = epoch % (2 * self.T_max)
        return cosine(min(over, 2 * self.T_max - over), self.T_max)
