"""opt.interchange: a checkpoint moves between any two implementations in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import NAMES, Subject

if TYPE_CHECKING:
    from optbench.trial import Trial

LAW = Law(
    id="opt.interchange",
    level="torch",
    statement="a checkpoint continues in torch.optim and in every tier, and theirs continue here, as the oracle does",
    catches="other names, shapes, dtypes or meanings in state_dict than torch's",
    host=True,
)

_PARTNERS = ("torch-forloop", "reference", "foreach", "fused")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if subject.name not in NAMES:
        # Nobody else has it.
        return
    for partner in _PARTNERS if subject.in_torch else _PARTNERS[1:]:
        for direction in ("to", "from"):
            for dtype in scope.some("float32", "bfloat16") if scope.suite == "full" else scope.some("float32"):
                yield scope.case(
                    subject,
                    subject.fullest,
                    dtype,
                    moment="late",
                    shapes="pair",
                    variant=f"{direction} {partner}",
                    steps=4,
                )


def check(trial: Trial) -> None:
    import copy

    from optbench import registry

    direction, _, name = trial.case.variant.partition(" ")
    partner = registry.IMPLEMENTATIONS[name]
    options, checker = trial.case.options, trial.checker
    writer, reader = (trial.implementation, partner) if direction == "to" else (partner, trial.implementation)
    run = trial.run()
    run.optimizer = trial.build(run.params, options, writer)
    for k in range(2):
        run.step(k)
    saved = copy.deepcopy(run.optimizer.state_dict())
    if trial.subject.in_torch:
        _same_form(trial, saved)
    run.optimizer = trial.build(run.params, options, reader)
    run.optimizer.load_state_dict(saved)
    for k in range(2, trial.case.steps):
        trial.judge_next(run, k, f"{writer.name} continued in {reader.name}, step {k + 1}")
    checker.same("groups after loading", len(run.optimizer.param_groups), 1)


def _same_form(trial: Trial, saved: dict) -> None:
    """Keys, shapes and dtypes are those that torch's own for-loop writes."""
    import torch

    from optbench import registry

    twin = trial.run()
    twin.optimizer = trial.build(twin.params, trial.case.options, registry.IMPLEMENTATIONS["torch-forloop"])
    for k in range(2):
        twin.step(k)
    torchs = twin.optimizer.state_dict()
    checker = trial.checker
    checker.same("entries of state_dict", list(saved), list(torchs))
    for ours, theirs in zip(saved["param_groups"], torchs["param_groups"], strict=True):
        checker.same("entries of the group", sorted(ours), sorted(theirs))
        # The flags that choose torch's path may differ: they choose nothing else.
        for key in set(ours) & set(theirs) - {"foreach", "fused"}:
            checker.same(f"group[{key!r}]", ours[key], theirs[key])
    checker.same("parameters with state", sorted(saved["state"]), sorted(torchs["state"]))
    for i in set(saved["state"]) & set(torchs["state"]):
        ours, theirs = saved["state"][i], torchs["state"][i]
        checker.same(f"state entries of parameter {i}", sorted(ours), sorted(theirs))
        for key in set(ours) & set(theirs):
            if isinstance(theirs[key], torch.Tensor):
                form = [(t.dtype, tuple(t.shape)) for t in (ours[key], theirs[key])]
                checker.same(f"dtype and shape of {key} of parameter {i}", *form)
