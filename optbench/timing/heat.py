"""One heat: all optimizers of one workload, in one process, checked, raced, and checked again."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from optbench.case import Case
from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.subjects import Subject
from optbench.timing import device
from optbench.timing.arena import Arena
from optbench.timing.bench import BenchPlan
from optbench.timing.contest import TWIN, Contest, Observe
from optbench.timing.entrant import Entrant, Refused, first_call
from optbench.timing.gate import SCALES, Gate, Pass
from optbench.timing.roof import DeviceRoof, HostRoof
from optbench.timing.sample import SAMPLE
from optbench.timing.timer import Contestant
from optbench.timing.workloads import ROWS, Workload

# The points of a curve are many and coarse.
_CURVE_SAMPLE = 1 << 13
# A first step, and one from a state; a third follows the race.
_QUICK_STEPS = 2
# Of the memory that is free, how much a workload may take.
_MOST_MEMORY = 0.8
# Below this, collecting cycles takes longer than it saves.
_WORTH_COLLECTING = 32 << 20


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
    heat = Heat(plan, subject, workload, observe)
    try:
        return heat.hold(seconds)
    finally:
        heat.close()


class Heat(Contest):
    """Optimizers on one arena of parameters, gradients and state."""

    def __init__(self, plan: BenchPlan, subject: Subject, workload: Workload, observe: Observe) -> None:
        super().__init__(plan, subject, workload, observe)
        self.arena = _arena(plan, workload)
        self.entrants: dict[str, Entrant] = {}
        self.passed: dict[str, Pass] = {}

    def unfit(self) -> str:
        dimensions = [param.dim() for param in self.arena.params]
        why = _unfit(self.subject, dimensions, self.workload.gradients == ROWS)
        if why:
            return why
        need, free = self._memory(), device.free_bytes(self.plan.device)
        if free is not None and need > _MOST_MEMORY * free:
            return f"this workload needs {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        try:
            self.gate = self._gate()
        except Refused as refused:
            return str(refused)
        return ""

    def admit(self, implementation: Implementation) -> None:
        name = implementation.name
        case = Case(self.subject.name, self.plan.options, self.plan.dtype, device=self.plan.device)
        reason = implementation.refusal(case)
        if reason:
            raise Refused(reason)
        self.first[name] = first_call(implementation, self.subject, self.plan.options, self.arena)
        entrant = self._entrant(implementation)
        try:
            self.passed[name] = self.gate.admit(entrant)
        except Refused:
            if not implementation.target:
                raise
            # Foreign code may hold on to its state elsewhere; then it keeps its own memory.
            entrant = self._entrant(implementation, shares=False)
            self.passed[name] = self.gate.admit(entrant)
        self.entrants[name] = entrant

    def ready(self) -> None:
        self.arena.save()

    def contestant(self, name: str, twin: bool = False) -> Contestant:
        entrant = self._twin(name) if twin else self.entrants[name]
        renew = self.arena.renew if self.arena.moving else None
        return Contestant(TWIN if twin else name, entrant.optimizer.step, renew, self.arena.before_sample)

    def still(self, name: str) -> None:
        self.gate.still(self.entrants[name])

    def roof(self) -> HostRoof | DeviceRoof | None:
        arena, streams = self.arena, sum(self.subject.streams(self.plan.options))
        own = [*arena.grads, *arena.params, *(t for kept in arena.state.values() for t in kept)]
        # Its own arrays are what a step goes over, where a step is one pass over them.
        single = len(arena.params) == 1 and not arena.moving and self.subject.elementwise
        return device.roof(self.plan.device, own if single else [], streams, self.footprint(), self.threads)

    def footprint(self) -> int:
        """Bytes of all arrays that a step touches."""
        return self.arena.bytes * sum(self.subject.streams(self.plan.options))

    def moved(self) -> int:
        return sum(
            (grad.values() if grad.is_sparse else grad).numel()
            * self.subject.bytes_per_element(self.plan.options, grad.element_size())
            for grad in self.arena.grads
        )

    def blank(self, implementation: Implementation) -> Measurement:
        return replace(
            super().blank(implementation),
            gradients=self.workload.gradients,
            elements=self.arena.elements,
            tensors=len(self.arena.params),
            dtype=str(self.arena.dtype).removeprefix("torch."),
        )

    def facts(self, name: str) -> dict[str, Any]:
        tally = self.passed[name].tally
        return {
            "state_bytes_per_element": self.entrants[name].state_bytes() / max(1, self.arena.elements),
            "peak_temporary_bytes": tally.peak_bytes if tally else None,
            "dispatched_ops": tally.count if tally else None,
            "scaled_error": self.passed[name].error,
        }

    def close(self) -> None:
        """Free everything at once: the next workload needs the memory."""
        self.entrants.clear()
        large = self.arena.bytes > _WORTH_COLLECTING
        self.arena.close()
        if large:
            gc.collect()

    def _memory(self) -> int:
        arrays = 1 + len(self.subject.state_names(self.plan.options))
        # Parameters and state three times (in use, remembered, an entrant's first state), gradients, three temporaries.
        return self.arena.bytes * (3 * arrays + 2 + 3)

    def _gate(self) -> Gate:
        full = self.plan.suite == "full"
        limit = _CURVE_SAMPLE if self.workload.curve else SAMPLE if full else SAMPLE // 4
        steps = len(SCALES) if full else _QUICK_STEPS
        return Gate(self.subject, self.plan.options, self.arena, self.plan.device, self.plan.seed, limit, steps)

    def _entrant(self, implementation: Implementation, shares: bool = True) -> Entrant:
        return Entrant(implementation, self.subject, self.plan.options, self.arena, shares)

    def _twin(self, baseline: str) -> Entrant:
        """The baseline a second time, as far along as the others."""
        twin = self._entrant(self.entrants[baseline].implementation, self.entrants[baseline].shares)
        for k in range(len(SCALES)):
            self.arena.renew()
            twin.step()
            if k == 0:
                twin.move_in()
        return twin


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


def _arena(plan: BenchPlan, workload: Workload) -> Arena:
    given = None
    if workload.target:
        from optbench.timing.user_workload import load_parameters

        given = load_parameters(workload.target)
    return Arena(workload, plan.dtype, plan.device, plan.seed, given)
