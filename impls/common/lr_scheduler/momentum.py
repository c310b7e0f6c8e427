"""What CyclicLR and OneCycleLR share beside rates: a momentum, or beta1, of each group that moves with them."""

from collections.abc import Sequence
from typing import Any

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase
from .groups import Group, copied, per_group, placed, write


class MomentumCycleBase(LRSchedulerBase):
    """A scheduler that may also set each group's momentum; a tier implements `_momenta`."""

    cycle_momentum: bool
    use_beta1: bool

    def _momenta(self, epoch: float) -> list[float]:
        """The momentum or beta1 of each group at this epoch."""
        raise NotImplementedError(f"{type(self).__name__} must implement _momenta")

    def _set_up_momenta(self, optimizer: Optimizer, base: Any, largest: Any, last_epoch: int) -> tuple[list, list]:
        """Give each group its bounds; the lowest and the largest momentum of each."""
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"cycle_momentum=True needs an optimizer with momentum or betas, but got {type(optimizer).__name__}; "
                "use cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        lowest, highest = per_group("base_momentum", optimizer, base), per_group("max_momentum", optimizer, largest)
        for group, low, high in zip(optimizer.param_groups, lowest, highest, strict=True):
            if last_epoch == -1:
                group["max_momentum"], group["base_momentum"] = copied(high), copied(low)
            else:
                # a checkpoint of an optimizer that holds no more than its rates
                group.setdefault("max_momentum", copied(high))
                group.setdefault("base_momentum", copied(low))
        return lowest, highest

    def _write_momenta(self, momenta: Sequence[Any]) -> None:
        groups = self.optimizer.param_groups
        if not self.use_beta1:
            write(groups, momenta, "momentum")
            return
        for group, momentum in zip(groups, momenta, strict=True):
            betas = group["betas"]
            group["betas"] = (placed(betas[0], momentum), *betas[1:])

    def _settle(self, given: bool) -> None:
        super()._settle(given)
        if self.cycle_momentum:
            self._write_momenta(self._momenta(self.last_epoch))

    def _restore(self) -> None:
        super()._restore()
        # a part of a SequentialLR that has not begun is before epoch 0
        if self.cycle_momentum and self.last_epoch >= 0 and len(self.base_lrs) == len(self.optimizer.param_groups):
            self._write_momenta(self._momenta(self.last_epoch))

    def _admit_group(self, group: Group) -> None:
        super()._admit_group(group)
        if self.cycle_momentum:
            first = self.optimizer.param_groups[0]
            for name in ("max_momentum", "base_momentum"):
                group.setdefault(name, copied(first[name]))
