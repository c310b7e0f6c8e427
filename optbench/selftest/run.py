"""Checks every fault, and the unmutated tiers beside them, on as many processes as there are cores."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from optbench import keyword as keywords
from optbench import registry, subjects
from optbench.conformance import Progress
from optbench.errors import UsageError
from optbench.worker import Worker, WorkerCrash

from . import asking, equivalents, necessity
from .by_hand import FAULTS
from .judging import Killer
from .operators import catalogue
from .operators.catalogue import Mutant
from .outcome import Outcome, Status

# What a fault may take in a worker: every case of every law, in Triton's interpreter, or one that never ends.
TIME_LIMIT = 600.0
# So many cases that caught the last faults are asked first.
_REMEMBERED = 8
_MOST_WORKERS = 4
# What a suite takes of an operator's mutants of a subject's tier, and as many that have to be compiled.
_QUICK, _FULL = 1, 4


@dataclass
class _Unit:
    """Faults of one subject in one tier."""

    subject: str
    tier: str
    faults: list[str] = field(default_factory=list)
    mutants: list[str] = field(default_factory=list)


def run(
    suite: str = "quick",
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    algo: str = "all",
    keyword: str = "",
) -> Iterator[Outcome]:
    """Check faults, and that what caught them passes without.

    Args:
        suite: "quick" plants a sample of the generated faults; "full" plants a larger one, asks every law of those that
            show a law to be needed, and every law of every control.
        seed: as in a run.
        progress: called after each.
        algo: as `--algo` has it.
        keyword: `-k`'s expression over the ids of faults.

    Yields:
        An outcome for each fault and each control, as they come.

    Raises:
        UsageError: a name that is unknown, or an expression that selects nothing.
    """
    groups = plan(suite, algo, keyword)
    total = sum(len(unit.faults) + len(unit.mutants) + 1 for group in groups for unit in group)
    with contextlib.closing(_outcomes(groups, suite, seed)) as outcomes:
        for count, outcome in enumerate(outcomes, 1):
            if progress:
                progress(Progress(count, total, outcome.fault))
            yield outcome


def plan(suite: str = "quick", algo: str = "all", keyword: str = "") -> list[list[_Unit]]:
    """What is planted: units that share a subject's oracle stand together, those that take longest come first.

    Raises:
        UsageError: a name that is unknown, or an expression that selects nothing.
    """
    groups: dict[str, list[_Unit]] = {}
    dear: set[str] = set()
    for subject in subjects.select(algo):
        for tier in dict.fromkeys((*catalogue.TIERS, *(fault.tier for fault in FAULTS))):
            faults = [fault.id for fault in FAULTS if (fault.subject, fault.tier) == (subject.name, tier)]
            mutants = chosen(catalogue.unit(subject.name, tier), suite, keyword) if tier in catalogue.TIERS else []
            unit = _Unit(subject.name, tier, [name for name in faults if keywords.matches(keyword, name)], mutants)
            if unit.faults or unit.mutants:
                # An interpreter has a process of its own, with its environment.
                alone = registry.IMPLEMENTATIONS[tier].worker
                name = tier if alone else subject.name
                groups.setdefault(name, []).append(unit)
                # Where every step is interpreted, or is of several evaluations.
                dear |= {name} if alone or subject.closure else set()
    if not groups:
        raise UsageError(f"-k {keyword!r} selects no fault: `optbench selftest --format json` tells their ids.")
    counted = {name: sum(len(unit.faults) + len(unit.mutants) for unit in units) for name, units in groups.items()}
    return [groups[name] for name in sorted(groups, key=lambda name: (name not in dear, -counted[name]))]


def chosen(mutants: Sequence[Mutant], suite: str, keyword: str = "") -> list[str]:
    """The mutants of a unit that are planted: some of each operator's, and all that a keyword selects.

    The quick suite leaves out those that are listed as equivalent, which cost the most: every law is asked of them.
    """
    found = [mutant for mutant in mutants if keywords.matches(keyword, mutant.id)]
    if keyword:
        return [mutant.id for mutant in found]
    full = suite == "full"
    kinds: dict[tuple[str, bool], list[str]] = {}
    for mutant in found:
        if full or not equivalents.argument(mutant.id):
            kinds.setdefault((mutant.operator, mutant.compiled), []).append(mutant.id)
    taken = {name for names in kinds.values() for name in _spread(names, _FULL if full else _QUICK)}
    taken |= set(necessity.witnesses().values()) if full else set()
    return [mutant.id for mutant in found if mutant.id in taken]


def _spread(names: Sequence[str], count: int) -> list[str]:
    """So many of the names, as far from one another as can be."""
    if len(names) <= count:
        return list(names)
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def stale() -> list[str]:
    """What is listed as equivalent, but is no mutant any more."""
    units = ((subject, tier) for subject in subjects.NAMES for tier in catalogue.TIERS)
    return equivalents.unmatched(mutant.id for unit in units for mutant in catalogue.unit(*unit))


def _outcomes(groups: Sequence[Sequence[_Unit]], suite: str, seed: int) -> Generator[Outcome, None, None]:
    """What the workers tell, until all have told everything."""
    left: queue.SimpleQueue[Sequence[_Unit]] = queue.SimpleQueue()
    for group in groups:
        left.put(group)
    told: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()
    count = min(len(groups), _MOST_WORKERS, _cores())
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            workers = stack.enter_context(contextlib.ExitStack())
            threading.Thread(target=_serve, args=(left, told, stop, workers, suite, seed), daemon=True).start()
        # Before the workers are ended, or a thread would start one again.
        stack.callback(stop.set)
        while count:
            item = told.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                count -= 1
            else:
                yield item


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve(
    left: queue.SimpleQueue[Sequence[_Unit]],
    told: queue.SimpleQueue[Outcome | BaseException | None],
    stop: threading.Event,
    workers: contextlib.ExitStack,
    suite: str,
    seed: int,
) -> None:
    """Take groups of units until none is left; a worker for each environment."""
    known: dict[str, Worker] = {}
    try:
        while not stop.is_set():
            try:
                group = left.get_nowait()
            except queue.Empty:
                break
            for unit in group:
                item = registry.IMPLEMENTATIONS[unit.tier]
                place = item.name if item.worker else ""
                if place not in known:
                    environment = {"OMP_NUM_THREADS": "1", **(item.environment if item.worker else {})}
                    known[place] = workers.enter_context(Worker(environment))
                for outcome in _of_unit(known[place], unit, suite, seed):
                    if stop.is_set():
                        return
                    told.put(outcome)
    except BaseException as error:
        told.put(error)
    told.put(None)


def _of_unit(worker: Worker, unit: _Unit, suite: str, seed: int) -> Iterator[Outcome]:
    every = set(necessity.witnesses().values()) if suite == "full" else set()
    used: set[Killer] = set()
    for fault in unit.faults:
        outcome = _call(worker, unit, fault, "by_hand", fault, fault in every, seed)
        if outcome.caught_by:
            used.add((unit.subject, outcome.caught_by, outcome.case))
        yield outcome
    killers: list[Killer] = []
    for mutant in unit.mutants:
        answer = _call(worker, unit, mutant, "generated", unit.subject, unit.tier, mutant, mutant in every, seed,
                       killers)  # fmt: skip
        outcome, killer = answer if isinstance(answer, tuple) else (answer, None)
        if killer:
            killers = [killer, *(other for other in killers if other != killer)][:_REMEMBERED]
            used.add(killer)
        yield outcome
    asked = None if suite == "full" else sorted(used)
    name = f"control: {unit.tier} {unit.subject}"
    yield _call(worker, unit, name, "control", unit.subject, unit.tier, seed, asked)


def _call(worker: Worker, unit: _Unit, fault: str, function: str, *arguments: Any) -> Any:
    """Ask a worker; where its process dies or hangs, that is what the fault does."""
    try:
        return worker.call(f"{asking.__name__}:{function}", *arguments, timeout=TIME_LIMIT)
    except WorkerCrash as crash:
        status: Status = "breaks" if function == "control" else "caught"
        return Outcome(fault, "crash", fault, "", unit.subject, unit.tier, "", status, message=str(crash))
