"""Constructor, checks and state of CosineAnnealingLR: everything but its arithmetic."""

from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check


class CosineAnnealingLRBase(LRSchedulerBase):
    """CosineAnnealingLR without its arithmetic.

    Raises:
        ValueError: for a T_max that is not positive.

    Source: the constructor of torch.optim.lr_scheduler.CosineAnnealingLR.
    """

    constants: ClassVar = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        check(T_max > 0, "T_max", T_max, "greater than 0")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)
