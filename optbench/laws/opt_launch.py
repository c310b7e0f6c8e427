"""opt.launch: how often a step goes over memory is declared, and does not grow with what it should not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.counted import Counted
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.launch",
    level="state",
    statement="a step launches as declared: a fused one equally often whatever the tensors, a foreach one once a group",
    catches="a launch for each tensor or group, a path that is not the one it is called, launches that add up",
    host=True,
    formula=False,
)

# What the launches of a step may be proportional to, besides the dtypes.
_GROWS_WITH = {
    "fused": (),
    "foreach": ("groups",),
    "for-loop": ("groups", "tensors"),
    # Nobody has said how foreign code goes over parameters.
    "": ("groups", "tensors"),
}
_TIMES = 3
_DTYPES = ("float32", "bfloat16", "float64")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for variant in ("tensors", "groups", "dtypes"):
        for options in ({}, subject.fullest):
            yield scope.case(subject, options, scope.some("float32")[0], shapes="matrices", variant=f"more {variant}")


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.base import Unsupported
    from optbench.trials.counted import together

    if trial.implementation.interpreted_on(trial.case.device):
        raise Unsupported("what an interpreter goes through is not launched")
    variant = trial.case.variant.removeprefix("more ")
    groups = _TIMES if variant == "groups" else 1
    threads = torch.get_num_threads()
    # What a team of threads launches is not seen.
    torch.set_num_threads(1)
    try:
        few, more = _runs(trial, variant)
        # Those of several dtypes apart, of several groups together.
        small = [together(trial, runs).warm() for runs in ([[run] for run in few] if variant == "dtypes" else [few])]
        _compare(trial, variant, small, together(trial, more, groups).warm())
    finally:
        torch.set_num_threads(threads)


def _runs(trial: Trial, variant: str) -> tuple[list[Run], list[Run]]:
    """The parameters of the small step, or of several, and of the large one."""
    if variant == "dtypes":
        trials = [replace(trial, case=replace(trial.case, dtype=dtype)) for dtype in _DTYPES]
        return [each.run() for each in trials], [each.run() for each in trials]
    return [trial.run() for _ in range(_TIMES if variant == "groups" else 1)], [trial.run() for _ in range(_TIMES)]


def _compare(trial: Trial, variant: str, few: list[Counted], more: Counted) -> None:
    from optbench.timing.passes import passes
    from optbench.timing.probe import impostor, watch

    checker, subject, item, device = trial.checker, trial.subject, trial.implementation, trial.case.device
    for each in (*few, more):
        reason = impostor(item, each.optimizer, watch(each.step, device), device, subject.calls)
        checker.true("a step is of the kind that its name says", reason is None, reason or "")
    small, again = ([passes(item, each.step, device) for each in few] for _ in range(2))
    large = passes(item, more.step, device)
    before = sum(each.total for each in small)
    if not subject.closure:
        checker.same("launches of the next step", sum(each.total for each in again), before)
    most = before
    if variant in _GROWS_WITH[item.path] and variant != "dtypes":
        most = _TIMES * before
    elif item.path == "foreach" and variant == "tensors":
        most += subject.per_tensor * (len(more.params) - len(few[0].params))
    what = f"launches, of {_TIMES} times the {variant}"
    checker.true(what, large.total <= most, f"{before} became {large.total}, at most {most} are declared")
    if item.path == "fused" and item.ours and subject.launches is not None and device.startswith("cpu"):
        for counted in small:
            checker.same("kernels of its own in a step", counted.own.total(), subject.launches)
        checker.same(f"kernels of its own, {what}", large.own.total(), subject.launches * len(few))
