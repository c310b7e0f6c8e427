"""Localises a failure: which case is the smallest, which option makes it appear, which class of mistake it likely is.

Importing this needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from optbench import case_ids, laws, registry
from optbench.case import Case, format_value
from optbench.checking import TIME_LIMIT, Task, attempt, check, check_isolated
from optbench.failures.finding import NOWHERE, Finding, manner, told
from optbench.law import Scope
from optbench.registry import Implementation
from optbench.runs.results import Result
from optbench.subjects import Subject
from optbench.worker import Worker, WorkerCrash, WorkerError

# An interpreter takes seconds for a case.
_SLOW_BUDGET = 8
# A process that died has to import torch again.
_CRASH_BUDGET = 4
_HUNG = "no answer within"


class Localiser:
    """Localises the first failure of each law, subject and implementation of a run; others are left as they are.

    Of crashes, it is the first of a subject and implementation.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, str]] = set()

    def __call__(self, task: Task, result: Result, worker: Worker | None = None) -> Result:
        """The result, with a whole finding if it is a failure of a kind that is new in this run."""
        # What dies, dies of one reason.
        key = ("" if result.verdict == "crash" else result.law, result.subject, result.implementation)
        known = result.deviation is not None and not result.judged
        if not result.broken or known or key in self._seen:
            return result
        self._seen.add(key)
        if task.space is not None:
            entry = laws.entries()[task.law]
            drawn = case_ids.parse(result.case, task.subject, task.case, entry.cases(task.subject, Scope("full")))
            assert drawn is not None
            task = again(task, drawn)
        return localise(task, result, worker)


def localise(
    task: Task, result: Result, worker: Worker | None = None, implementation: Implementation | None = None
) -> Result:
    """A broken result with a whole finding.

    Args:
        task: what was checked.
        result: what came of it.
        worker: the process to check in; None: this one.
        implementation: the implementation itself, where it is not the registry's.
    """
    smallest = task.case if _HUNG in result.message else _smallest(task, result, worker, implementation)
    asked = again(task, smallest)
    found = {**NOWHERE, **(result.finding or {}), "options": _made_by(smallest, task.subject)}
    if result.verdict == "crash":
        found["script"] = _dry(asked, worker)
    else:
        found |= _looked_at(asked, task.case, worker, implementation)
    found |= {"says": told(found), "case": smallest.id, "reproduce": asked.reproduce}
    return replace(result, finding=found)


def again(task: Task, case: Case) -> Task:
    """The same task on another case, with the command that reruns it."""
    command = task.reproduce.replace(f"[{task.case.id}]", f"[{case.id}]")
    return replace(task, case=case, space=None, reproduce=re.sub(r"--seed \d+", f"--seed {case.seed}", command))


def look(task: Task, larger: Case, implementation: Implementation | None = None) -> Finding:
    """What a failing case shows, checked here and now: the first wrong quantity, and what it likely is.

    Args:
        task: the smallest case.
        larger: the case that it was reduced from, whose numbers tell one mistake from another.
        implementation: the implementation itself, where it is not the registry's.
    """
    from optbench.failures import diagnosis
    from optbench.failures.scripts import script

    result, trial = attempt(task, implementation, script.listen)
    if result.verdict == "error":
        # Listening may itself be what raises, in a class that asks what class it is.
        result = attempt(task, implementation)[0]
    trials = [trial] if larger == task.case else [trial, attempt(replace(task, case=larger), implementation)[1]]
    found = {**(result.finding or {}), "likely": diagnosis.likely(task.law, trials)}
    return {**found, "message": result.message, "script": script.written(trial)}


def look_dry(task: Task) -> str:
    """The script of what ends a process, made without taking the steps that do."""
    from optbench.failures.scripts import script

    return script.written(attempt(task, watch=script.listen_dry)[1])


def _dry(task: Task, worker: Worker | None) -> str:
    try:
        return str(worker.call(f"{__name__}:look_dry", task, timeout=TIME_LIMIT)) if worker else ""
    except (WorkerCrash, WorkerError):
        # It dies elsewhere than in a step.
        return ""


def _looked_at(task: Task, larger: Case, worker: Worker | None, implementation: Implementation | None) -> Finding:
    if worker is None:
        return look(task, larger, implementation)
    try:
        found: Finding = worker.call(f"{__name__}:look", task, larger, timeout=TIME_LIMIT)
    except (WorkerCrash, WorkerError):
        return {}
    return found


def _smallest(task: Task, result: Result, worker: Worker | None, implementation: Implementation | None) -> Case:
    from optbench.failures import reduction

    check_one: Callable[[Task], Result] = partial(check_isolated, worker=worker) if worker else check
    honest, subject = _honest(task, implementation), task.subject
    seen = result.finding or NOWHERE
    wrong = seen["quantity"]

    def fails(case: Case) -> bool:
        asked = again(task, case)
        other = check(asked, implementation) if implementation else check_one(asked)
        # A state entry that these options leave out cannot be wrong any more; then the parameter is.
        gone = wrong in subject.tensor_names(task.case.options) and wrong not in subject.tensor_names(case.options)
        same = manner(other.message) == manner(result.message)
        moved = gone and (other.finding or NOWHERE)["quantity"] == "parameter"
        if other.verdict != result.verdict or not (same or moved):
            return False
        # A law may need what its case says: without it everybody fails.
        return honest is None or not check_one(again(honest, case)).broken

    item = implementation or registry.find(task.implementation)
    budget = _SLOW_BUDGET if item.interpreted_on(task.case.device) else reduction.BUDGET
    budget = _CRASH_BUDGET if result.verdict == "crash" else budget
    return reduction.reduced(task.case, subject, fails, budget, seen["parameter"])


def _honest(task: Task, implementation: Implementation | None) -> Task | None:
    """The same task for one of our tiers; None where nobody knows the formula."""
    from optbench.trials import oracle

    if task.adopted or task.oracle:
        return None
    name = oracle.FOREACH if task.implementation == oracle.REFERENCE and not implementation else oracle.REFERENCE
    return replace(task, implementation=name, options=None, state={}, named=frozenset(), inherits=frozenset())


def _made_by(case: Case, subject: Subject) -> dict[str, str]:
    """What is not as usual about a case: options unlike what every case has, dtype, layout, moment."""
    from optbench.failures.reduction import usual_of

    usual = subject.base
    options = {name: value for name, value in case.options.items() if name not in usual or usual[name] != value}
    plain = usual_of(subject)
    unlike = {name: getattr(case, name) for name in plain if name != "stream" and getattr(case, name) != plain[name]}
    return {name: format_value(value) for name, value in (options | unlike).items()}
