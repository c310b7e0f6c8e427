"""One heat: all contestants of one workload, in one process, checked, raced, and checked again."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from optbench.case import Case
from optbench.registry import Implementation
from optbench.results import Measurement
from optbench.subjects import Subject
from optbench.timing import bench, device
from optbench.timing.arena import Arena
from optbench.timing.bench import BenchPlan, Phase
from optbench.timing.entrant import Entrant, Refused, first_call
from optbench.timing.gate import SCALES, Gate, Pass
from optbench.timing.roof import DeviceRoof, HostRoof
from optbench.timing.sample import SAMPLE
from optbench.timing.statistics import FEWEST_PAIRS, paired_ratio, spread, verdict
from optbench.timing.timer import Clock, Contestant, Rounds, calibrate, pace, race
from optbench.timing.workloads import ROWS, Workload

ROOF = "(roof)"
TWIN = "(baseline again)"
MOST_ROUNDS = 201
# The points of a curve are many and coarse.
_CURVE_SAMPLE = 1 << 13
_CURVE_ROUNDS = 31
# A first step, and one from a state; a third follows the race.
_QUICK_STEPS = 2
# Of the memory that is free, how much a workload may take.
_MOST_MEMORY = 0.8
# How many times its time a race may take for the fewest rounds that say anything.
_PATIENCE = 3.0
# Below this, collecting cycles takes longer than it saves.
_WORTH_COLLECTING = 32 << 20

Observe = Callable[[str, Phase], None]
Walls = Mapping[str, Mapping[int, float]]


def measure(
    plan: BenchPlan, subject: Subject, workload: Workload, seconds: float, observe: Observe = lambda name, phase: None
) -> list[Measurement]:
    """Check and time all contestants on one workload.

    Args:
        plan: who, where and how.
        subject: the algorithm.
        workload: what to step on.
        seconds: time for all of it; the check and the fewest rounds are made even if it is too short.
        observe: told who runs and in which phase.

    Returns:
        A row for each implementation in the order of the plan, the baseline's candidates behind; refused ones too.

    Raises:
        UsageError: a user's workload or a foreign class cannot be loaded.
    """
    clock = device.clock()
    end = clock.wall() + seconds
    heat = Heat(plan, subject, workload, observe)
    try:
        return heat.run(clock, end, _PATIENCE * seconds)
    finally:
        heat.close()


class Heat:
    """The parts of a heat in their order: admit, race, check again, tell."""

    def __init__(self, plan: BenchPlan, subject: Subject, workload: Workload, observe: Observe) -> None:
        self.plan, self.subject, self.workload, self.observe = plan, subject, workload, observe
        self.threads = device.pin_threads()
        self.load = device.load_average()
        self.arena = _arena(plan, workload)
        self.everyone = bench.contestants(plan)
        self.refused: dict[str, str] = {}
        self.entrants: dict[str, Entrant] = {}
        self.passed: dict[str, Pass] = {}
        self.first: dict[str, float | None] = {}
        self.candidates: list[str] = []
        self.roof: HostRoof | DeviceRoof | None = None

    def run(self, clock: Clock, end: float, limit: float) -> list[Measurement]:
        try:
            gate = self._fit()
        except Refused as why:
            self.refused = {implementation.name: str(why) for implementation in self.everyone}
            return self._rows({})
        for implementation in self.everyone:
            self._guard(implementation, partial(self._admit, gate, implementation))
        self.arena.save()
        rounds = self._race(clock, end, limit) if self.entrants else {}
        for entrant in list(self.entrants.values()):
            self._guard(entrant.implementation, partial(gate.still, entrant))
        return self._rows(rounds)

    def close(self) -> None:
        """Free everything at once: the next workload needs the memory."""
        if self.roof:
            self.roof.close()
        self.entrants.clear()
        large = self.arena.bytes > _WORTH_COLLECTING
        self.arena.close()
        if large:
            gc.collect()

    def _memory(self) -> int:
        arrays = 1 + len(self.subject.state_names(self.plan.options))
        # Parameters and state three times (in use, remembered, an entrant's first state), gradients, three temporaries.
        return self.arena.bytes * (3 * arrays + 2 + 3)

    def _fit(self) -> Gate:
        """The gate of this workload.

        Raises:
            Refused: the workload is not for this algorithm, or too large for this machine.
        """
        unfit = _unfit(self.subject, [param.dim() for param in self.arena.params], self.workload.gradients == ROWS)
        if unfit:
            raise Refused(unfit)
        need, free = self._memory(), device.free_bytes(self.plan.device)
        if free is not None and need > _MOST_MEMORY * free:
            raise Refused(f"this workload needs {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free")
        return self._gate()

    def _gate(self) -> Gate:
        full = self.plan.suite == "full"
        limit = _CURVE_SAMPLE if self.workload.curve else SAMPLE if full else SAMPLE // 4
        steps = len(SCALES) if full else _QUICK_STEPS
        return Gate(self.subject, self.plan.options, self.arena, self.plan.device, self.plan.seed, limit, steps)

    def _guard(self, implementation: Implementation, action: Callable[[], None]) -> None:
        try:
            action()
        except Refused as why:
            self.refused[implementation.name] = str(why)
            self.entrants.pop(implementation.name, None)

    def _admit(self, gate: Gate, implementation: Implementation) -> None:
        name = implementation.name
        self.observe(name, "check")
        case = Case(self.subject.name, self.plan.options, self.plan.dtype, device=self.plan.device)
        reason = implementation.refusal(case)
        if reason:
            raise Refused(reason)
        self.first[name] = first_call(implementation, self.subject, self.plan.options, self.arena)
        entrant = self._entrant(implementation)
        try:
            self.passed[name] = gate.admit(entrant)
        except Refused:
            if not implementation.target:
                raise
            # Foreign code may hold on to its state elsewhere; then it keeps its own memory.
            entrant = self._entrant(implementation, shares=False)
            self.passed[name] = gate.admit(entrant)
        self.entrants[name] = entrant

    def _entrant(self, implementation: Implementation, shares: bool = True) -> Entrant:
        return Entrant(implementation, self.subject, self.plan.options, self.arena, shares)

    def _race(self, clock: Clock, end: float, limit: float) -> Rounds:
        stopwatch = device.stopwatch(self.plan.device, self._footprint())
        warm_up = device.warm_up_seconds(self.plan.device)
        racers = {name: self._contestant(name, entrant) for name, entrant in self.entrants.items()}
        estimates = {}
        for name, contestant in racers.items():
            self.observe(name, "time")
            estimates[name] = calibrate(contestant, stopwatch, clock, warm_up)
        candidates = bench.baseline_candidates(self.plan)
        always = [ROOF, TWIN]
        baseline = bench.best(estimates, candidates)
        if baseline:
            racers[TWIN] = self._contestant(TWIN, self._twin(baseline))
            estimates[TWIN] = calibrate(racers[TWIN], stopwatch, clock)
            always.append(baseline)
        self.roof = self._roof()
        if self.roof:
            racers[ROOF] = Contestant(ROOF, self.roof.step, before_sample=partial(_ready, self.roof))
            estimates[ROOF] = calibrate(racers[ROOF], stopwatch, clock)
        pace(list(racers.values()), [estimates[name] for name in racers], always)
        # Who sits rounds out cannot be what the others are compared with.
        self.candidates = [name for name in candidates if name in racers and racers[name].stride == 1]
        most = _CURVE_ROUNDS if self.workload.curve else MOST_ROUNDS
        self.observe("", "time")
        return race(
            list(racers.values()), stopwatch, clock, self.plan.seed, end - clock.wall(), FEWEST_PAIRS, most, limit
        )

    def _contestant(self, name: str, entrant: Entrant) -> Contestant:
        renew = self.arena.renew if self.arena.moving else None
        return Contestant(name, entrant.optimizer.step, renew, self.arena.before_sample)

    def _twin(self, baseline: str) -> Entrant:
        """The baseline a second time, as far along as the others."""
        twin = self._entrant(self.entrants[baseline].implementation, self.entrants[baseline].shares)
        for k in range(len(SCALES)):
            self.arena.renew()
            twin.step()
            if k == 0:
                twin.move_in()
        return twin

    def _roof(self) -> HostRoof | DeviceRoof | None:
        arena, streams = self.arena, sum(self.subject.streams(self.plan.options))
        own = [*arena.grads, *arena.params, *(t for kept in arena.state.values() for t in kept)]
        # Its own arrays are what a step goes over, where a step is one pass over them.
        single = len(arena.params) == 1 and not arena.moving and self.subject.elementwise
        return device.roof(self.plan.device, own if single else [], streams, self._footprint(), self.threads)

    def _footprint(self) -> int:
        """Bytes of all arrays that a step touches."""
        return self.arena.bytes * sum(self.subject.streams(self.plan.options))

    def _bytes_per_step(self) -> int:
        return sum(
            (grad.values() if grad.is_sparse else grad).numel()
            * self.subject.bytes_per_element(self.plan.options, grad.element_size())
            for grad in self.arena.grads
        )

    def _rows(self, rounds: Rounds) -> list[Measurement]:
        walls = {name: {n: sample.wall for n, sample in taken.items()} for name, taken in rounds.items()}
        medians = {name: spread(list(walls[name].values())).median for name in self.entrants}
        baseline = bench.best(medians, self.candidates)
        again = None
        if baseline and TWIN in walls:
            again = paired_ratio(walls[baseline], walls[TWIN], self.plan.seed, TWIN)
        compared = self._compared(walls, baseline, again.noise if again else None)
        rows = []
        for implementation in self.everyone:
            blank, name = self._blank(implementation), implementation.name
            if name in self.refused:
                rows.append(replace(blank, refused=self.refused[name]))
                continue
            rows.append(replace(blank, **self._times(rounds, walls, name), **compared.get(name, {})))
        return rows

    def _blank(self, implementation: Implementation) -> Measurement:
        return replace(
            bench.row(self.plan, self.subject, self.workload, implementation),
            elements=self.arena.elements,
            tensors=len(self.arena.params),
            dtype=str(self.arena.dtype).removeprefix("torch."),
            first_call_s=self.first.get(implementation.name),
            bytes_per_step=self._bytes_per_step(),
            threads=self.threads,
            load_average=self.load,
        )

    def _times(self, rounds: Rounds, walls: Walls, name: str) -> dict[str, Any]:
        taken, moved = spread(list(walls[name].values())), self._bytes_per_step()
        tally = self.passed[name].tally
        return {
            "median_s": taken.median,
            "min_s": taken.least,
            "iqr_s": taken.iqr,
            "cpu_s": spread([sample.cpu for sample in rounds[name].values()]).median,
            "rounds": taken.count,
            "bandwidth_bytes_per_s": moved / taken.median,
            "state_bytes_per_element": self.entrants[name].state_bytes() / max(1, self.arena.elements),
            "peak_temporary_bytes": tally.peak_bytes if tally else None,
            "dispatched_ops": tally.count if tally else None,
            "scaled_error": self.passed[name].error,
            **self._under_roof(walls, name, moved),
        }

    def _compared(self, walls: Walls, baseline: str | None, noise: float | None) -> dict[str, dict[str, Any]]:
        """Ratio, interval and verdict of each against the baseline."""
        compared: dict[str, dict[str, Any]] = {}
        if baseline is None:
            return compared
        for name in self.entrants:
            ratio = paired_ratio(walls[baseline], walls[name], self.plan.seed, name)
            compared[name] = {"baseline": baseline, "noise_floor": noise}
            if ratio:
                compared[name] |= {
                    "ratio_to_baseline": ratio.median,
                    "ratio_low": ratio.low,
                    "ratio_high": ratio.high,
                    "verdict": "same" if name == baseline else verdict(ratio, noise),
                }
        return compared

    def _under_roof(self, walls: Walls, name: str, moved: int) -> dict[str, float]:
        if not self.roof:
            return {}
        sweeps, own = walls[ROOF], walls[name]
        # Paired by round, as the ratios: what slows the memory down slows both.
        paired = spread([(moved / own[n]) / (self.roof.bytes_per_step / sweeps[n]) for n in own if n in sweeps])
        rate = self.roof.bytes_per_step / spread(list(sweeps.values())).median
        return {"roof_bytes_per_s": rate, "bandwidth_fraction": paired.median}


def _unfit(subject: Subject, dimensions: Sequence[int], sparse: bool) -> str | None:
    """Why no workload, or not this one, is for this algorithm; None where it is."""
    if subject.closure:
        return f"{subject.class_name} calls a closure, and a workload's gradients are given"
    if subject.sparse != sparse:
        kinds = ("dense", "sparse") if sparse else ("sparse", "dense")
        return f"{subject.class_name} is timed on {kinds[0]} gradients, and this workload's are {kinds[1]}"
    if subject.dimensions is not None and any(number != subject.dimensions for number in dimensions):
        return f"{subject.class_name} takes parameters of {subject.dimensions} dimensions only"
    return None


def _ready(roof: HostRoof | DeviceRoof, steps: int) -> None:
    device.settle(steps)
    roof.wake()


def _arena(plan: BenchPlan, workload: Workload) -> Arena:
    given = None
    if workload.target:
        from optbench.timing.user_workload import load_parameters

        given = load_parameters(workload.target)
    return Arena(workload, plan.dtype, plan.device, plan.seed, given)
