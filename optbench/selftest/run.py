"""Checks every planted fault, and the unmutated tiers beside them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench import laws, planning, registry, subjects
from optbench.checking import Task, check
from optbench.conformance import Progress
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.results import Result
from optbench.worker import Worker

from .faults import FAULTS, Fault
from .mutate import implementation

# All cases of a law, in Triton's interpreter.
TIME_LIMIT = 300.0


@dataclass(frozen=True)
class Outcome:
    """What became of a fault, or of a control.

    Args:
        fault: its id; "control: tier subject" for an unmutated tier.
        what: the fault in a line.
        shipped_in: where this fault was released, "" where it is synthetic.
        subject, tier: what was mutated.
        expected: the law that has to catch it, "" for a control.
        caught_by: the law that did, "" where none did.
        case: the case that showed it.
        message: the law's message.
        ok: caught by the expected law with the right quantity named; for a control, that no law broke.
    """

    fault: str
    what: str
    shipped_in: str
    subject: str
    tier: str
    expected: str
    caught_by: str
    case: str
    message: str
    ok: bool


def run(suite: str = "quick", seed: int = 0, progress: Callable[[Progress], None] | None = None) -> Iterator[Outcome]:
    """Check every fault and every control.

    Args:
        suite: "quick" asks the expected law first and the others only where it was silent; "full" asks every law.
        seed: as in a run.
        progress: called after each.

    Yields:
        An outcome for each control, then for each fault.
    """
    controls = sorted({(fault.tier, fault.subject) for fault in FAULTS})
    jobs: list[tuple[str, str, Callable[..., Outcome], tuple[Any, ...]]] = [
        (tier, f"control {tier} {subject}", control, (tier, subject, seed)) for tier, subject in controls
    ]
    jobs += [(fault.tier, fault.id, judge, (fault.id, suite, seed)) for fault in FAULTS]
    with contextlib.ExitStack() as stack:
        workers = _workers(stack)
        for count, (tier, doing, function, arguments) in enumerate(jobs, 1):
            yield _in(workers.get(tier), function, *arguments)
            if progress:
                progress(Progress(count, len(jobs), doing))


def control(tier: str, subject: str, seed: int) -> Outcome:
    """Check every law on an unmutated tier; an interpreter, those laws only that faults planted in it have to break."""
    chosen = laws.select()
    if registry.IMPLEMENTATIONS[tier].worker:
        named = {fault.caught_by for fault in FAULTS if (fault.tier, fault.subject) == (tier, subject)}
        chosen = laws.select(sorted(named))
    broken = next((result for result in map(check, _tasks(_plan(seed), subject, tier, chosen)) if result.broken), None)
    told = (broken.law, broken.case, broken.message) if broken else ("", "", "")
    what = f"{tier} {subject} as it is: no law may break"
    return Outcome(f"control: {tier} {subject}", what, "", subject, tier, "", *told, broken is None)


def judge(fault_id: str, suite: str, seed: int) -> Outcome:
    """Plant a fault and look which law breaks."""
    fault = next(fault for fault in FAULTS if fault.id == fault_id)
    with tempfile.TemporaryDirectory(prefix="optbench-selftest-") as folder:
        return _judge(_plan(seed), fault, Path(folder), suite)


def _plan(seed: int) -> Plan:
    return Plan(suite="quick", seed=seed)


def _workers(stack: contextlib.ExitStack) -> dict[str, Worker]:
    """A process for each tier that needs one."""
    tiers = {fault.tier for fault in FAULTS}
    known = registry.IMPLEMENTATIONS
    return {tier: stack.enter_context(Worker(known[tier].environment)) for tier in sorted(tiers) if known[tier].worker}


def _in(worker: Worker | None, function: Callable[..., Outcome], *arguments: Any) -> Outcome:
    if worker is None:
        return function(*arguments)
    outcome: Outcome = worker.call(f"{__name__}:{function.__name__}", *arguments, timeout=TIME_LIMIT)
    return outcome


def _judge(plan: Plan, fault: Fault, folder: Path, suite: str) -> Outcome:
    mutant = implementation(fault, folder)
    expected = laws.select([fault.caught_by])
    others = [entry for entry in laws.select() if entry.law.id != fault.caught_by]
    caught = _first_broken(plan, fault, mutant, expected)
    named = caught is not None and fault.names in caught.message
    if caught is None or suite == "full":
        caught = caught or _first_broken(plan, fault, mutant, others)
    return Outcome(
        fault.id,
        fault.what,
        fault.shipped_in,
        fault.subject,
        fault.tier,
        fault.caught_by,
        caught.law if caught else "",
        caught.case if caught else "",
        caught.message if caught else "",
        named,
    )


def _first_broken(plan: Plan, fault: Fault, mutant: Implementation, chosen: Iterable[laws.Entry]) -> Result | None:
    for task in _tasks(plan, fault.subject, fault.tier, chosen):
        result = check(task, mutant)
        if result.broken:
            return result
    return None


def _tasks(plan: Plan, subject: str, tier: str, chosen: Iterable[laws.Entry]) -> list[Task]:
    declared = subjects.load(subject)
    return [
        Task(entry.law.id, case, tier, True, "optbench selftest")
        for entry in chosen
        if entry.law.kind == declared.kind and not entry.law.grade
        for case in planning.cases(entry, declared, plan)
        if registry.IMPLEMENTATIONS[tier].refusal(case) is None
    ]
