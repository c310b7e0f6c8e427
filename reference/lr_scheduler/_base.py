"""What the reference schedulers share and is no schedule: rates in the groups, checkpoints, warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

# A rate counts as the one that a schedule wrote when it is this near: checkpoints of other implementations round.
NEAR = 64 * 2.0**-52


class LRScheduler(torch.optim.lr_scheduler.LRScheduler):
    """The base of the reference schedulers, and of yours: supply `get_lr`, as for torch's.

    Where all of them depart from torch.optim: a group that is added later takes part, its rate then being its
    initial_lr; a loaded checkpoint is copied, never shared, and its rates are written to the optimizer, so that one
    scheduler and its optimizer can be built and loaded in any order (of several, load the optimizer last).
    """

    # What it keeps of rates that require gradients is part of no graph.
    @torch.no_grad()
    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch)

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch and write its rates, after the optimizer's step.

        Args:
            epoch: deprecated: go to this epoch instead.
        """
        self._count_step()
        if epoch is not None:
            warnings.warn(
                f"step(epoch={epoch}) is deprecated: `scheduler.step()` counts the epochs. Where there is a closed "
                "form, the epoch's own rate is written, whatever was there.",
                UserWarning,
                stacklevel=2,
            )
        self._update_lr(epoch)

    def _count_step(self) -> None:
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                problem = "`optimizer.step()` was replaced after the scheduler was built, so that it is not seen."
                warnings.warn(f"{problem} Call it before `lr_scheduler.step()`.", UserWarning, stacklevel=3)
            elif not getattr(self.optimizer, "_opt_called", False):
                problem = "`lr_scheduler.step()` was called before `optimizer.step()`"
                warnings.warn(f"{problem}: the first learning rate is never used.", UserWarning, stacklevel=3)
        self._step_count += 1

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            self._adopt_groups()
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            values = (closed or self.get_lr)()
        finally:
            self._get_lr_called_within_step = False
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            write(group, "lr", value)
        self._last_lr = [copied(group["lr"]) for group in self.optimizer.param_groups]

    def _adopt_groups(self) -> None:
        for index, group in enumerate(self.optimizer.param_groups):
            if index >= len(self.base_lrs):
                initial_lr = group.setdefault("initial_lr", copied(group["lr"]))
                self._adopt_group(index, group)
                # A new list, because the old one may be part of a checkpoint.
                self.base_lrs = [*self.base_lrs, copied(initial_lr)]

    def _adopt_group(self, index: int, group: dict[str, Any]) -> None:
        """Find options for a group that was added after the scheduler was built."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a copy of what state_dict() gave, here or in torch.optim, and write its rates to the optimizer."""
        self.__dict__.update({name: copied(value) for name, value in state_dict.items()})
        self._restore()

    def _restore(self) -> None:
        for group, value in zip(self.optimizer.param_groups, self.__dict__.get("_last_lr", ()), strict=False):
            write(group, "lr", value)


class Schedule(LRScheduler):
    """A rate as a function of the epoch. It supplies `_rate`, `_constants` and, where it can be chained, `_next_rate`.

    While the rate in a group is what this schedule makes of the epoch before, the closed form is written. Where
    something else has changed the rate, be it another scheduler, it is taken onwards from what stands there.
    """

    # rate(epoch, base, **constants): the closed form.
    _rate: Callable[..., float]
    # next_rate(epoch, lr, base, **constants): the rate that follows lr, which stood at epoch - 1; at epoch 0, the first
    # rate where lr would have been without a schedule. None where a schedule always sets its closed form.
    _next_rate: ClassVar[Callable[..., float] | None] = None

    def _constants(self, index: int) -> dict[str, Any]:
        """A group's options, under the names that `_rate` and `_next_rate` take."""
        raise NotImplementedError

    def get_lr(self) -> list[float | Tensor]:
        """The rates of the present epoch, from those that the groups have. To read a rate, use get_last_lr()."""
        if not self._get_lr_called_within_step:
            warnings.warn("get_lr() is a part of step(): use `get_last_lr()`", UserWarning, stacklevel=2)
        return [self._following(index, group["lr"]) for index, group in enumerate(self.optimizer.param_groups)]

    def _get_closed_form_lr(self) -> list[float | Tensor]:
        return [self._closed(index, self.last_epoch) for index in range(len(self.base_lrs))]

    def _closed(self, index: int, epoch: float) -> float:
        return self._rate(epoch, float(self.base_lrs[index]), **self._constants(index))

    def _following(self, index: int, lr: float | Tensor) -> float:
        epoch, base = self.last_epoch, float(self.base_lrs[index])
        if self._next_rate is None:
            return self._closed(index, epoch)
        # Built with a last_epoch: the rate of this epoch is there already.
        if self._is_initial and epoch > 0:
            return float(lr)
        if is_near(lr, base if epoch == 0 else self._closed(index, epoch - 1)):
            return self._closed(index, epoch)
        return self._next_rate(epoch, float(lr), base, **self._constants(index))


def is_near(lr: float | Tensor, expected: float) -> bool:
    """Whether a rate is the expected one, but for the rounding of its kind."""
    digits = torch.finfo(lr.dtype).eps if isinstance(lr, Tensor) and lr.is_floating_point() else 0.0
    return abs(float(lr) - expected) <= max(digits, NEAR) * abs(expected)


def write(group: dict[str, Any], name: str, value: float | Tensor) -> None:
    """Set a number in a group, in place where it is a tensor: whoever holds the tensor sees the change."""
    if isinstance(group[name], Tensor):
        with torch.no_grad():
            group[name].fill_(float(value))
    else:
        group[name] = float(value)


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """An option as a list, one for each group; a list must have that length."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(f"{name} must be one number, or one for each of the {groups} groups, not {len(value)}")
    return [copied(item) for item in value]


def check_resumed(optimizer: Optimizer, last_epoch: int) -> None:
    """Refuse a last_epoch where the groups hold no initial_lr, before anything is written to them."""
    for index, group in enumerate(optimizer.param_groups):
        if last_epoch != -1 and "initial_lr" not in group:
            message = f"param_groups[{index}] has no initial_lr, which last_epoch={last_epoch} needs"
            raise KeyError(f"{message}: load the optimizer's checkpoint first")


def copied(value: Any) -> Any:
    """A copy of a tensor, or of a list, tuple or dict with all that it holds; anything else as it is."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    return value
