"""What CyclicLR and OneCycleLR share: a momentum, or beta1, that goes against the rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._base import Schedule, copied, per_group, write


class MomentumSchedule(Schedule):
    """Writes `_momentum` of each group beside its rate, while `cycle_momentum` is set."""

    cycle_momentum: bool
    use_beta1: bool

    def _momentum(self, index: int, epoch: float) -> float:
        """A group's momentum at an epoch."""
        raise NotImplementedError

    def _begin_momentum(
        self, optimizer: Optimizer, base_momentum: Any, max_momentum: Any, last_epoch: int
    ) -> tuple[list[Any], list[Any]]:
        """Keep the bounds in the groups, as torch does; at the start, also set the momentum to the upper one.

        Returns: the lower and the upper bounds.
        """
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            name = type(optimizer).__name__
            raise ValueError(f"cycle_momentum=True needs an optimizer with momentum or betas, which {name} has not")
        self.use_beta1 = "betas" in optimizer.defaults
        lower, upper = (
            per_group("base_momentum", optimizer, base_momentum), per_group("max_momentum", optimizer, max_momentum)
        )  # fmt: skip
        for group, base, top in zip(optimizer.param_groups, lower, upper, strict=True):
            if last_epoch == -1:
                self._write_momentum(group, top)
                group["max_momentum"], group["base_momentum"] = copied(top), copied(base)
            else:
                group.setdefault("max_momentum", copied(top))
                group.setdefault("base_momentum", copied(base))
        return lower, upper

    def _adopt_group(self, index: int, group: dict[str, Any]) -> None:
        for name in ("max_momentum", "base_momentum") if self.cycle_momentum else ():
            group.setdefault(name, copied(self.optimizer.param_groups[0][name]))

    def _update_lr(self, epoch: int | None = None) -> None:
        super()._update_lr(epoch)
        self._write_momenta()

    def _restore(self) -> None:
        super()._restore()
        self._adopt_groups()
        # A part of a sequence that has not begun yet is at epoch -1.
        if self.last_epoch >= 0:
            self._write_momenta()

    def _write_momenta(self) -> None:
        if self.cycle_momentum:
            for index, group in enumerate(self.optimizer.param_groups):
                self._write_momentum(group, self._momentum(index, self.last_epoch))

    def _write_momentum(self, group: dict[str, Any], value: Any) -> None:
        if not self.use_beta1:
            write(group, "momentum", value)
        elif isinstance(group["betas"][0], Tensor):
            with torch.no_grad():
                group["betas"][0].fill_(float(value))
        else:
            group["betas"] = (float(value), *group["betas"][1:])
