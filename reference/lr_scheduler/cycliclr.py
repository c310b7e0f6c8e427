"""CyclicLR: up and down between two rates, in a triangle.

Paper: Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2015, https://arxiv.org/abs/1506.01186,
section 3.1.

Rate of a group at epoch t = 0, 1, 2, ..., which counts batches, in cycle c = 1, 2, ... of up + down epochs:

    c = floor(1 + t/(up + down))
    within = t - (c - 1)*(up + down)
    height = within/up where within <= up, else (up + down - within)/down
    lr = base_lr + (max_lr - base_lr) * height * scale
    momentum = max_momentum - (max_momentum - base_momentum) * height * scale

with scale = 1 (triangular), 1/2**(c - 1) (triangular2), gamma**t (exp_range), or scale_fn of c or t. It always sets
this closed form, whatever the rate was. So it does when it is built with a last_epoch.

Where PyTorch departs from the paper:
- Momentum cycles too, against the rate; the two halves of a cycle may differ in length.

Where this departs from PyTorch's code:
- The first rate is base_lr, also where another scheduler was built before; PyTorch then starts from the other's.
- Only a step_size_up above 0, and a step_size_down of 0 or more, are taken; PyTorch divides by zero, or goes astray.
- The scale of triangular2 goes to 0; PyTorch fails where 2**(c - 1) ends.
- A group that is added later goes up from its rate to the common max_lr, where there is one; PyTorch raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer

from ._base import check_resumed, copied, per_group, write
from ._lambdas import attributes
from ._momentum import MomentumSchedule
from ._ops import blend, power


def height(epoch: float, *, up: float, down: float) -> float:
    """Where the epoch is between the cycle's foot, 0, and its top, 1."""
    within = epoch % (up + down)
    # the rising half
    #   height = within/up
    if within < up:
        return within / up
    # the falling half
    #   height = (up + down - within)/down
    return (up + down - within) / down


def rate(epoch: float, base: float, *, max_lr: float, up: float, down: float, scale: float) -> float:
    """The rate at an epoch, both ends exactly."""
    # closed form
    #   lr = base_lr + (max_lr - base_lr) * height * scale
    share = height(epoch, up=up, down=down) * scale
    return blend(base, max_lr, 1 - share, share)


class CyclicLR(MomentumSchedule):
    """Go up and down, drop-in for torch.optim.lr_scheduler.CyclicLR.

    Args: as torch's. step_size_up and step_size_down are in epochs, which are batches; rates and momenta are numbers,
        or lists with one for each group; scale_fn takes the cycle, or the epoch with scale_mode="iterations".
    Raises: ValueError for an unknown mode, no epochs up, a list of the wrong length, and an optimizer without momentum.
    Example: `CyclicLR(optimizer, base_lr=0.01, max_lr=0.1, step_size_up=500).step()`
    """

    _rate = staticmethod(rate)

    def __init__(
        self, optimizer: Optimizer, base_lr: float | list[float], max_lr: float | list[float], step_size_up: int = 2000,
        step_size_down: int | None = None, mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0, scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle", cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8, max_momentum: float | list[float] = 0.9, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        if not (0 < up < math.inf and 0 <= down < math.inf):
            raise ValueError(f"a cycle goes up and may go down, not {step_size_up} epochs up and {step_size_down} down")
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"mode must be triangular, triangular2 or exp_range, or scale_fn be given, not {mode!r}")
        self.optimizer = optimizer
        check_resumed(optimizer, last_epoch)
        own_lrs = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            momenta = self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
            self.base_momentums, self.max_momentums = momenta
        if last_epoch == -1:
            for lr, group in zip(own_lrs, optimizer.param_groups, strict=True):
                write(group, "lr", lr)
        self._own_lrs = own_lrs
        super().__init__(optimizer, last_epoch)

    def _initial_step(self) -> None:
        # Before the first rate is written, which torch's base class would make of initial_lr.
        if "_own_lrs" in self.__dict__:
            self.base_lrs = self.__dict__.pop("_own_lrs")
        super()._initial_step()

    def _adopt_group(self, index: int, group: dict[str, Any]) -> None:
        if index >= len(self.max_lrs):
            if any(max_lr != self.max_lrs[0] for max_lr in self.max_lrs):
                raise ValueError(f"param_groups[{index}] was added later: append its rate to max_lrs, {self.max_lrs}")
            self.max_lrs = [*self.max_lrs, copied(self.max_lrs[0])]
        super()._adopt_group(index, group)
        if self.cycle_momentum:
            self.base_momentums = [*self.base_momentums, copied(group["base_momentum"])]
            self.max_momentums = [*self.max_momentums, copied(group["max_momentum"])]

    def _cycle(self) -> dict[str, float]:
        up = self.total_size * self.step_ratio
        # A ratio of whole numbers is rounded, and so would be the top.
        up = float(round(up)) if math.isclose(up, round(up)) else up
        return {"up": up, "down": self.total_size - up}

    def scale_fn(self, x: float) -> float:
        """The scale in cycle x = 1, 2, ..., or at epoch x where scale_mode is iterations."""
        if self._scale_fn_custom is not None:
            return float(self._scale_fn_custom(x))
        return {"triangular": 1.0, "triangular2": power(0.5, x - 1), "exp_range": power(self.gamma, x)}[self.mode]

    def _scale(self, epoch: float) -> float:
        return self.scale_fn(epoch // self.total_size + 1 if self.scale_mode == "cycle" else epoch)

    def _constants(self, index: int) -> dict[str, Any]:
        return {"max_lr": float(self.max_lrs[index]), **self._cycle(), "scale": self._scale(self.last_epoch)}

    def _momentum(self, index: int, epoch: float) -> float:
        share = height(epoch, **self._cycle()) * self._scale(epoch)
        return blend(float(self.max_momentums[index]), float(self.base_momentums[index]), 1 - share, share)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer; of a scale_fn its attributes, or None for a function, as in torch."""
        return super().state_dict() | {"_scale_fn_custom": attributes(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a copy of what state_dict() gave; scale_fn stays, and gets its attributes."""
        saved = state_dict["_scale_fn_custom"]
        if saved is not None:
            self._scale_fn_custom.__dict__.update(copied(saved))
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})
