"""Constructor, checks and state of MultiStepLR: everything but its arithmetic."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase


class MultiStepLRBase(LRSchedulerBase):
    """MultiStepLR without its arithmetic; `milestones` counts how often each epoch was named.

    Source: the constructor of torch.optim.lr_scheduler.MultiStepLR.
    """

    constants: ClassVar = ("milestones", "gamma")

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        # JSON knows no keys but strings
        counts = {float(name) if isinstance(name, str) else name: count for name, count in self.milestones.items()}
        self.milestones = Counter(counts)
