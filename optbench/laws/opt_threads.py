"""opt.threads: however many threads do the work, and in whichever process, a step is the same.

An element's update must not notice. Sums over elements may change their order with the number of threads: where an
algorithm has such sums, its results have to be as near as those of the same code on inputs moved by a spacing.
"""

from __future__ import annotations

import contextlib
import copy
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
    from optbench.error import Quantity
    from optbench.trial import Run, Trial
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
_ALONE = (1, 1, 1)
_CHANGING = ((2, 4, 1), (4, 1, 2))
_IN_PYTHON_THREADS = (1, 2, 1)
_AROUND_A_FORK = (2, 1, 2)
_FORK_AFTER = 1
_SHAPES = {"element": "parallel", "tensor": "parallel", "all": "parallel vector"}
_TIME_LIMIT = 20.0
# Of the inputs, to see what rounding does where sums change their order.
_NEIGHBOURS = 3


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    full = scope.suite == "full"
    for variant in _VARIANTS:
        # A process of its own imports for seconds, and tells the same of every algorithm.
        if variant == _SPAWNED and not full:
            continue
        for dtype in scope.some("float32", "bfloat16", "float64") if full else scope.some("float32"):
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
    wanted = _Wanted(trial)
    for counts in _CHANGING:
        told = ", ".join(map(str, counts))
        for k, held in enumerate(_taken(trial.run(), counts)):
            wanted.compare(held, k, f"step {k + 1} of steps on {told} threads")


def _two_threads(trial: Trial) -> None:
    """Two optimizers on two problems, each in a Python thread of its own, their steps at the same moments."""
    both = (trial, replace(trial, case=replace(trial.case, seed=trial.case.seed + 1)))
    wanted, runs = [_Wanted(each) for each in both], [each.run() for each in both]
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
        for k, held in enumerate(outcome or ()):
            wanted[number].compare(held, k, f"step {k + 1} in Python thread {number + 1} of 2")


def _forked_child(trial: Trial) -> None:
    """The child of a process whose threads have worked goes on where it was, and so does its parent."""
    import os

    from optbench import forked
    from optbench.trial_base import Unsupported

    if not hasattr(os, "fork"):
        raise Unsupported("this system cannot fork")
    if not trial.case.device.startswith("cpu"):
        raise Unsupported(f"torch cannot use {trial.case.device} in a forked child")
    wanted, run = _Wanted(trial), trial.run()
    _taken(run, _AROUND_A_FORK[:_FORK_AFTER])
    try:
        # torch's own kernels hang there on more than one thread, which is why its data loader takes one.
        outcome = forked.call(lambda: _taken(run, _ALONE, _FORK_AFTER), _TIME_LIMIT)
    except forked.ForkFailed as failure:
        trial.checker.true("a forked child goes on", False, str(failure))
        return
    after = _taken(run, _AROUND_A_FORK, _FORK_AFTER)
    for k, (theirs, ours) in enumerate(zip(outcome, after, strict=True), _FORK_AFTER):
        wanted.compare(theirs, k, f"step {k + 1} in a forked child")
        wanted.compare(ours, k, f"step {k + 1} in the parent of a forked child")


def _spawned_child(trial: Trial) -> None:
    from optbench.trial_base import Unsupported

    implementation = trial.implementation
    if implementation.made:
        raise Unsupported("it is in the memory of this process only")
    worker = _worker(tuple(sorted(implementation.environment.items())))
    arguments = (implementation.name, trial.case, dict(trial.state_alias), trial.options)
    outcome = worker.call(f"{__name__}:elsewhere", *arguments, timeout=_TIME_LIMIT)
    wanted = _Wanted(trial)
    for k, held in enumerate(outcome):
        wanted.compare(held, k, f"step {k + 1} in a spawned child")


def elsewhere(
    implementation: str, case: Case, state_alias: Mapping[str, str], options: frozenset[str] | None
) -> list[dict[str, Any]]:
    """The steps of a case, in the process where this is called."""
    from optbench import registry, subjects
    from optbench.checker import Checker
    from optbench.trial import Trial

    found = registry.find(implementation)
    return _taken(Trial(subjects.load(case.subject), found, case, Checker(), state_alias, options).run(), _ALONE)


@functools.cache
def _worker(environment: tuple[tuple[str, str], ...]) -> Worker:
    """One child for all algorithms; it ends with this process."""
    from optbench.worker import Worker

    return Worker(dict(environment))


class _Wanted:
    """What a trial's steps give on one thread, and how near to it another order of sums has to stay."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.held = _taken(trial.run(), _ALONE)

    @functools.cached_property
    def near(self) -> list[list[dict[str, Any]]]:
        """The same from inputs beside."""
        return [_taken(_beside(self.trial, label).run(), _ALONE) for label in range(_NEIGHBOURS)]

    def compare(self, held: Mapping[str, Any], k: int, what: str) -> None:
        from optbench import nested

        checker, wanted = self.trial.checker, self.held[k]
        if self.trial.subject.elementwise or not nested.difference(held, wanted):
            checker.alike(what, held, wanted)
            return
        checker.same(f"{what}, what is kept", sorted(held), sorted(wanted))
        for name in (each for each in wanted if each in held):
            if _is_real(held[name]) and _is_real(wanted[name]):
                checker.close(f"{what}, {name}", _tensor(held[name]), self._quantity(name, k), self.trial.dtype)
            else:
                checker.same(f"{what}, {name}", held[name], wanted[name])

    def _quantity(self, name: str, k: int) -> Quantity:
        import torch

        from optbench.error import quantity, real

        expected = real(_tensor(self.held[k][name])).to(torch.float64)
        moves = [real(_tensor(near[k][name])).to(torch.float64) - expected for near in self.near if name in near[k]]
        # What one sum does, it does to every element.
        largest = max([float(move.abs().max()) for move in moves if move.numel()], default=0.0)
        start = name.removeprefix("parameter ")
        old = self.trial.problem.start[int(start)] if start != name else None
        move = torch.full_like(expected, largest)
        return quantity(expected, move, None if old is None else real(old), self.trial.dtype)


def _taken(run: Run, counts: Sequence[int], first: int = 0) -> list[dict[str, Any]]:
    """Take the steps from `first` on, each on so many of torch's threads; what is held after each."""
    import torch

    found = []
    for k in range(first, len(counts)):
        run.give(k)
        torch.set_num_threads(counts[k])
        run.step()
        # What is not under test is done on one thread: more, on a busy machine, wait for each other.
        torch.set_num_threads(1)
        found.append(run.held())
    return found


def _is_real(value: Any) -> bool:
    """Whether rounding may have a part in it."""
    import torch

    return isinstance(value, (torch.Tensor, float))


def _tensor(value: Any) -> Any:
    import torch

    return value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.float64)


def _beside(trial: Trial, label: int) -> Trial:
    other = copy.copy(trial)
    other.problem = trial.problem.neighbour(label)
    return other


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    """Let Python go from thread to thread a thousand times as often, so that what can meet does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


_SPAWNED = "spawned child"
_VARIANTS: dict[str, Callable[[Trial], None]] = {
    "set_num_threads": _set_num_threads,
    "two Python threads": _two_threads,
    "forked child": _forked_child,
    _SPAWNED: _spawned_child,
}
