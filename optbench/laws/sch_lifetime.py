"""sch.lifetime: nobody is kept alive, and nobody is warned who did nothing wrong."""

from __future__ import annotations

import contextlib
import gc
import warnings
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.schedulers import Trial

LAW = Law(
    id="sch.lifetime",
    level="state",
    statement="scheduler and optimizer are freed without the garbage collector; the right order warns of nothing",
    catches="a cycle through the wrapped step, warnings that cry wolf after a resume or beside another scheduler",
    kind="scheduler",
    host=True,
)

_FREED = "freed"
# In scripts.
_FREE = "alive = weakref.ref({0})\n{1}del {0}\nalive() is None"
_QUIET = ("right order", "right order, resumed", "right order, resumed by last_epoch", "right order, two schedulers")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    by_epoch = subject.name not in ("reducelronplateau", "chainedscheduler", "sequentiallr")
    for variant in (_FREED, *_QUIET):
        if by_epoch or "last_epoch" not in variant:
            yield scope.case(subject, {}, scope.dtypes[0], variant=variant)


def check(trial: Trial) -> None:
    if trial.case.variant == _FREED:
        _freed(trial)
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _quietly(trial)
    trial.checker.same("warnings", [str(warning.message)[:120] for warning in told], [], shown="not told")


def _freed(trial: Trial) -> None:
    for steps in (0, 3):
        with _without_collector():
            run = trial.run()
            for epoch in range(1, steps + 1):
                run.step(epoch)
            alive = {"scheduler": weakref.ref(run.scheduler), "optimizer": weakref.ref(run.optimizer)}
            del run.scheduler
            trial.checker.true(f"the scheduler is freed after {steps} steps", alive["scheduler"]() is None,
                               shown=_FREE.format("scheduler", ""))  # fmt: skip
            # Whatever a scheduler puts around a step has to let go of it.
            run.optimizer.step()
            del run.optimizer
            trial.checker.true(f"the optimizer is freed after {steps} steps", alive["optimizer"]() is None,
                               shown=_FREE.format("optimizer", "del scheduler\noptimizer.step()\n"))  # fmt: skip


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _quietly(trial: Trial) -> None:
    """Three epochs in the right order, in one of the ways to come to it."""
    from optbench.trials.schedulers import Run

    run = trial.run()
    other = trial.run() if trial.case.variant == _QUIET[3] else None
    if other:
        watched = run.optimizer.step
        other = Run(trial, run.optimizer, trial.build(run.optimizer))
        if hasattr(watched, "_wrapped_by_lr_sched"):
            kept = run.optimizer.step is watched
            trial.checker.true("a step that is watched is watched once", kept, "it is wrapped anew")
    for epoch in range(1, 4):
        run.step(epoch)
        if other and trial.subject.name != "reducelronplateau":
            other.scheduler.step()
    if trial.case.variant == _QUIET[1]:
        again = trial.run()
        again.optimizer.load_state_dict(run.optimizer.state_dict())
        again.scheduler.load_state_dict(run.scheduler.state_dict())
        again.step(4)
    elif trial.case.variant == _QUIET[2]:
        optimizer = trial.optimizer()
        optimizer.load_state_dict(run.optimizer.state_dict())
        Run(trial, optimizer, trial.build(optimizer, last_epoch=2)).step(4)
