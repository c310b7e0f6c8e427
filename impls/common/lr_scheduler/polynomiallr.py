"""Constructor, checks and state of PolynomialLR: everything but its arithmetic."""

from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check


class PolynomialLRBase(LRSchedulerBase):
    """PolynomialLR without its arithmetic.

    Raises:
        ValueError: for a negative power, whose last rate would be infinite.

    Source: the constructor of torch.optim.lr_scheduler.PolynomialLR.
    """

    constants: ClassVar = ("total_iters", "power")

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        check(power >= 0, "power", power, "at least 0")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)
