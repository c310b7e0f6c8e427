"""SequentialLR, which leaves all arithmetic of rates to its parts.

Source: torch.optim.lr_scheduler.SequentialLR; no paper is known to define it.
"""

import math
from bisect import bisect_right

from ...common.lr_scheduler.sequentiallr import SequentialLRBase
from .composite import Composite


class SequentialLR(SequentialLRBase, Composite):
    """One scheduler after another, each from its own epoch 0 on when its milestone has come.

    Args:
        optimizer: the parts' optimizer.
        schedulers: the parts, of whatever make.
        milestones: epochs at which the second and later parts begin; a fraction means the next epoch.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        TypeError: for a part that is no scheduler.
        ValueError: for no part, a ReduceLROnPlateau, a part of another optimizer, another number of milestones than one
            less than the parts, or milestones that decrease.

    Example:
        >>> warmup, decay = LinearLR(optimizer, total_iters=5), CosineAnnealingLR(optimizer, T_max=95)
        >>> scheduler = SequentialLR(optimizer, [warmup, decay], milestones=[5])
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.SequentialLR.
    """

    def lr_at(self, step: int) -> list[float]:
        turn = bisect_right(self._milestones, step)
        part = self._known(self._schedulers[turn])
        begins = max(0, math.ceil(self._milestones[turn - 1])) if turn else 0
        # what came before is nothing to a part that sets its curve
        return part.lr_at(step - begins) if part.jumps else super().lr_at(step)

    def _begun(self, rates: list[float], later: bool) -> list[float]:
        return self._known(self._schedulers[bisect_right(self._milestones, 0)])._begun(rates, later)

    def _after(self, epoch: int, rates: list[float]) -> list[float]:
        turn = bisect_right(self._milestones, epoch)
        part = self._known(self._schedulers[turn])
        if turn != bisect_right(self._milestones, epoch - 1):
            return part._begun(rates, later=True)
        begins = max(0, math.ceil(self._milestones[turn - 1])) if turn else 0
        return part._after(epoch - begins, rates)
