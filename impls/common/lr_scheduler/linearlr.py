"""Constructor, checks and state of LinearLR: everything but its arithmetic."""

from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check


class LinearLRBase(LRSchedulerBase):
    """LinearLR without its arithmetic.

    Raises:
        ValueError: for a start_factor outside (0, 1] or an end_factor outside [0, 1].

    Source: the constructor of torch.optim.lr_scheduler.LinearLR.
    """

    constants: ClassVar = ("start_factor", "end_factor", "total_iters")

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check(0 < start_factor <= 1.0, "start_factor", start_factor, "greater than 0 and at most 1")
        check(0 <= end_factor <= 1.0, "end_factor", end_factor, "between 0 and 1")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)
