"""Constructor, checks and state of SWALR: everything but its arithmetic."""

from typing import Any, ClassVar, Literal

from torch.optim.optimizer import Optimizer

from ..lr_scheduler.base import LRSchedulerBase, check, check_optimizer
from ..lr_scheduler.groups import Group, one_for_all, per_group

STRATEGIES = ("cos", "linear")


class SWALRBase(LRSchedulerBase):
    """SWALR without its arithmetic; each group holds its `swa_lr`.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a list of another length than the groups, an unknown strategy, or an anneal_epochs that is not
            an integer of at least 0.

    Source: the constructor of torch.optim.swa_utils.SWALR.
    """

    jumps: ClassVar = False
    constants: ClassVar = ("anneal_epochs", "_anneal_strategy")
    # torch keeps a function under the first name, and makes it anew from the strategy
    transient: ClassVar = (*LRSchedulerBase.transient, "anneal_func")

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer, last_epoch)
        swa_lrs = per_group("swa_lr", optimizer, swa_lr)
        check(anneal_strategy in STRATEGIES, "anneal_strategy", anneal_strategy, f"one of {STRATEGIES}")
        whole = isinstance(anneal_epochs, int) and anneal_epochs >= 0
        check(whole, "anneal_epochs", anneal_epochs, "an integer of at least 0")
        for group, rate in zip(optimizer.param_groups, swa_lrs, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    @property
    def _swa_lrs(self) -> list[Any]:
        return [group["swa_lr"] for group in self.optimizer.param_groups]

    def _admit_group(self, group: Group) -> None:
        if "swa_lr" not in group:
            others = self.optimizer.param_groups[: len(self.base_lrs)]
            group["swa_lr"] = one_for_all("swa_lr", [other["swa_lr"] for other in others])
        super()._admit_group(group)
