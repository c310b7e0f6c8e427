"""Figures of a step that no clock decides: the same on a busy machine and on an idle one, so that CI can be exact.

They depend on the version of torch, the host's calls on that of Python too, and on nothing else: torch is held to one
thread, values are seeded, and caches are warm before anything is counted. Only the CPU's launches are seen.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from optbench import registry
from optbench.case import Case
from optbench.courses import course
from optbench.registry import Implementation
from optbench.subjects import Ground, Subject
from optbench.timing import averaging, scheduling
from optbench.timing.arena import Arena
from optbench.timing.entrant import Entrant, Refused
from optbench.timing.passes import passes
from optbench.timing.probe import watch
from optbench.timing.traffic import calls
from optbench.timing.workloads import MOVING, ROWS, Workload
from optbench.trials import averagers, schedulers
from optbench.trials.checker import Checker

# Steps before anything is counted: the first makes the state, the second what is kept from step to step, and RAdam
# takes another path from its sixth on.
_WARM = 8
_SEED = 0
# Epochs between what happens again and again in a schedule.
_PERIOD = 10
# Fewer than a thousand tensors: a for-loop over them under observation takes long.
_MANY = Workload("100x64", ((64,),) * 100)
_RAGGED = Workload("ragged", ((96, 32), (32,), (5, 3, 3, 2), (1,), (1025,)), MOVING)
_STILL = Workload("ragged", _RAGGED.shapes)
_WORKLOADS: Mapping[Ground, tuple[Workload, Workload]] = {
    "optimizer": (_MANY, _RAGGED),
    "matrices": (
        Workload("8matrices", ((48, 16), (16, 48)) * 4),
        Workload("2matrices", ((40, 24), (24, 24)), MOVING),
    ),
    "rows": (Workload("20tables", ((64, 8),) * 20, ROWS), Workload("2tables", ((256, 16), (33, 4)), ROWS)),
    "scheduler": (Workload("100groups", groups=100), Workload("3groups", groups=3)),
    "averager": (_MANY, _STILL),
}
# A line search of several passes, which a constant loss would end at the first.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"momentum": 0.9},
    "lbfgs": {"max_iter": 4, "tolerance_grad": 0.0, "tolerance_change": 0.0, "history_size": 10},
}


@dataclass(frozen=True)
class Steady:
    """A step of one implementation on one workload.

    Args:
        subject: the algorithm.
        implementation: who.
        workload: on what.
        dispatched_ops: operations that went through torch's dispatcher.
        launches: passes over elements: kernels of its own, and torch's operations that move any.
        moved_bytes: bytes of elements that those read and write. torch's operations are taken to read each argument
            once and to write each result once; kernels of its own are gone through.
        temporary_bytes: most bytes held at one time by tensors that the step made.
        state_bytes: bytes of what it keeps between steps in `optimizer.state`, or in an averaged model.
        host_calls: functions called on the host, in Python and in C.
    """

    subject: str
    implementation: str
    workload: str
    dispatched_ops: int
    launches: int
    moved_bytes: int
    temporary_bytes: int
    state_bytes: int
    host_calls: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """`done` of `total` workloads of implementations, and which is next."""

    subject: str
    implementation: str
    done: int
    total: int


def versions() -> dict[str, str]:
    """What decides the figures besides the code."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": torch.__version__.partition("+")[0],
    }


def implementations(names: Sequence[str] = ()) -> list[Implementation]:
    """Those named; else ours, without those that need a process of their own."""
    if names:
        return [registry.find(name) for name in names]
    return [each for each in registry.IMPLEMENTATIONS.values() if each.ours and each.default and not each.worker]


def workloads(subject: Subject) -> tuple[Workload, Workload]:
    """The two workloads of a subject."""
    return _WORKLOADS[subject.ground]


def collect(
    chosen: Sequence[Subject], among: Sequence[Implementation], progress: Callable[[Progress], None] | None = None
) -> Iterator[Steady]:
    """The figures of every subject, implementation and workload; what cannot be built is left out."""
    work = [
        (subject, implementation, workload)
        for subject in chosen
        for implementation in among
        if subject.kind in implementation.kinds
        for workload in workloads(subject)
    ]
    with one_thread():
        for done, (subject, implementation, workload) in enumerate(work):
            if progress:
                progress(Progress(subject.name, implementation.name, done, len(work)))
            with contextlib.suppress(Refused):
                yield measure(subject, implementation, workload)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread: launches of a team of threads are not seen."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measure(subject: Subject, implementation: Implementation, workload: Workload) -> Steady:
    """The figures of one implementation on one workload. Call it within `one_thread`.

    Raises:
        Refused: it cannot be built, or documents that it does not take this.
    """
    with _at_work(subject, implementation, workload) as (renew, step, state_bytes):
        for _ in range(_WARM):
            renew()
            step()
        # Counted first: what watches torch's dispatcher lets caches of the host's go stale.
        renew()
        called = calls(step)
        renew()
        tally = watch(step, "cpu")
        renew()
        counted = passes(implementation, step)
        return Steady(
            subject.name, implementation.name, workload.name, tally.count, counted.total, counted.moved_bytes,
            tally.peak_bytes, state_bytes(), called,
        )  # fmt: skip


_Work = tuple[Callable[[], None], Callable[[], object], Callable[[], int]]


@contextlib.contextmanager
def _at_work(subject: Subject, implementation: Implementation, workload: Workload) -> Iterator[_Work]:
    """What to do before a step, the step, and what it keeps."""
    options = dict(_OPTIONS.get(subject.name, {}))
    refusal = implementation.refusal(Case(subject.name, options, "float32"))
    if refusal:
        raise Refused(refusal)
    if subject.kind == "scheduler":
        yield _schedule(subject, implementation, workload)
    elif subject.kind == "averager":
        yield _average(subject, implementation, workload)
    else:
        arena = Arena(workload, "float32", "cpu", _SEED)
        try:
            entrant = Entrant(implementation, subject, options, arena)
            step = _closed(entrant, arena) if subject.closure else entrant.step
            yield arena.renew, step, entrant.state_bytes
        finally:
            arena.close()


def _closed(entrant: Entrant, arena: Arena) -> Callable[[], object]:
    """A step that calls a closure: a parabola's, made without torch, so that it is not counted."""
    if arena.moving:
        arena.renew()
        arena.moving = False
    pairs = [(param.detach().numpy(), param.grad.numpy()) for param in arena.params if param.grad is not None]
    loss = torch.tensor(1.0)

    def closure() -> torch.Tensor:
        for param, grad in pairs:
            grad[...] = param * 0.5
        return loss

    return lambda: entrant.optimizer.step(closure)


def _schedule(subject: Subject, implementation: Implementation, workload: Workload) -> _Work:
    options = course(subject.name, scheduling.EPOCHS, _PERIOD)
    trial = schedulers.Trial(subject, implementation, Case(subject.name, options, "float64"), Checker(), {}, None)
    entrant = scheduling.Entrant(trial, workload.groups)
    return lambda: None, entrant.step, lambda: 0


def _average(subject: Subject, implementation: Implementation, workload: Workload) -> _Work:
    model = averaging.Weights(Arena(workload, "float32", "cpu", _SEED).params)
    trial = averagers.Trial(subject, implementation, Case(subject.name, {}, "float32"), Checker(), {}, None)
    entrant = averaging.Entrant(trial, model, None)
    kept = sum(tensor.nbytes for tensor in entrant.averages)
    return lambda: None, entrant.step, lambda: kept
