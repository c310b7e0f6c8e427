"""What a worker process does: plants one fault, asks the laws, and tells what became of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from optbench import laws, registry
from optbench.checking import Task

from . import equivalents
from .by_hand import FAULTS
from .fault import Fault
from .judging import Killer, broken_laws, first_broken, ordered, tasks
from .mutate import implementation, planted, unharmed
from .operators import catalogue
from .outcome import BY_HAND, CONTROL, Outcome, Status, told


def control(subject: str, tier: str, seed: int, killers: Sequence[Killer] | None = None) -> Outcome:
    """Ask laws of an unmutated tier.

    Args:
        subject: the algorithm.
        tier: the implementation.
        seed: as in a run.
        killers: the cases that are asked, those in which faults were caught; None: every case of every law, of an
            interpreter those laws that faults planted in it have to break.
    """
    asked: Sequence[Task] = tasks(subject, tier, seed)
    if killers is not None:
        wanted = set(killers)
        asked = [task for task in asked if (subject, task.law, task.case.id) in wanted]
    elif registry.IMPLEMENTATIONS[tier].worker:
        named = {fault.caught_by for fault in FAULTS if (fault.tier, fault.subject) == (tier, subject)}
        asked = [task for task in asked if task.law in named]
    broken = first_broken(unharmed(subject, tier), asked)
    what = f"{tier} {subject} as it is: no law may break"
    status: Status = "breaks" if broken else "passes"
    return Outcome(f"control: {tier} {subject}", CONTROL, what, "", subject, tier, "", status, **told(broken))


def by_hand(fault_id: str, every: bool, seed: int) -> Outcome:
    """Plant a fault that was written by hand.

    Args:
        fault_id: its id.
        every: whether every law is asked; else the expected one, and the others where it is silent.
        seed: as in a run.
    """
    fault = next(fault for fault in FAULTS if fault.id == fault_id)
    with tempfile.TemporaryDirectory(prefix="optbench-selftest-") as folder:
        return _by_hand(fault, every, seed, Path(folder))


def _by_hand(fault: Fault, every: bool, seed: int, folder: Path) -> Outcome:
    mutant = implementation(fault, folder)
    asked = tasks(fault.subject, fault.tier, seed)
    others = [task for task in asked if task.law != fault.caught_by]
    caught = first_broken(mutant, [task for task in asked if task.law == fault.caught_by])
    named = caught is not None and fault.names in caught.message
    also_by = None
    if every:
        also = broken_laws(mutant, others)
        also_by = tuple(result.law for result in also)
        caught = caught or (also[0] if also else None)
    elif caught is None:
        caught = first_broken(mutant, others)
    status: Status = "caught" if named else "misnamed" if caught else "survived"
    return Outcome(
        fault.id, BY_HAND, fault.what, fault.shipped_in, fault.subject, fault.tier, fault.caught_by, status,
        **told(caught), also_by=also_by,
    )  # fmt: skip


def generated(
    subject: str, tier: str, mutant_id: str, every: bool, seed: int, killers: Sequence[Killer]
) -> tuple[Outcome, Killer | None]:
    """Plant a generated fault.

    Args:
        subject: whose unit of the catalogue has it.
        tier: likewise.
        mutant_id: its id.
        every: whether the other laws are asked as well once one has caught it.
        seed: as in a run.
        killers: the cases that are asked first.

    Returns:
        What became of it, and the case that caught it.
    """
    mutant = next(mutant for mutant in catalogue.unit(subject, tier) if mutant.id == mutant_id)
    because = equivalents.argument(mutant_id)
    caught, also_by = None, None
    for asked in mutant.subjects:
        every_task = tasks(asked, tier, seed)
        with planted(mutant, asked) as faulty:
            caught = first_broken(faulty, ordered(every_task, mutant.operator, killers))
            if caught and every:
                also = broken_laws(faulty, [task for task in every_task if task.law != caught.law])
                also_by = tuple(result.law for result in also)
        if caught:
            break
    status: Status = "caught" if caught else "equivalent" if because else "survived"
    outcome = Outcome(
        mutant_id, mutant.operator, because if status == "equivalent" else mutant_id, "", subject, tier, "", status,
        **told(caught), also_by=also_by, listed=bool(because),
    )  # fmt: skip
    return outcome, (caught.subject, caught.law, caught.case) if caught else None


def expected_laws() -> list[str]:
    """Every law that a fault can break: all but the grades."""
    return [name for name, entry in laws.entries().items() if not entry.law.grade]
