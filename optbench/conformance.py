"""Runs laws: subject x law x case x implementation, and yields a result for each."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optbench import laws, pairwise, planning, registry, subjects
from optbench.checking import LACKS, Task, check, check_isolated, result_of
from optbench.failures.localise import Localiser
from optbench.foreign import acquaintance
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.runs.results import Result
from optbench.runs.summary import Rules
from optbench.worker import Worker

# Code that crashes this often in a row crashes always: at a minute a hang, a whole run would take hours.
CRASHES_IN_A_ROW = 3


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    total: int
    doing: str


Crew = Mapping[str, Sequence[Worker]]


@contextlib.contextmanager
def crew(plan: Plan) -> Iterator[Crew]:
    """The worker processes of a run, by implementation; ended on the way out.

    Those of an interpreter are started at once: they import for seconds, as this process does.
    """
    everyone = registry.select(list(plan.implementations), plan.device)
    chosen = [item for item in everyone if item.worker]
    # Beside this process, where it has implementations to check itself: they take about as long as an interpreter.
    count = 2 if len(chosen) == len(everyone) else 1
    workers = {item.name: _workers(item, plan.device, count) for item in chosen}
    try:
        for item in chosen:
            for worker in workers[item.name] if item.interpreted_on(plan.device) else ():
                worker.start()
        yield workers
    finally:
        for each in workers.values():
            for worker in each:
                worker.close()


def run(
    plan: Plan,
    progress: Callable[[Progress], None] | None = None,
    done: Callable[[str, str, str, str], bool] | None = None,
    workers: Crew | None = None,
) -> Iterator[Result]:
    """Check every law on every case of every implementation of the plan.

    Args:
        plan: what to check.
        progress: called after each result.
        done: (law, subject, implementation, case) -> whether an earlier run has this result; it is not made again.
        workers: what `crew` gave for this plan; None: a crew of its own.

    Yields:
        Results as they come; those of worker processes in between.

    Raises:
        UsageError: an unknown name, an expression that selects nothing, foreign code that is no optimizer.
    """
    with contextlib.ExitStack() as stack:
        if workers is None:
            workers = stack.enter_context(crew(plan))
        stack.enter_context(one_thread())
        yield from _run(plan, progress, done, workers)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Cases are small: torch's own kernels spend most of a step waiting for a second thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


def _run(
    plan: Plan,
    progress: Callable[[Progress], None] | None,
    done: Callable[[str, str, str, str], bool] | None,
    workers: Crew,
) -> Iterator[Result]:
    chosen = registry.select(list(plan.implementations), plan.device)
    about = acquaintance.look(plan, chosen, {name: each[0] for name, each in workers.items()})
    asked = [
        task
        for task in planning.tasks(plan, chosen, about)
        if not (done and done(task.law, task.case.subject, task.implementation, task.case.id))
    ]
    yield from planning.missing(plan, about)
    own = {item.name for item in chosen if registry.judged(item, list(plan.implementations))}
    # Closed before the workers are, or its threads would start them again.
    with contextlib.closing(_results(asked, workers)) as results:
        for count, result in enumerate(results, 1):
            if progress:
                progress(Progress(count, len(asked), f"{result.subject} {result.law} {result.implementation}"))
            # A drawn case has its name only once it has been drawn again.
            if not (done and done(result.law, result.subject, result.implementation, result.case)):
                yield plan.expected.judge(result) if plan.expected and result.implementation in own else result


def _workers(item: Implementation, device: str, count: int) -> list[Worker]:
    """Processes that share an implementation's tasks: `count` for an interpreter, which is a run's slowest part."""
    if not item.interpreted_on(device):
        return [Worker(item.environment)]
    # torch's optimizers import torch._dynamo when the first one is made.
    preload = ("optbench.trials.optimizers", "torch._dynamo", item.module)
    return [Worker(item.environment, preload=preload) for _ in range(count)]


def coverage(plan: Plan, results: Iterable[Result]) -> dict[str, dict[str, Any]]:
    """The pairwise coverage of option x dtype x layout x moment that the widest law really ran, by subject.

    A case counts where every judged implementation ran it; options that foreign code lacks are not asked for.
    """
    rows_of = [result for result in results if result.law in laws.WIDEST.values() and result.judged]
    found = {}
    for declared in subjects.select(plan.algo):
        mine = [result for result in rows_of if result.subject == declared.name]
        # Whoever is spared all of them, as an interpreter is, has no say.
        ran_any = {result.implementation for result in mine if result.verdict != "skip"}
        entry = laws.entries().get(laws.WIDEST[declared.kind])
        if entry is None or not mine:
            continue
        lacking = {result.message.removeprefix(LACKS) for result in mine if result.message.startswith(LACKS)}
        subject = declared.limited(set(declared.defaults) - lacking)
        not_run = {
            result.case
            for result in mine
            if _did_not_run(result) and result.implementation in ran_any
        }
        ran = {result.case for result in mine} - not_run
        combined, forbidden = entry.module.factors(subject, plan.scope)
        rows = [
            {**subject.complete(case.options), "dtype": case.dtype, "layout": case.layout, "moment": case.moment}
            for case in entry.cases(subject, plan.scope)
            if case.id in ran
        ]
        pairs = pairwise.coverage(rows, combined, forbidden)
        found[subject.name] = {
            "factors": {name: [str(value) for value in values] for name, values in combined.items()},
            "covered": sum(pair.covered for pair in pairs),
            "total": sum(pair.total for pair in pairs),
            "pairs": [[pair.first, pair.second, pair.covered, pair.total] for pair in pairs],
        }
    return found


def rules(plan: Plan) -> Rules:
    """Whose broken laws count in a run. What was adopted for it is asked for, so it has to be under way."""
    known = registry.IMPLEMENTATIONS
    about = subjects.select(plan.algo)
    concerned = [entry.law for entry in laws.select(plan.laws) if any(map(entry.concerns, about))]
    elsewhere = frozenset(law.id for law in concerned if not plan.device.startswith(law.device))
    chosen = [law for law in concerned if law.id not in elsewhere]
    # Foreign code and torch's paths may lack what a law is about; ours may not.
    everything = not plan.keyword and all(name in known and known[name].ours for name in plan.implementations)
    return Rules(
        ours=frozenset(name for name, item in known.items() if item.ours),
        known=frozenset(known),
        grades=frozenset(law.id for law in chosen if law.grade),
        require_torch=plan.require_torch,
        expected=tuple(law.id for law in chosen) if everything else None,
        elsewhere=elsewhere,
    )


def unmatched(plan: Plan, cases: Iterable[tuple[str, str, str]]) -> list[str]:
    """What is to be said of each expected failure that is about none of a run's cases, (law, subject, case).

    Nothing where an expression chose the cases: then nobody can tell.
    """
    if plan.expected is None or plan.keyword:
        return []
    asked = [entry.law.id for entry in laws.select(plan.laws)]
    found = plan.expected.unmatched(cases, subjects.NAMES, asked)
    return [entry.unmatched(plan.expected.source) for entry in found]


def _did_not_run(result: Result) -> bool:
    return result.verdict in ("skip", "crash", "error") or (result.verdict == "xfail" and not result.comparisons)


def _results(asked: Sequence[Task], workers: Mapping[str, Sequence[Worker]]) -> Generator[Result, None, None]:
    """Results of the tasks, workers running beside this process."""
    results: queue.Queue[Result | BaseException] = queue.Queue()
    stop = threading.Event()
    localised = Localiser()
    expected = 0
    for name, each in workers.items():
        left: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in asked:
            if task.implementation == name:
                left.put(task)
        expected += left.qsize()
        for worker in each:
            threading.Thread(target=_serve, args=(left, worker, results, stop, localised), daemon=True).start()
    try:
        for task in asked:
            if task.implementation not in workers:
                yield localised(task, check(task))
            while not results.empty():
                expected -= 1
                yield _raised(results.get())
        for _ in range(expected):
            yield _raised(results.get())
    finally:
        stop.set()


def _raised(item: Result | BaseException) -> Result:
    if isinstance(item, BaseException):
        raise item
    return item


def _serve(
    left: queue.SimpleQueue[Task],
    worker: Worker,
    results: queue.Queue[Result | BaseException],
    stop: threading.Event,
    localised: Localiser,
) -> None:
    crashes = 0
    while not stop.is_set():
        try:
            task = left.get_nowait()
        except queue.Empty:
            return
        if crashes == CRASHES_IN_A_ROW:
            message = f"not run: it crashed in {crashes} cases in a row"
            results.put(result_of(task, "crash", message, registry.find(task.implementation)))
            continue
        try:
            result = localised(task, check_isolated(task, worker), worker)
        except BaseException as error:
            results.put(error)
            return
        crashes = crashes + 1 if result.verdict == "crash" else 0
        results.put(result)
