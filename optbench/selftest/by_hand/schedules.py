"""Faults of schedulers: each takes a scheduler class and gives a faulty one.

They go by what all schedulers have in common with torch's, so that a fault can be planted in any tier.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..fault import Fault


def _after_step(change: Callable[..., None]) -> Callable[[type[Any]], type[Any]]:
    """A subclass that does `change(scheduler, what step was given)` after each step but the constructor's."""

    def wrap(cls: type[Any]) -> type[Any]:
        class Faulty(cls):  # type: ignore[misc, valid-type]
            def step(self, *given: Any, **named: Any) -> None:
                super().step(*given, **named)
                if not self._is_initial:
                    change(self, *given)

        Faulty.__name__ = cls.__name__
        return Faulty

    return wrap


def _after_init(change: Callable[..., None]) -> Callable[[type[Any]], type[Any]]:
    """A subclass that does `change(scheduler, last_epoch)` when it has been built."""

    def wrap(cls: type[Any]) -> type[Any]:
        class Faulty(cls):  # type: ignore[misc, valid-type]
            def __init__(self, *given: Any, **options: Any) -> None:
                super().__init__(*given, **options)
                change(self, options.get("last_epoch", -1))

        Faulty.__name__ = cls.__name__
        return Faulty

    return wrap


def _with_options(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[type[Any]], type[Any]]:
    """A subclass whose constructor makes something else of its options."""

    def wrap(cls: type[Any]) -> type[Any]:
        class Faulty(cls):  # type: ignore[misc, valid-type]
            def __init__(self, *given: Any, **options: Any) -> None:
                super().__init__(*given, **{**options, **change(options)})

        Faulty.__name__ = cls.__name__
        return Faulty

    return wrap


def _set(scheduler: Any, rates: list[float]) -> None:
    """Write rates into the groups, as a scheduler does."""
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=False):
        group["lr"] = rate
    scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]


def recursion_past_its_end(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, epoch: int | None = None) -> None:
            before = [group["lr"] for group in self.optimizer.param_groups]
            super().step(epoch)
            if epoch is None and self.last_epoch > self.T_max:
                now, last = (1 + math.cos(math.pi * (self.last_epoch - k) / self.T_max) for k in (0, 1))
                _set(self, [self.eta_min + (lr - self.eta_min) * now / (last or 1e-17) for lr in before])

    Faulty.__name__ = cls.__name__
    return Faulty


def first_rate_of_the_last_part(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, optimizer: Any, *given: Any, **options: Any) -> None:
            left = [group["lr"] for group in optimizer.param_groups]
            super().__init__(optimizer, *given, **options)
            _set(self, left)

    Faulty.__name__ = cls.__name__
    return Faulty


def _bisects_a_counter(scheduler: Any, epoch: int | None = None) -> None:
    if epoch is not None:
        factor = scheduler.gamma ** bisect_right(scheduler.milestones, epoch)
        _set(scheduler, [lr * factor for lr in scheduler.base_lrs])


def _decays_twice(scheduler: Any, last_epoch: int) -> None:
    if last_epoch != -1 and (last_epoch + 1) % scheduler.step_size == 0:
        _set(scheduler, [group["lr"] * scheduler.gamma for group in scheduler.optimizer.param_groups])


def _steps_its_parts(scheduler: Any, last_epoch: int) -> None:
    for part in scheduler._schedulers:
        if hasattr(part, "_milestones"):
            part.step()


def new_groups_passed_over(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, optimizer: Any, *given: Any, **options: Any) -> None:
            self._known = len(optimizer.param_groups)
            super().__init__(optimizer, *given, **options)

        def step(self, epoch: int | None = None) -> None:
            held = [group["lr"] for group in self.optimizer.param_groups]
            super().step(epoch)
            for group, lr in zip(self.optimizer.param_groups[self._known :], held[self._known :], strict=True):
                group["lr"] = lr

    Faulty.__name__ = cls.__name__
    return Faulty


def _other_betas_lost(scheduler: Any, epoch: int | None = None) -> None:
    for group in scheduler.optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (group["betas"][0],) * 2


def _default_for_the_other_beta(scheduler: Any, last_epoch: int) -> None:
    for group in scheduler.optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (group["betas"][0], 0.999)


def stops_at_the_first_that_stands(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, metrics: Any, epoch: int | None = None) -> None:
            held = [group["lr"] for group in self.optimizer.param_groups]
            super().step(metrics, epoch)
            if self.optimizer.param_groups[0]["lr"] == held[0]:
                _set(self, held)

    Faulty.__name__ = cls.__name__
    return Faulty


def best_is_the_callers_tensor(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, metrics: Any, epoch: int | None = None) -> None:
            if hasattr(self, "_given"):
                self.best: Any = float(self._given)
            super().step(metrics, epoch)
            if self.best == metrics:
                self._given: Any = metrics

    Faulty.__name__ = cls.__name__
    return Faulty


def saves_the_very_attributes(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> dict[str, Any]:
            state: dict[str, Any] = super().state_dict()
            saved = zip(state["lr_lambdas"], self.lr_lambdas, strict=True)
            return state | {"lr_lambdas": [held and vars(function) for held, function in saved]}

    Faulty.__name__ = cls.__name__
    return Faulty


def bases_grow_in_place(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            held = vars(self).get("base_lrs", [])
            super().step(*given, **named)
            if len(held) != len(vars(self)["base_lrs"]):
                held[:] = vars(self)["base_lrs"]
                self.__dict__["base_lrs"] = held

    Faulty.__name__ = cls.__name__
    return Faulty


def length_not_saved(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> dict[str, Any]:
            return {name: value for name, value in super().state_dict().items() if name != "total_iters"}

    Faulty.__name__ = cls.__name__
    return Faulty


def _momentum_with_the_rate(scheduler: Any, epoch: int | None = None) -> None:
    for group in scheduler.optimizer.param_groups if scheduler.cycle_momentum else ():
        if "momentum" in group:
            group["momentum"] = group["max_momentum"] + group["base_momentum"] - group["momentum"]


def _cools_too_short(scheduler: Any, metric: Any) -> None:
    if scheduler.cooldown and scheduler.cooldown_counter == scheduler.cooldown:
        scheduler.cooldown_counter -= 1


def nan_is_best(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, metrics: Any, epoch: int | None = None) -> None:
            super().step(math.inf if self.mode == "max" and math.isnan(metrics) else metrics, epoch)

    Faulty.__name__ = cls.__name__
    return Faulty


def _replaces_tensors(scheduler: Any, epoch: int | None = None) -> None:
    for group in scheduler.optimizer.param_groups:
        if hasattr(group["lr"], "clone"):
            group["lr"] = group["lr"].clone()


def _shares_initial_lr(scheduler: Any, last_epoch: int) -> None:
    for group in scheduler.optimizer.param_groups:
        group["initial_lr"] = group["lr"]


def keys_stay_strings(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            loaded = {key: count for key, count in state_dict["milestones"].items() if type(key) is int}
            self.milestones: Any = Counter(loaded)

    Faulty.__name__ = cls.__name__
    return Faulty


def cursor_not_saved(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> dict[str, Any]:
            return {name: value for name, value in super().state_dict().items() if name != "T_cur"}

    Faulty.__name__ = cls.__name__
    return Faulty


def first_part_loaded_only(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            own = [part.state_dict() for part in self._schedulers]
            parts = [state_dict["_schedulers"][0], *own[1:]]
            super().load_state_dict({**state_dict, "_schedulers": parts})

    Faulty.__name__ = cls.__name__
    return Faulty


def _kept_by_the_optimizer(scheduler: Any, last_epoch: int) -> None:
    scheduler.optimizer._scheduler = scheduler


def never_warns(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            self.optimizer._opt_called = True
            super().step(*given, **named)

    Faulty.__name__ = cls.__name__
    return Faulty


def divides_by_its_factor(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, epoch: int | None = None) -> None:
            super().step(epoch)
            if self.last_epoch == self.total_iters:
                _set(self, [lr * self.factor * (1.0 / self.factor) for lr in self.base_lrs])

    Faulty.__name__ = cls.__name__
    return Faulty


def _overwrites(scheduler: Any, epoch: int | None = None) -> None:
    _set(scheduler, [base * scheduler.gamma**scheduler.last_epoch for base in scheduler.base_lrs])


def told_an_epoch_late(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def lr_at(self, step: int) -> list[float]:
            rates: list[float] = super().lr_at(step + 1)
            return rates

    Faulty.__name__ = cls.__name__
    return Faulty


def _bases_from_the_rates(scheduler: Any, last_epoch: int) -> None:
    if last_epoch != -1:
        scheduler.base_lrs = [float(group["lr"]) for group in scheduler.optimizer.param_groups]


FAULTS: tuple[Fault, ...] = (
    Fault(
        "cosine-recursion-past-its-end",
        "the recursion divides by what is zero at T_max",
        "cosineannealinglr", "foreach", "sch.formula", "at epoch",
        shipped_in="pytorch#20086",
        wrap=recursion_past_its_end,
    ),
    Fault(
        "sequential-first-rate-of-the-last-part",
        "the first rate is what building the last part has left",
        "sequentiallr", "reference", "sch.formula", "at epoch 0",
        shipped_in="pytorch#72874",
        wrap=first_rate_of_the_last_part,
    ),
    Fault(
        "multistep-bisects-a-counter",
        "step(epoch) looks its milestones up by position in a dictionary",
        "multisteplr", "reference", "sch.formula", "step(epoch)",
        shipped_in="pytorch#31828",
        wrap=_after_step(_bisects_a_counter),
    ),
    Fault(
        "step-boundary-decays-twice",
        "resumed by last_epoch exactly at a boundary, the rate decays once more",
        "steplr", "fused", "sch.resume_anywhere", "resumed at",
        shipped_in="pytorch#102261",
        wrap=_after_init(_decays_twice),
    ),
    Fault(
        "sequential-composite-a-step-ahead",
        "a composite is advanced by one when it becomes a part",
        "sequentiallr", "reference", "sch.compose", "nested",
        shipped_in="pytorch#196243",
        wrap=_after_init(_steps_its_parts),
    ),
    Fault(
        "exponential-fourth-digit",
        "gamma is off in the fourth digit",
        "exponentiallr", "foreach", "sch.formula", "at epoch 1",
        wrap=_with_options(lambda options: {"gamma": options["gamma"] * 1.0001}),
    ),
    Fault(
        "exponential-an-epoch-ahead-on-the-device",
        "tensor rates are an epoch ahead, in the rule as Triton compiles it",
        "exponentiallr", "fused-triton", "sch.tensor_lr", "at epoch 0",
        patches=(("curve = base * power(gamma, epoch)", "curve = base * power(gamma, epoch + 1.0)"),),
    ),
    Fault(
        "linear-an-epoch-too-long",
        "the ramp takes an epoch more than it was told",
        "linearlr", "fused", "sch.formula", "at epoch 1",
        wrap=_with_options(lambda options: {"total_iters": options.get("total_iters", 5) + 1}),
    ),
    Fault(
        "constant-divides-by-its-factor",
        "the factor is undone by dividing, which zero does not allow",
        "constantlr", "fused", "sch.degenerate", "goes on",
        wrap=divides_by_its_factor,
    ),
    Fault(
        "exponential-overwrites",
        "the closed form is written over what the user has set",
        "exponentiallr", "foreach", "sch.scaled", "changed after",
        wrap=_after_step(_overwrites),
    ),
    Fault(
        "exponential-new-group-passed-over",
        "a group that was added later keeps its rate",
        "exponentiallr", "foreach", "sch.groups", "a group joins",
        wrap=new_groups_passed_over,
    ),
    Fault(
        "onecycle-other-beta-lost",
        "beta2 becomes beta1",
        "onecyclelr", "reference", "sch.momentum", "other options",
        wrap=_after_step(_other_betas_lost),
    ),
    Fault(
        "onecycle-default-for-the-other-beta",
        "building it gives every group the beta2 that Adam has by default",
        "onecyclelr", "foreach", "sch.momentum", "other options",
        wrap=_after_init(_default_for_the_other_beta),
    ),
    Fault(
        "plateau-stops-at-the-first-that-stands",
        "a first group whose change is below eps stops all others",
        "reducelronplateau", "reference", "sch.plateau", "after metric",
        wrap=stops_at_the_first_that_stands,
    ),
    Fault(
        "plateau-best-is-the-callers-tensor",
        "the best metric is the tensor that was given, which the caller fills anew",
        "reducelronplateau", "foreach", "sch.plateau", "after metric",
        wrap=best_is_the_callers_tensor,
    ),
    Fault(
        "lambda-saves-the-very-attributes",
        "state_dict holds the attributes of the callable itself, which go on changing",
        "lambdalr", "reference", "sch.round_trip", "that was kept",
        wrap=saves_the_very_attributes,
    ),
    Fault(
        "cyclic-bases-grow-in-place",
        "a group that joins is in the base_lrs of states that were saved before",
        "cycliclr", "reference", "sch.round_trip", "that was kept",
        wrap=bases_grow_in_place,
    ),
    Fault(
        "constant-length-not-saved",
        "total_iters is not in state_dict",
        "constantlr", "reference", "sch.round_trip", "stored at",
        wrap=length_not_saved,
    ),
    Fault(
        "cyclic-momentum-with-the-rate",
        "momentum rises with the rate instead of against it",
        "cycliclr", "reference", "sch.momentum", "momentum of group",
        wrap=_after_step(_momentum_with_the_rate),
    ),
    Fault(
        "plateau-cooldown-off-by-one",
        "the cooldown is an epoch too short",
        "reducelronplateau", "foreach", "sch.plateau", "after metric",
        wrap=_after_step(_cools_too_short),
    ),
    Fault(
        "plateau-nan-is-best",
        "NaN counts as the best metric so far",
        "reducelronplateau", "reference", "sch.plateau", "after metric",
        wrap=nan_is_best,
    ),
    Fault(
        "poly-tensor-replaced",
        "a tensor lr is replaced by another one",
        "polynomiallr", "fused", "sch.tensor_lr", "the same tensor",
        wrap=_after_step(_replaces_tensors),
    ),
    Fault(
        "lambda-initial-lr-aliased",
        "initial_lr is the very tensor that the rate is",
        "lambdalr", "foreach", "sch.tensor_lr", "initial_lr",
        wrap=_after_init(_shares_initial_lr),
    ),
    Fault(
        "multistep-keys-stay-strings",
        "milestones that were stored as JSON are lost",
        "multisteplr", "reference", "sch.round_trip", "entries of the state",
        wrap=keys_stay_strings,
    ),
    Fault(
        "restarts-cursor-not-saved",
        "the epoch within the cycle is not in state_dict",
        "cosineannealingwarmrestarts", "foreach", "sch.round_trip", "stored at",
        wrap=cursor_not_saved,
    ),
    Fault(
        "chained-first-part-loaded-only",
        "load_state_dict gives the first part its state and forgets the others",
        "chainedscheduler", "foreach", "sch.resume_anywhere", "resumed at",
        wrap=first_part_loaded_only,
    ),
    Fault(
        "multiplicative-kept-by-the-optimizer",
        "optimizer and scheduler hold each other",
        "multiplicativelr", "reference", "sch.lifetime", "is freed",
        wrap=_after_init(_kept_by_the_optimizer),
    ),
    Fault(
        "step-never-warns",
        "nobody is told of the wrong order of calls",
        "steplr", "foreach", "sch.order", "warns of the order",
        wrap=never_warns,
    ),
    Fault(
        "restarts-any-factor-accepted",
        "an illegal T_mult is accepted",
        "cosineannealingwarmrestarts", "fused", "sch.errors", "refused",
        wrap=_with_options(lambda options: {"T_mult": max(1, int(options.get("T_mult", 1)))}),
    ),
    Fault(
        "swalr-told-an-epoch-late",
        "lr_at tells the rate of the epoch after",
        "swalr", "foreach", "sch.formula", "lr_at",
        wrap=told_an_epoch_late,
    ),
    Fault(
        "swalr-strategy-ignored",
        "the way is linear whatever was asked for",
        "swalr", "fused", "sch.formula", "at epoch 1",
        wrap=_with_options(lambda options: {"anneal_strategy": "linear"}),
    ),
    Fault(
        "swalr-shares-above-one",
        "the shares of the two rates, each rounded, add up to more than 1",
        "swalr", "foreach", "sch.formula", "is in its bounds",
        patches=(
            (
                "np.clip(start * rest + end * share, np.minimum(start, end), np.maximum(start, end))",
                "start * rest + end * share",
            ),
        ),
    ),
    Fault(
        "step-bases-from-the-rates",
        "built with a last_epoch, it takes the rates that have fallen for the first ones",
        "steplr", "foreach", "sch.resume_anywhere", "base_lrs",
        wrap=_after_init(_bases_from_the_rates),
    ),
)  # fmt: skip
