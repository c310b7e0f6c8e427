"""Constructor, checks and state of ConstantLR: everything but its arithmetic."""

from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check


class ConstantLRBase(LRSchedulerBase):
    """ConstantLR without its arithmetic.

    Raises:
        ValueError: for a factor outside [0, 1].

    Source: the constructor of torch.optim.lr_scheduler.ConstantLR.
    """

    constants: ClassVar = ("factor", "total_iters")

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        check(0 <= factor <= 1.0, "factor", factor, "between 0 and 1")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)
