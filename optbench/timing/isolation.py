"""Heats with foreign code in them run in a child process: a crash or a hang costs its author's rows, not the run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.subjects import Subject
from optbench.timing import bench
from optbench.timing.bench import BenchPlan, BenchProgress, Phase
from optbench.timing.workloads import Workload
from optbench.worker import Worker, WorkerCrash, WorkerError

_HEAT = "optbench.timing.isolation:heat"


class Isolated:
    """Measures as `bench.measure` does, in a child that is started again when it died.

    Args:
        plan: the run's plan.
        grace: seconds that a heat may take beyond its share.
    """

    def __init__(self, plan: BenchPlan, grace: float) -> None:
        self._plan, self._grace = plan, grace
        self._worker = Worker()
        self._guilty: dict[tuple[str, str], str] = {}

    def __call__(
        self,
        subject: Subject,
        workload: Workload,
        seconds: float,
        progress: Callable[[BenchProgress], None] | None,
        done: int,
        total: int,
    ) -> Sequence[Measurement]:
        while True:
            left = [i for i in self._plan.implementations if (subject.name, i.name) not in self._guilty]
            plan = replace(self._plan, implementations=left)
            with tempfile.TemporaryDirectory() as folder:
                trace = Path(folder) / "running"
                try:
                    rows = self._worker.call(_HEAT, plan, subject, workload, seconds, str(trace),
                                             timeout=seconds + self._grace)  # fmt: skip
                except (WorkerCrash, WorkerError) as error:
                    self._blame(subject, left, trace, workload, error)
                    continue
            return self._complete(subject, workload, rows)

    def close(self) -> None:
        """End the child."""
        self._worker.close()

    def _blame(
        self, subject: Subject, left: Sequence[Implementation], trace: Path, workload: Workload, error: Exception
    ) -> None:
        """Note whose fault it was: of the one that ran; of all foreign code where that was none."""
        running = trace.read_text() if trace.exists() else ""
        foreign = [implementation.name for implementation in left if implementation.target]
        if not foreign:
            raise error
        for name in [running] if running in foreign else foreign:
            self._guilty[subject.name, name] = f"its process did not survive {workload.name}: {error}"

    def _complete(self, subject: Subject, workload: Workload, rows: Sequence[Measurement]) -> list[Measurement]:
        """The rows of all the plan's implementations, those that were left out among them."""
        found = {measured.implementation: measured for measured in rows}
        for implementation in self._plan.implementations:
            why = self._guilty.get((subject.name, implementation.name))
            if why:
                found[implementation.name] = bench.refusal(self._plan, subject, workload, implementation, why)
        order = [implementation.name for implementation in self._plan.implementations]
        return [found[name] for name in dict.fromkeys([*order, *found]) if name in found]


def heat(plan: BenchPlan, subject: Subject, workload: Workload, seconds: float, trace: str) -> list[Measurement]:
    """`bench.measure` in the child, leaving behind who was running."""
    path = Path(trace)

    def observe(name: str, phase: Phase) -> None:
        # Race rounds are too short to be told apart: whoever dies there leaves the name of the phase.
        path.write_text(name)

    return bench.measure(plan, subject, workload, seconds, observe)
