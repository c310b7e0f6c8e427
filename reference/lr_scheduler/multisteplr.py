"""MultiStepLR: decays by gamma at each milestone.

There is no paper. Rate of a group at epoch t = 0, 1, 2, ...:

    n(t) = number of milestones m <= t, each as often as it is given
    lr(t) = base * gamma**n(t)                     closed
    lr(t) = lr(t - 1) * gamma**(n(t) - n(t - 1))   recursive, with n(-1) = 0

Where this departs from PyTorch's code:
- Built with a last_epoch just before a milestone, PyTorch decays a rate that has decayed already.
- A milestone that is no integer counts from the next epoch on; PyTorch's recursive form never meets it.
- A checkpoint that went through JSON, where keys are strings, gets its milestones back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim import Optimizer

from ._base import Schedule
from ._ops import power


def count_passed(epoch: float, milestones: Mapping[float, int]) -> int:
    """How many milestones an epoch has reached."""
    return sum(times for milestone, times in milestones.items() if milestone <= epoch)


def rate(epoch: float, base: float, *, milestones: Mapping[float, int], gamma: float) -> float:
    """The rate at an epoch."""
    # closed form
    #   lr = base * gamma**n(t)
    return base * power(gamma, count_passed(epoch, milestones))


def next_rate(epoch: float, lr: float, base: float, *, milestones: Mapping[float, int], gamma: float) -> float:
    """The rate at an epoch, from the last one."""
    # recursive form: decay once for each milestone that the epoch has reached
    #   lr = lr * gamma**(n(t) - n(t - 1))
    before = count_passed(epoch - 1, milestones) if epoch > 0 else 0
    return lr * power(gamma, count_passed(epoch, milestones) - before)


class MultiStepLR(Schedule):
    """Decay by gamma at milestones, drop-in for torch.optim.lr_scheduler.MultiStepLR.

    Args: as torch's. milestones: epochs, in any order; one that is given twice decays twice. gamma is a factor.
    Example: `MultiStepLR(optimizer, milestones=[30, 80], gamma=0.1).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"milestones": self.milestones, "gamma": self.gamma}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a copy of what state_dict() gave, here or in torch.optim, also after a way through JSON."""
        saved = {as_epoch(milestone): times for milestone, times in state_dict["milestones"].items()}
        super().load_state_dict(state_dict | {"milestones": Counter(saved)})


def as_epoch(milestone: float | str) -> float:
    """A milestone as a number."""
    if not isinstance(milestone, str):
        return milestone
    return float(milestone) if not milestone.lstrip("-").isdigit() else int(milestone)
