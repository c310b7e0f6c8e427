"""The timer's trial on real steps: both sides are one implementation's, built twice on the same memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from optbench.case import Case
from optbench.errors import NothingToRun
from optbench.registry import Implementation
from optbench.subjects import Subject
from optbench.timing import calibration, device
from optbench.timing.arena import RESET_AFTER, Arena
from optbench.timing.calibration import RUNS, Curve, Sides
from optbench.timing.entrant import Entrant, Refused
from optbench.timing.workloads import Workload

# One that the host's work decides, and one that the kernel's does. Fifty steps make a sample where a fiftieth is
# planted, so steps are short; what a memory's noise does to longer ones is told by the baseline's twin in each run.
WORKLOADS = (Workload("100x64", ((64,),) * 100), Workload("1x256K", ((1 << 18,),)))
# Of a race. Five make a run: a hundred runs on two workloads take eight minutes.
SECONDS = 0.4
_WARM = 3


class Bench:
    """One workload, and the implementation whose steps are raced against themselves."""

    def __init__(self, subject: Subject, implementation: Implementation, workload: Workload, seed: int) -> None:
        refusal = implementation.refusal(Case(subject.name, {}, "float32"))
        if refusal:
            raise NothingToRun(f"{implementation.name}: {refusal}.")
        self.subject, self.implementation = subject, implementation
        self.arena = Arena(workload, "float32", "cpu", seed)
        # The arena's state is what the first to step on it leaves.
        self._entrant()
        self.arena.save()

    def sides(self, run: int) -> Sides:
        """Both sides anew for each run, as a heat has them, and which is built first in turn.

        Where Python's objects come to lie is worth a percent or two for as long as they live: a side that were kept
        would lend its luck to every run.
        """
        first, second = self._entrant().step, self._entrant().step
        before, after = (first, second) if run % 2 else (second, first)
        return Sides(before, after, self._before_sample)

    def _entrant(self) -> Entrant:
        try:
            entrant = Entrant(self.implementation, self.subject, {}, self.arena)
            entrant.step()
            entrant.move_in()
            for _ in range(_WARM):
                entrant.step()
        except Refused as why:
            raise NothingToRun(f"{self.implementation.name}: {why}.") from why
        return entrant

    def _before_sample(self, steps: int) -> None:
        self.arena.before_sample(min(steps, RESET_AFTER))


def curves(
    subject: Subject,
    implementation: Implementation,
    runs: int = RUNS,
    seconds: float = SECONDS,
    seed: int = 0,
    progress: Callable[[str, int], object] = lambda workload, run: None,
) -> list[Curve]:
    """Try the timer on every workload of `WORKLOADS`, each of which takes five times `runs * seconds`.

    Raises:
        NothingToRun: the implementation takes none of them.
    """
    device.keep_memory()
    device.pin_threads()
    found = []
    for workload in WORKLOADS:
        bench = Bench(subject, implementation, workload, seed)
        try:
            curve = Curve(workload.name, implementation.name, seconds)
            clock, stopwatch = device.clock(), device.stopwatch("cpu", bench.arena.bytes)
            found.append(
                calibration.measure(
                    curve, bench.sides, stopwatch, clock, runs, seed, partial(progress, workload.name)
                )
            )
        finally:
            bench.arena.close()
    return found
