"""Constructor, checks and state of StepLR: everything but its arithmetic."""

from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check


class StepLRBase(LRSchedulerBase):
    """StepLR without its arithmetic.

    Raises:
        ValueError: for a step_size that is not positive.

    Source: the constructor of torch.optim.lr_scheduler.StepLR.
    """

    constants: ClassVar = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        check(step_size > 0, "step_size", step_size, "greater than 0")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)
