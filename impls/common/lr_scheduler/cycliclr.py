"""Constructor, checks and state of CyclicLR: everything but its arithmetic."""

from collections.abc import Callable
from math import inf
from typing import Any, ClassVar, Literal

from torch.optim.optimizer import Optimizer

from .base import check, check_optimizer
from .groups import Group, copied, one_for_all, per_group, write
from .lambdas import callable_state, restore_callable
from .momentum import MomentumCycleBase

MODES = ("triangular", "triangular2", "exp_range")


class CyclicLRBase(MomentumCycleBase):
    """CyclicLR without its arithmetic.

    `total_size` epochs make a cycle, the share `step_ratio` of them goes up. The function that scales the amplitude is
    `_scale_fn_custom`, of the cycle's number, counted from 1, or of the epoch, as `scale_mode` says; where it is None,
    `mode` names a policy of the tier.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a list of another length than the groups, a step_size_up that is not positive, a negative
            step_size_down, an unknown mode, or an optimizer without momentum while that is to be cycled.

    Source: the constructor of torch.optim.lr_scheduler.CyclicLR.
    """

    absolute: ClassVar = True
    transient: ClassVar = (*MomentumCycleBase.transient, "_scale_fn_custom", "_scale_fn_ref")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer, last_epoch)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        check(0 < step_size_up < inf, "step_size_up", step_size_up, "greater than 0, and finite")
        finite = step_size_down is None or 0 <= step_size_down < inf
        check(finite, "step_size_down", step_size_down, "at least 0, and finite")
        check(mode in MODES or scale_fn is not None, "mode", mode, f"one of {MODES} where scale_fn is None")
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            momenta = self._set_up_momenta(optimizer, base_momentum, max_momentum, last_epoch)
            self.base_momentums, self.max_momentums = momenta
        if last_epoch == -1:
            write(optimizer.param_groups, [float(rate) for rate in base_lrs])
        super().__init__(optimizer, last_epoch, base_lrs=base_lrs)

    def scale_fn(self, x: float) -> float:
        """The scale of the amplitude in this cycle, or at this epoch."""
        return self._policy(x) if self._scale_fn_custom is None else self._scale_fn_custom(x)

    def _policy(self, x: float) -> float:
        """What `mode` means, where there is no function of the user's."""
        raise NotImplementedError(f"{type(self).__name__} must implement _policy")

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"_scale_fn_custom": callable_state(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        restore_callable(self._scale_fn_custom, state_dict.get("_scale_fn_custom"))
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})

    def _admit_group(self, group: Group) -> None:
        # unless the user has appended the rate of this one
        if len(self.max_lrs) == len(self.base_lrs):
            self.max_lrs = [*self.max_lrs, one_for_all("max_lr", self.max_lrs)]
        super()._admit_group(group)
        if self.cycle_momentum:
            self.base_momentums = [*self.base_momentums, copied(group["base_momentum"])]
            self.max_momentums = [*self.max_momentums, copied(group["max_momentum"])]
