"""Contests: contestants are checked, raced, checked again, and told as `Measurement`s."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.subjects import Subject
from optbench.timing import bench, device
from optbench.timing.bench import BenchPlan, Phase
from optbench.timing.entrant import Refused
from optbench.timing.roof import DeviceRoof, HostRoof
from optbench.timing.statistics import FEWEST_PAIRS, paired_ratio, spread, verdict
from optbench.timing.timer import Clock, Contestant, Rounds, calibrate, pace, race
from optbench.timing.workloads import Workload

ROOF = "(roof)"
TWIN = "(baseline again)"
MOST_ROUNDS = 201
# The points of a curve are many and coarse.
_CURVE_ROUNDS = 31
# How many times its time a race may take for the fewest rounds that say anything.
_PATIENCE = 3.0

Observe = Callable[[str, Phase], None]
Walls = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Span:
    """The time that a race may take.

    Args:
        clock: tells it.
        end: wall time at which it is used up.
        limit: seconds that even the fewest rounds may not exceed.
    """

    clock: Clock
    end: float
    limit: float

    @classmethod
    def of(cls, seconds: float) -> Span:
        clock = device.clock()
        return cls(clock, clock.wall() + seconds, _PATIENCE * seconds)


class Contest:
    """What a kind of subject does with its contestants on one workload; the order of it all is here.

    Args:
        plan: who, where and how.
        subject: the algorithm.
        workload: what to step on.
        observe: told who runs and in which phase.
    """

    def __init__(self, plan: BenchPlan, subject: Subject, workload: Workload, observe: Observe) -> None:
        self.plan, self.subject, self.workload, self.observe = plan, subject, workload, observe
        device.keep_memory()
        self.threads, self.load = device.pin_threads(), device.load_average()
        self.everyone = bench.contestants(plan, subject.kind)
        self.refused: dict[str, str] = {}
        self.first: dict[str, float | None] = {}

    def unfit(self) -> str:
        """Why nobody can be timed on this workload; empty where they can."""
        return ""

    def admit(self, implementation: Implementation) -> None:
        """Build and check; `Refused` where it cannot be built or computes something wrong."""
        raise NotImplementedError

    def ready(self) -> None:
        """All that could be are admitted, and none is timed yet."""

    def contestant(self, name: str, twin: bool = False) -> Contestant:
        """One that was admitted; as a twin, built anew under the twin's name."""
        raise NotImplementedError

    def still(self, name: str) -> None:
        """Check once more after the race; `Refused` where it no longer does what it did."""
        raise NotImplementedError

    def footprint(self) -> int:
        """Bytes that a step touches."""
        return 0

    def roof(self) -> HostRoof | DeviceRoof | None:
        """What else is raced."""
        return None

    def moved(self) -> int | None:
        """Bytes that a step has to move at least; None where none are counted."""
        return None

    def blank(self, implementation: Implementation) -> Measurement:
        """A row with what is known before anything is timed."""
        return replace(
            bench.row(self.plan, self.subject, self.workload, implementation),
            gradients="none",
            first_call_s=self.first.get(implementation.name),
            bytes_per_step=self.moved(),
            threads=self.threads,
            load_average=self.load,
        )

    def facts(self, name: str) -> dict[str, Any]:
        """Fields of a timed row that no clock decides."""
        return {}

    def hold(self, seconds: float) -> list[Measurement]:
        """A row for each implementation in the order of the plan; refused ones too.

        Args:
            seconds: time for all of it; the check and the fewest rounds are made even if it is too short.
        """
        span = Span.of(seconds)
        unfit = self.unfit()
        if unfit:
            return [replace(self.blank(implementation), refused=unfit) for implementation in self.everyone]
        for implementation in self.everyone:
            self.observe(implementation.name, "check")
            self._guard(implementation.name, partial(self._admit, implementation))
        standing = [each.name for each in self.everyone if each.name not in self.refused]
        self.ready()
        roof = self.roof() if standing else None
        candidates = bench.baseline_candidates(self.plan, self.subject.kind)
        race_ = Race(self.plan, candidates, self.footprint(), roof, self.observe)
        try:
            if standing:
                racers = {name: self.contestant(name) for name in standing}
                most = _CURVE_ROUNDS if self.workload.curve else MOST_ROUNDS
                race_.run(racers, partial(self.contestant, twin=True), span, most)
        finally:
            if roof:
                roof.close()
        for name in standing:
            self._guard(name, partial(self.still, name))
        return [self._row(implementation, race_) for implementation in self.everyone]

    def _admit(self, implementation: Implementation) -> None:
        if self.subject.kind not in implementation.kinds:
            raise Refused(f"{implementation.name} has no {self.subject.kind}s")
        self.admit(implementation)

    def _guard(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Refused as why:
            self.refused[name] = str(why)

    def _row(self, implementation: Implementation, race_: Race) -> Measurement:
        blank, name = self.blank(implementation), implementation.name
        if name in self.refused:
            return replace(blank, refused=self.refused[name])
        standing = [each.name for each in self.everyone if each.name not in self.refused]
        return replace(blank, **race_.figures(name, standing, self.moved()), **self.facts(name))


class Race:
    """Contestants against the baseline among them, the baseline against itself, and all against the roof.

    Args:
        plan: where, and which baseline.
        candidates: names from which the baseline is chosen, where they take part.
        footprint: bytes that a step touches.
        roof: what else is raced; None where no memory's bandwidth limits a step. Closed by who made it.
        observe: told who runs and in which phase.
    """

    def __init__(
        self,
        plan: BenchPlan,
        candidates: Sequence[str],
        footprint: int,
        roof: HostRoof | DeviceRoof | None,
        observe: Observe,
    ) -> None:
        self.plan, self.candidates, self.observe = plan, list(candidates), observe
        self.roof = roof
        self._stopwatch = device.stopwatch(plan.device, footprint)
        self._rounds: Rounds = {}
        self._walls: Walls = {}

    def run(self, racers: dict[str, Contestant], twin: Callable[[str], Contestant], span: Span, most: int) -> None:
        """Race until the time is used up.

        Args:
            racers: by name; at least one.
            twin: makes the baseline a second time, called with its name.
            span: the time there is.
            most: rounds at most.
        """
        warm_up = device.warm_up_seconds(self.plan.device)
        racers, estimates = dict(racers), {}
        for name, contestant in racers.items():
            self.observe(name, "time")
            estimates[name] = calibrate(contestant, self._stopwatch, span.clock, warm_up)
        always = [ROOF, TWIN]
        baseline = bench.best(estimates, self.candidates)
        if baseline:
            racers[TWIN] = twin(baseline)
            always.append(baseline)
        if self.roof:
            racers[ROOF] = Contestant(ROOF, self.roof.step, before_sample=partial(_ready, self.roof))
        for name in racers.keys() - estimates.keys():
            estimates[name] = calibrate(racers[name], self._stopwatch, span.clock)
        pace(list(racers.values()), [estimates[name] for name in racers], always)
        # Who sits rounds out cannot be what the others are compared with.
        self.candidates = [name for name in self.candidates if name in racers and racers[name].stride == 1]
        self.observe("", "time")
        left = span.end - span.clock.wall()
        self._rounds = race(
            list(racers.values()), self._stopwatch, span.clock, self.plan.seed, left, FEWEST_PAIRS, most, span.limit
        )
        self._walls = {name: {n: sample.wall for n, sample in taken.items()} for name, taken in self._rounds.items()}

    def figures(self, name: str, standing: Sequence[str], moved: int | None = None) -> dict[str, Any]:
        """The fields of a contestant's row that the clock decides.

        Args:
            name: who; one of `standing`.
            standing: who may be told about, the baseline among them.
            moved: bytes that a step has to move at least; None where none are counted.
        """
        own = self._walls[name]
        taken = spread(list(own.values()))
        found: dict[str, Any] = {
            "median_s": taken.median,
            "min_s": taken.least,
            "iqr_s": taken.iqr,
            "cpu_s": spread([sample.cpu for sample in self._rounds[name].values()]).median,
            "rounds": taken.count,
            **self._compared(name, standing),
        }
        if moved is not None:
            found |= {"bandwidth_bytes_per_s": moved / taken.median, **self._under_roof(own, moved)}
        return found

    def _compared(self, name: str, standing: Sequence[str]) -> dict[str, Any]:
        """Ratio, interval and verdict against the baseline."""
        medians = {each: spread(list(self._walls[each].values())).median for each in standing}
        baseline = bench.best(medians, self.candidates)
        if baseline is None:
            return {}
        walls, seed = self._walls, self.plan.seed
        again = paired_ratio(walls[baseline], walls[TWIN], seed, TWIN) if TWIN in walls else None
        noise = again.noise if again else None
        ratio = paired_ratio(walls[baseline], walls[name], seed, name)
        found: dict[str, Any] = {"baseline": baseline, "noise_floor": noise}
        if ratio:
            found |= {
                "ratio_to_baseline": ratio.median,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
                "verdict": "same" if name == baseline else verdict(ratio, noise),
            }
        return found

    def _under_roof(self, own: Mapping[int, float], moved: int) -> dict[str, float]:
        if not self.roof:
            return {}
        sweeps = self._walls[ROOF]
        # Paired by round, as the ratios: what slows the memory down slows both.
        paired = spread([(moved / own[n]) / (self.roof.bytes_per_step / sweeps[n]) for n in own if n in sweeps])
        rate = self.roof.bytes_per_step / spread(list(sweeps.values())).median
        return {"roof_bytes_per_s": rate, "bandwidth_fraction": paired.median}


def names_of(implementation: Implementation) -> tuple[dict[str, str], frozenset[str] | None]:
    """What foreign code calls its parts, and the options that it takes; None: any, as all other code."""
    if not implementation.target:
        return {}, None
    from optbench.foreign.loading import describe

    told = describe(implementation.target)
    return told["state"], None if told["options"] is None else frozenset(told["options"])


def _ready(roof: HostRoof | DeviceRoof, steps: int) -> None:
    device.settle(steps)
    roof.wake()
