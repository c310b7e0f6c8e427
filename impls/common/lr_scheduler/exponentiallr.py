"""Constructor, checks and state of ExponentialLR: everything but its arithmetic."""

from typing import ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase


class ExponentialLRBase(LRSchedulerBase):
    """ExponentialLR without its arithmetic.

    Source: the constructor of torch.optim.lr_scheduler.ExponentialLR.
    """

    constants: ClassVar = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)
