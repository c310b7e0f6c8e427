"""sch.scaled: what others do to a rate lasts where a schedule scales what it finds, and only there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.trials import formulas

if TYPE_CHECKING:
    from optbench.trials.schedulers import Trial

LAW = Law(
    id="sch.scaled",
    level="math",
    statement="a rate that others set is scaled onwards, at any epoch; an absolute schedule comes back to itself",
    catches="a closed form that overwrites what the user set, a change that is lost or counts twice, a wrong recursion",
    kind="scheduler",
    host=True,
)

_BY_HAND, _BEFORE, _CONSTANT = "changed by hand", "changed before it was built", "another"
_LAST_BY_HAND = "last group changed by hand"
_FROM_ZERO = "set by hand where it is zero"
_SMALL, _TENSORS = "changed by hand where it is small", "changed by hand, tensors"
# Attributes of schedules that tell the rates from which they began.
_BASES = ("base_lrs in place", "base_lrs")
_FACTORS, _LAST_ONLY = (0.5, 1.75), (1.0, 1.75)
# At epoch 1 the rates are zero, and with some of them at epoch 0.
_ZERO: dict[str, tuple[dict[str, Any], ...]] = {
    "constantlr": ({"factor": 0.0},),
    "linearlr": ({"end_factor": 0.0, "total_iters": 1}, {"end_factor": 0.0, "total_iters": 0}),
    "polynomiallr": ({"total_iters": 1}, {"total_iters": 0}),
}
# Options that are read at every step from an attribute of their name, as in torch.
_CONSTANTS = {"gamma", "step_size", "factor", "total_iters", "start_factor", "end_factor", "T_max", "eta_min", "power"}
# Of which so many epochs have several periods.
_SHORT: dict[str, dict[str, Any]] = {"cosineannealinglr": {"T_max": 3, "eta_min": 0.001}}
_EPOCHS = 12


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    # A plateau's bounds would have to be scaled too.
    options: dict[str, Any] = {} if subject.name == "reducelronplateau" else dict(subject.fullest)
    for variant in (_BY_HAND, _LAST_BY_HAND, _TENSORS):
        yield scope.case(subject, options, scope.dtypes[0], variant=variant)
    if subject.name in _SHORT:
        yield scope.case(subject, _SHORT[subject.name], scope.dtypes[0], variant=_BY_HAND)
    if "schedulers" not in subject.defaults and options:
        yield scope.case(subject, options, scope.dtypes[0], variant=_BEFORE)
        if "milestones" in subject.defaults:
            yield scope.case(subject, {"milestones": (-2, 3)}, scope.dtypes[0], variant=_BEFORE)
        if "total_iters" in subject.defaults:
            yield scope.case(subject, {"total_iters": 0}, scope.dtypes[0], variant=_BEFORE)
    for zero in _ZERO.get(subject.name, ()):
        yield scope.case(subject, zero, scope.dtypes[0], variant=_FROM_ZERO)
    constants = _CONSTANTS & subject.defaults.keys()
    for name in sorted(constants) if options else ():
        yield scope.case(subject, options, scope.dtypes[0], variant=f"{_CONSTANT} {name}")
    if constants and options and not subject.absolute:
        for name in _BASES if subject.name != "reducelronplateau" else ():
            yield scope.case(subject, options, scope.dtypes[0], variant=f"{_CONSTANT} {name}")
        if "eta_min" not in subject.defaults:
            yield scope.case(subject, options, scope.dtypes[0], variant=_SMALL)


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.schedulers import LRS

    trial.full()
    if trial.case.variant == _BEFORE:
        _before(trial)
        return
    if trial.case.variant == _FROM_ZERO:
        _from_zero(trial)
        return
    if trial.case.variant.startswith(_CONSTANT):
        _constant(trial, trial.case.variant.removeprefix(f"{_CONSTANT} "))
        return
    last = trial.last(_EPOCHS)
    lrs = [lr * 2.0**-60 for lr in LRS] if trial.case.variant == _SMALL else LRS
    tensors = trial.case.variant == _TENSORS
    for k in range(last):
        run = trial.run(lrs=[torch.tensor(lr, dtype=torch.float64) for lr in lrs] if tensors else lrs)
        for epoch in range(1, k + 1):
            run.step(epoch)
        changed = _change(run.optimizer, _LAST_ONLY if trial.case.variant == _LAST_BY_HAND else _FACTORS)
        for epoch in range(k + 1, last + 1):
            run.step(epoch)
            trial.judge(f"changed after epoch {k}", run, epoch, _rates(trial, changed, k, epoch, bases=lrs))


def _before(trial: Trial) -> None:
    """Another scheduler has set rates before this one is built."""
    from optbench.trials.schedulers import Run

    optimizer = trial.optimizer()
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    changed = _change(optimizer)
    run = Run(trial, optimizer, trial.build(optimizer))
    for epoch in range(trial.last(_EPOCHS) + 1):
        if epoch:
            run.step(epoch)
        trial.judge("changed before", run, epoch, _rates(trial, changed, -1, epoch))


def _from_zero(trial: Trial) -> None:
    """No factor leads from zero to a next rate: what was set meanwhile stays."""
    from optbench.trials.schedulers import LRS

    for k in (k for k in (0, 1) if not any(trial.expected(k))):
        run = trial.run()
        for epoch in range(1, k + 1):
            run.step(epoch)
        for group, lr in zip(run.optimizer.param_groups, LRS, strict=True):
            group["lr"] = lr / 4
        for epoch in range(k + 1, trial.last(_EPOCHS) + 1):
            run.step(epoch)
            trial.judge(f"set after epoch {k}", run, epoch, [lr / 4 for lr in LRS])


def _constant(trial: Trial, name: str) -> None:
    """A user sets an attribute of the scheduler: it goes on from where it stands by what that now says."""
    from optbench.trials.schedulers import LRS

    last, full = trial.last(_EPOCHS), trial.full()
    bases = [lr * 2 for lr in LRS] if name in _BASES else LRS
    other = None if name in _BASES else full[name] * 2 if isinstance(full[name], int) else full[name] / 2
    for k in range(1, last):
        run = trial.run()
        for epoch in range(1, k + 1):
            run.step(epoch)
        if name == _BASES[0]:
            run.scheduler.base_lrs[:] = bases
        else:
            setattr(run.scheduler, name, [*bases] if name in _BASES else other)
        standing = run.lrs
        for epoch in range(k + 1, last + 1):
            run.step(epoch)
            options = full if name in _BASES else {**full, name: other}
            expected = _rates(trial, standing, k, epoch, options, bases)
            trial.judge(f"{name} changed after epoch {k}", run, epoch, expected)


def _change(optimizer: Any, factors: Sequence[float] = _FACTORS) -> list[float]:
    """Scale each group's rate by a factor of its own, as a user does; what a factor of 1 leaves is not written."""
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        if factor != 1.0:
            group["lr"] = group["lr"] * factor
    return [float(group["lr"]) for group in optimizer.param_groups]


def _rates(
    trial: Trial, changed: list[float], since: int, epoch: int, options: Mapping[str, Any] | None = None,
    bases: Sequence[float] = (),
) -> list[float]:  # fmt: skip
    """What the rates are at an epoch that were changed after an earlier one, or whose schedule or base was."""
    from optbench.trials.schedulers import LRS

    if trial.subject.absolute:
        return trial.expected(epoch, options=options)
    if trial.subject.name == "reducelronplateau":
        before, now = (trial.expected(at, [1.0])[0] for at in (since, epoch))
        return [rate * now / before for rate in changed]
    full = trial.full() if options is None else options
    return [
        formulas.onwards(trial.subject.name, formulas.of_group(full, i), base, rate, since, epoch)
        for i, (base, rate) in enumerate(zip(bases or LRS, changed, strict=True))
    ]
