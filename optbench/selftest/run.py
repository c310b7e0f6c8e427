"""Checks every planted fault, and the unmutated tiers beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from optbench import conformance, laws, registry, subjects
from optbench.checking import Task, check
from optbench.conformance import Plan, Progress
from optbench.registry import Implementation
from optbench.results import Result

from .faults import FAULTS, Fault
from .mutate import implementation


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
    total = len(controls) + len(FAULTS)
    plan = Plan(suite="quick", seed=seed)
    for count, (tier, subject) in enumerate(controls, 1):
        yield _control(plan, tier, subject)
        if progress:
            progress(Progress(count, total, f"control {tier} {subject}"))
    with tempfile.TemporaryDirectory(prefix="optbench-selftest-") as folder:
        for count, fault in enumerate(FAULTS, len(controls) + 1):
            yield _judge(plan, fault, Path(folder), suite)
            if progress:
                progress(Progress(count, total, fault.id))


def _control(plan: Plan, tier: str, subject: str) -> Outcome:
    tasks = _tasks(plan, subject, tier, laws.select())
    broken = next((result for result in map(check, tasks) if result.broken), None)
    what = f"{tier} {subject} as it is: no law may break"
    if broken is None:
        return Outcome(f"control: {tier} {subject}", what, "", subject, tier, "", "", "", "", True)
    return Outcome(
        f"control: {tier} {subject}", what, "", subject, tier, "", broken.law, broken.case, broken.message, False
    )


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
        for case in conformance.cases(entry, declared, plan)
        if registry.IMPLEMENTATIONS[tier].refusal(case) is None
    ]
