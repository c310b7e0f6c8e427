"""ReduceLROnPlateau, all groups at once: rates fall by a factor when a metric stops improving.

Source: torch.optim.lr_scheduler.ReduceLROnPlateau; no paper is known to define it.
"""

import numpy as np

from ...common.lr_scheduler.reducelronplateau import ReduceLROnPlateauBase
from .base import LRScheduler


class ReduceLROnPlateau(ReduceLROnPlateauBase, LRScheduler):
    """Rates that fall by a factor when a metric has not improved for more than `patience` epochs.

        rate = max(rate * factor, min_lr)    where that is a change of more than eps

    "min" asks for metric < best*(1 - threshold) ("rel") or best - threshold ("abs"); "max" for metric >
    best*(1 + threshold) or best + threshold.

    Args:
        optimizer: whose groups' rates are set.
        mode: "min" or "max".
        factor: less than 1.
        patience: epochs without improvement that are let pass.
        threshold: by how much a metric must be better.
        threshold_mode: "rel" or "abs".
        cooldown: epochs after a reduction that do not count.
        min_lr: the least rate, for all groups or one each.
        eps: the least change that is made.

    Raises:
        ValueError: for a factor that is 1 or more, an unknown mode or threshold_mode, or min_lr of another length than
            the groups.
        TypeError: for an optimizer that is none.
        RuntimeError: where a group was added, and there is a min_lr for each of the others.

    Example:
        >>> scheduler = ReduceLROnPlateau(optimizer, patience=5)
        >>> scheduler.step(validation_loss)

    Source: arguments of torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    def _is_better(self, a: float, best: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        bound = best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return sign * a > sign * bound

    def _reduced(self, rates: list[float]) -> list[float]:
        old = np.array(rates)
        # rate = max(rate*factor, min_lr)
        new = np.maximum(old * self.factor, np.array([*map(float, self.min_lrs)]))
        return np.where(old - new > self.eps, new, old).tolist()

    def lr_at(self, step: int) -> list[float]:
        """Not for this scheduler, whose rates depend on the metrics."""
        raise NotImplementedError("the rates of ReduceLROnPlateau depend on metrics: see get_last_lr()")
