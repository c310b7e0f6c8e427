"""opt.threads: however many threads do the work, and in whichever process, a step is the same.

Where its sums are taken in another order, or its elements in other vectors, what differs has to be as near as what the
same code gives on inputs that are moved by a spacing.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run
    from optbench.worker import Worker

LAW = Law(
    id="opt.threads",
    level="state",
    statement="a step is the same on any number of threads, from two Python threads, in a forked or spawned child",
    catches="work divided wrongly, memory shared between optimizers, locks and thread pools that no child can use",
    host=True,
    formula=False,
)

# Threads of torch's at each step.
_ALONE = (1, 1)
_CHANGING = ((2, 4), (4, 1))
_IN_PYTHON_THREADS = (1, 2)
_AROUND_A_FORK = (2, 2)
_FORK_AFTER = 1
# Algorithms that can put their state where other processes find it.
_SHARING = ("adagrad",)
_SHAPES = {"element": "parallel", "tensor": "parallel", "all": "parallel vector"}
_TIME_LIMIT = 20.0


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    full = scope.suite == "full"
    # A closure's values are computed in float64: there, their own rounding would be judged.
    dtypes = ("bfloat16",) if subject.closure else ("bfloat16", "float64")
    for variant in _VARIANTS:
        # A process of its own imports for seconds, and tells the same of every algorithm.
        if (variant == _SPAWNED and not full) or (variant == _SHARED and subject.name not in _SHARING):
            continue
        for dtype in scope.some("float32", *dtypes * full):
            for options in ({}, subject.fullest) if full else (subject.fullest,):
                # As large as is worth several threads' while.
                shapes = "parallel rows" if subject.sparse else _SHAPES[subject.sees]
                yield scope.case(subject, options, dtype, shapes=shapes, variant=variant, steps=len(_ALONE))


def check(trial: Trial) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        _VARIANTS[trial.case.variant](trial)
    finally:
        torch.set_num_threads(before)


def _set_num_threads(trial: Trial) -> None:
    alone = _Alone(trial)
    for counts in _CHANGING:
        alone.compare(_taken(trial.run(), counts), f"steps on {' and '.join(map(str, counts))} threads")


def _two_threads(trial: Trial) -> None:
    """Two optimizers on two problems, each in a Python thread of its own, their steps at the same moments."""
    both = (trial, replace(trial, case=replace(trial.case, seed=trial.case.seed + 1)))
    alone, runs = [_Alone(each) for each in both], [each.run() for each in both]
    start = threading.Barrier(2, timeout=_TIME_LIMIT)
    done: list[Any] = [None, None]

    def work(number: int) -> None:
        try:
            start.wait()
            done[number] = _taken(runs[number], _IN_PYTHON_THREADS)
        except Exception as error:
            done[number] = error

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(2)]
    with _switching_often():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(_TIME_LIMIT)
    trial.checker.true("two threads come to an end", not any(worker.is_alive() for worker in workers), "they hang")
    for number, outcome in enumerate(done):
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            alone[number].compare(outcome, f"steps in Python thread {number + 1} of 2")


def _forked_child(trial: Trial) -> None:
    """The child of a process whose threads have worked goes on where it was, and so does its parent."""
    import os

    from optbench.trials import forked
    from optbench.trials.base import Unsupported

    if not hasattr(os, "fork"):
        raise Unsupported("this system cannot fork")
    if not trial.case.device.startswith("cpu"):
        raise Unsupported(f"torch cannot use {trial.case.device} in a forked child")
    alone, run = _Alone(trial), trial.run()
    _taken(run, _AROUND_A_FORK[:_FORK_AFTER])
    try:
        # torch's own kernels hang there on more than one thread, which is why its data loader takes one.
        outcome = forked.call(lambda: _taken(run, _ALONE, _FORK_AFTER), _TIME_LIMIT)
    except forked.ForkFailed as failure:
        trial.checker.true("a forked child goes on", False, str(failure))
        return
    alone.compare(outcome, "steps before a fork and in the child")
    alone.compare(_taken(run, _AROUND_A_FORK, _FORK_AFTER), "steps before a fork and in the parent")


def _spawned_child(trial: Trial) -> None:
    from optbench.trials.base import Unsupported

    implementation = trial.implementation
    if implementation.made:
        raise Unsupported("it is in the memory of this process only")
    worker = _worker(tuple(sorted(implementation.environment.items())))
    arguments = (implementation.name, trial.case, dict(trial.state_alias), trial.options)
    outcome = worker.call(f"{__name__}:elsewhere", *arguments, timeout=_TIME_LIMIT)
    _Alone(trial).compare(outcome, "steps in a spawned child")


def elsewhere(
    implementation: str, case: Case, state_alias: Mapping[str, str], options: frozenset[str] | None
) -> dict[str, Tensor]:
    """What the steps of a case give in the process where this is called."""
    from optbench import registry, subjects
    from optbench.trials.checker import Checker
    from optbench.trials.optimizers import Trial

    found = registry.find(implementation)
    return _taken(Trial(subjects.load(case.subject), found, case, Checker(), state_alias, options).run(), _ALONE)


@functools.cache
def _worker(environment: tuple[tuple[str, str], ...]) -> Worker:
    """One child for all algorithms; it ends with this process."""
    from optbench.worker import Worker

    return Worker(dict(environment))


def _shared(trial: Trial) -> None:
    """The state is where several processes that train one model find it."""
    from optbench.trials.base import Unsupported

    run = trial.run()
    if not hasattr(run.optimizer, "share_memory"):
        raise Unsupported("it has no share_memory")
    run.optimizer.share_memory()
    for k in range(2):
        run.step(k)
        for i in range(len(run.params)):
            shared = run.state(i)["sum"].is_shared()
            trial.checker.true(f"after step {k + 1}, sum of parameter {i} is in shared memory", shared)


class _Alone:
    """What a trial's steps give on one thread, which is to be met."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.own = _taken(trial.run(), _ALONE)

    def compare(self, outcome: Mapping[str, Tensor], what: str) -> None:
        from optbench.trials.likeness import agree

        agree(self.trial, lambda of: self.own if of is self.trial else _taken(of.run(), _ALONE), outcome, what)


def _taken(run: Run, counts: Sequence[int], first: int = 0) -> dict[str, Tensor]:
    """Take the steps from `first` on, each on so many of torch's threads; what they come to."""
    import torch

    from optbench.trials.likeness import outcome

    for k in range(first, len(counts)):
        run.give(k)
        torch.set_num_threads(counts[k])
        run.step()
        # What is not under test is done on one thread: more, on a busy machine, wait for each other.
        torch.set_num_threads(1)
    return outcome(run)


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    """Let Python go from thread to thread a thousand times as often, so that what can meet does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


_SPAWNED, _SHARED = "spawned child", "shared with other processes"
_VARIANTS: dict[str, Callable[[Trial], None]] = {
    "set_num_threads": _set_num_threads,
    "two Python threads": _two_threads,
    "forked child": _forked_child,
    _SPAWNED: _spawned_child,
    _SHARED: _shared,
}
