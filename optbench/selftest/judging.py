"""Asks the laws of a planted fault, those first that caught the last ones: most faults then die of the first case."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from optbench import laws, planning, registry, subjects
from optbench.checking import Task, check
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.runs.results import Result

# A case takes milliseconds: in what takes longer, the fault is that it never ends.
_PATIENCE = 30.0
# (subject, law, case) that caught a fault.
Killer = tuple[str, str, str]
# What is asked first where nothing was caught before: the law that an operator's faults fall foul of, and then those
# that see most. The others come in the order of their names.
_FIRST = {
    "dead-check": ("opt.errors", "sch.errors"),
    "wrong-group": ("opt.groups", "sch.groups"),
    "mutated-input": ("opt.pure", "avg.pure"),
    "skipped-tail": ("opt.shapes",),
    "stale-state": ("opt.replaced",),
    "shared-storage": ("opt.round_trip", "sch.tensor_lr", "avg.pure"),
}
_THEN = ("opt.oracle", "sch.formula", "avg.oracle", "opt.layouts", "opt.sparse_in_time", "opt.groups", "sch.tensor_lr",
         "sch.resume_anywhere", "sch.degenerate", "opt.shapes", "opt.eps_regime", "opt.round_trip")  # fmt: skip

# Laws whose cases take long.
_DEAR = ("opt.converges", "opt.precision", "opt.threads", "opt.memory", "opt.launch", "avg.precision")


@functools.lru_cache(maxsize=64)
def tasks(subject: str, tier: str, seed: int) -> tuple[Task, ...]:
    """Every case of every law but the grades, for a subject in a tier."""
    declared = subjects.load(subject)
    plan = Plan(suite="quick", seed=seed)
    return tuple(
        Task(entry.law.id, case, tier, True, "optbench selftest")
        for entry in laws.select()
        if entry.law.kind == declared.kind and not entry.law.grade
        for case in planning.cases(entry, declared, plan)
        if registry.IMPLEMENTATIONS[tier].refusal(case) is None
    )


def ordered(found: Sequence[Task], operator: str, killers: Iterable[Killer]) -> Iterator[Task]:
    """The tasks: what caught the last faults, what the operator's faults fall foul of, and the rest."""
    known = {(task.case.subject, task.law, task.case.id): task for task in found}
    yield from [known.pop(killer) for killer in killers if killer in known]
    first = _FIRST.get(operator, ())
    ranks = {law: rank for rank, law in enumerate((*first, *_THEN))}
    asked: Counter[str] = Counter()

    def turn(task: Task) -> tuple[bool, int, int]:
        asked[task.law] += 1
        at_once = task.law in first
        return task.law in _DEAR and not at_once, 0 if at_once else asked[task.law], ranks.get(task.law, len(ranks))

    # A case of each law in turn: most faults are seen by any case of a law that sees them.
    yield from sorted(known.values(), key=turn)


def first_broken(implementation: Implementation, asked: Iterable[Task]) -> Result | None:
    """The first case in which a law breaks, if one does."""
    return next((result for result in (_checked(task, implementation) for task in asked) if result.broken), None)


def broken_laws(implementation: Implementation, asked: Iterable[Task]) -> list[Result]:
    """The first broken case of every law that breaks."""
    by_law: dict[str, list[Task]] = {}
    for task in asked:
        by_law.setdefault(task.law, []).append(task)
    found = (first_broken(implementation, some) for some in by_law.values())
    return [result for result in found if result is not None]


def _checked(task: Task, implementation: Implementation) -> Result:
    with _ends_in_time():
        return check(task, implementation)


@contextlib.contextmanager
def _ends_in_time() -> Iterator[None]:
    """Raise TimeoutError in code that goes on for ever; where that cannot be, the worker's time limit ends it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise TimeoutError(f"no end within {_PATIENCE:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
