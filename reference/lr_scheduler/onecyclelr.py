"""OneCycleLR: up to max_lr once, and far down, over the whole training.

Paper: Leslie N. Smith and Nicholay Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
Learning Rates", 2017, https://arxiv.org/abs/1708.07120, section 3; the cosine and the two phases are fastai's.

With N = total_steps, initial = max_lr/div_factor and min = initial/final_div_factor, the rate of a group goes

    from initial at 0 to max_lr at pct_start*N - 1, and from there to min at N - 1                  two phases
    from initial at 0 to max_lr at pct_start*N - 1, to initial at 2*pct_start*N - 2, to min at N - 1     three

and within a phase, at epoch t = 0, 1, 2, ..., which counts batches:

    x = (t - begin) / (end - begin)
    f = (1 + cos(pi*x))/2 (cos), 1 - x (linear)
    lr = finish + (start - finish) * f

The momentum, or beta1, goes from max_momentum to base_momentum and back in the first two phases. It always sets this
closed form, whatever the rate was. So it does when it is built with a last_epoch.

Where PyTorch departs from the paper:
- Two phases and a cosine by default, while the paper has three straight lines.

Where this departs from PyTorch's code:
- At t = N, one epoch after the last, the rate stays min; PyTorch's rises, or falls below it. Later epochs raise.
- A phase of no length is over when it begins, where PyTorch divides by zero.
- A group that is added later has its rate then as initial, and the first group's proportions; PyTorch raises.
"""

from __future__ import annotations

from typing import Any, Literal

from torch.optim import Optimizer

from ._base import check_resumed, per_group
from ._momentum import MomentumSchedule
from ._ops import blend, half_cosine

Phase = dict[str, Any]


def find_phase(epoch: float, phases: list[Phase]) -> tuple[Phase, float, float]:
    """The phase that an epoch is in, how much of it is done, and how much is left."""
    begin = 0.0
    for phase in phases[:-1]:
        # A phase without length is over.
        if epoch <= phase["end_step"] != begin:
            return phase, epoch - begin, phase["end_step"] - epoch
        begin = phase["end_step"]
    return phases[-1], epoch - begin, max(phases[-1]["end_step"] - epoch, 0.0)


def anneal(start: float, finish: float, done: float, left: float, *, strategy: str) -> float:
    """The value within a phase, both ends exactly."""
    # nothing left, be it of a phase that has no length
    if left == 0:
        return finish
    # closed form
    #   value = finish + (start - finish) * f = start * f + finish * (1 - f)
    if strategy == "cos":
        return blend(start, finish, half_cosine(done, left), half_cosine(left, done))
    return blend(start, finish, left / (done + left), done / (done + left))


class OneCycleLR(MomentumSchedule):
    """Go up and down once, drop-in for torch.optim.lr_scheduler.OneCycleLR.

    Args: as torch's. Either total_steps, or epochs and steps_per_epoch; pct_start is a float in [0, 1], both factors
        are positive; rates and momenta are numbers, or lists with one for each group. The groups keep the bounds.
    Raises: ValueError for a value out of its range, an optimizer without momentum, an epoch beyond total_steps.
    Example: `OneCycleLR(optimizer, max_lr=0.1, total_steps=1000).step()`
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | list[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos", cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85, max_momentum: float | list[float] = 0.95, div_factor: float = 25.0,
        final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.total_steps = count_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must be a float between 0 and 1, not {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be cos or linear, not {anneal_strategy!r}")
        for name, factor in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            if not factor > 0:
                raise ValueError(f"{name} must be positive, not {factor}")
        self._schedule_phases = make_phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        check_resumed(optimizer, last_epoch)
        tops = per_group("max_lr", optimizer, max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        for group, top in zip(optimizer.param_groups, tops, strict=True):
            if last_epoch == -1:
                group["initial_lr"], group["max_lr"] = top / div_factor, top
                group["min_lr"] = group["initial_lr"] / final_div_factor
            else:
                group.setdefault("max_lr", top)
                group.setdefault("min_lr", top / div_factor / final_div_factor)
        super().__init__(optimizer, last_epoch)

    def _adopt_group(self, index: int, group: dict[str, Any]) -> None:
        first = self.optimizer.param_groups[0]
        for name in ("max_lr", "min_lr"):
            share = float(first[name]) / float(first["initial_lr"]) if float(first["initial_lr"]) else 1.0
            group.setdefault(name, float(group["initial_lr"]) * share)
        super()._adopt_group(index, group)

    def _update_lr(self, epoch: int | None = None) -> None:
        target = self.last_epoch + 1 if epoch is None else epoch
        if target > self.total_steps:
            raise ValueError(f"Tried to step {target} times, but total_steps is {self.total_steps}")
        super()._update_lr(epoch)

    def _closed(self, index: int, epoch: float) -> float:
        return self._annealed(index, epoch, "lr")

    def _momentum(self, index: int, epoch: float) -> float:
        return self._annealed(index, epoch, "momentum")

    def _annealed(self, index: int, epoch: float, name: str) -> float:
        phase, done, left = find_phase(epoch, self._schedule_phases)
        group = self.optimizer.param_groups[index]
        start, finish = float(group[phase[f"start_{name}"]]), float(group[phase[f"end_{name}"]])
        return anneal(start, finish, done, left, strategy=self._anneal_func_type)


def count_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The length of the cycle."""
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must give either total_steps, or epochs and steps_per_epoch")
    length = 1
    given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if total_steps is not None:
        given = {"total_steps": total_steps}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"{name} must be a positive integer, not {value}")
        length *= value
    return length


def make_phases(total_steps: int, pct_start: float, three_phase: bool) -> list[Phase]:
    """The phases, with the names of the groups' entries that each goes between."""
    momenta = ("max_momentum", "base_momentum")
    top, last = float(pct_start * total_steps) - 1, total_steps - 1
    if not three_phase:
        return [phase(top, "initial_lr", "max_lr", *momenta), phase(last, "max_lr", "min_lr", *momenta[::-1])]
    return [
        phase(top, "initial_lr", "max_lr", *momenta),
        phase(float(2 * pct_start * total_steps) - 2, "max_lr", "initial_lr", *momenta[::-1]),
        phase(last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]


def phase(end_step: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> Phase:
    """A phase under torch's names."""
    return {
        "end_step": end_step, "start_lr": start_lr, "end_lr": end_lr,
        "start_momentum": start_momentum, "end_momentum": end_momentum,
    }  # fmt: skip
