"""Constructor, checks and state of OneCycleLR: everything but its arithmetic."""

from typing import Any, ClassVar, Literal

from torch.optim.optimizer import Optimizer

from .base import check, check_optimizer
from .groups import Group, per_group
from .momentum import MomentumCycleBase

STRATEGIES = ("cos", "linear")


class OneCycleLRBase(MomentumCycleBase):
    """OneCycleLR without its arithmetic.

    Each group holds `initial_lr`, `max_lr` and `min_lr`, and, where momentum is cycled, `base_momentum` and
    `max_momentum`. `_schedule_phases` says, phase by phase, the epoch at which it ends, and between which of them rate
    and momentum move.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a length that is not a positive integer, a pct_start outside [0, 1], an unknown strategy, a
            factor that is not positive, a list of another length than the groups, an optimizer without momentum while
            that is to be cycled, or, at a step, more steps than the length.

    Source: the constructor of torch.optim.lr_scheduler.OneCycleLR.
    """

    absolute: ClassVar = True

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer, last_epoch)
        self.optimizer = optimizer
        self.total_steps = _length(total_steps, epochs, steps_per_epoch)
        check(isinstance(pct_start, float) and 0 <= pct_start <= 1, "pct_start", pct_start, "a float between 0 and 1")
        check(anneal_strategy in STRATEGIES, "anneal_strategy", anneal_strategy, f"one of {STRATEGIES}")
        check(div_factor > 0, "div_factor", div_factor, "greater than 0")
        check(final_div_factor > 0, "final_div_factor", final_div_factor, "greater than 0")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        max_lrs = per_group("max_lr", optimizer, max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._set_up_momenta(optimizer, base_momentum, max_momentum, last_epoch)
        for group, largest in zip(optimizer.param_groups, max_lrs, strict=True):
            if last_epoch == -1:
                group["initial_lr"], group["max_lr"] = largest / div_factor, largest
                group["min_lr"] = group["initial_lr"] / final_div_factor
            else:
                # a checkpoint of an optimizer that holds no more than its rates
                group.setdefault("max_lr", largest)
                group.setdefault("min_lr", group["initial_lr"] / final_div_factor)
        super().__init__(optimizer, last_epoch)

    def _settle(self, given: bool) -> None:
        self._check_epoch(self.last_epoch)
        super()._settle(given)

    def _check_epoch(self, epoch: float) -> None:
        if epoch > self.total_steps:
            raise ValueError(f"Tried to step to epoch {epoch} of a schedule of {self.total_steps} steps")

    def _admit_group(self, group: Group) -> None:
        super()._admit_group(group)
        first = self.optimizer.param_groups[0]
        for name in ("max_lr", "min_lr"):
            # the curve of the first group, beginning at the rate that this one came with
            share = first[name] / first["initial_lr"] if first["initial_lr"] else 1.0
            group.setdefault(name, group["initial_lr"] * share)


def _length(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("Name the length: either total_steps, or both epochs and steps_per_epoch")
    if total_steps is not None:
        named = {"total_steps": total_steps}
    else:
        named = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    length = 1
    for name, value in named.items():
        check(isinstance(value, int) and value > 0, name, value, "a positive integer")
        length *= value
    return length


def _phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    up = pct_start * total_steps
    rises = ("initial_lr", "max_lr", "max_momentum", "base_momentum")
    if three_phase:
        returns = ("max_lr", "initial_lr", "base_momentum", "max_momentum")
        ends = ("initial_lr", "min_lr", "max_momentum", "max_momentum")
        phases = [(up - 1, rises), (2 * up - 2, returns), (total_steps - 1, ends)]
    else:
        falls = ("max_lr", "min_lr", "base_momentum", "max_momentum")
        phases = [(up - 1, rises), (total_steps - 1, falls)]
    names = ("start_lr", "end_lr", "start_momentum", "end_momentum")
    return [{"end_step": end, **dict(zip(names, values, strict=True))} for end, values in phases]
