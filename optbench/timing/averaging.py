"""Averages of a model's weights, timed: one update of all of them, GB/s against the roof.

All contestants write one set of averages, for the reason that all optimizers share one arena: where large tensors
happen to lie changes the time of one and the same code. An average that keeps more digits than the averaged model
shows (16-bit tensors, small weights) keeps its own memory, because those digits belong to what it wrote itself.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from optbench.case import Case
from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.subjects import Subject
from optbench.timing import device
from optbench.timing.bench import BenchPlan
from optbench.timing.contest import TWIN, Contest, Observe, names_of
from optbench.timing.entrant import Refused, building, one_line
from optbench.timing.gate import Pass
from optbench.timing.probe import Tally, impostor, watch
from optbench.timing.roof import DeviceRoof, HostRoof
from optbench.timing.sample import SAMPLE, Sample
from optbench.timing.timer import Contestant
from optbench.timing.workloads import Workload
from optbench.trials import means
from optbench.trials.averagers import Trial
from optbench.trials.checker import Checker
from optbench.trials.error import real, real_dtype
from optbench.trials.problem import dtype_of, generator

# What the model's weights are multiplied by at the updates that are judged: powers of two, so that they stay exact.
_SCALES = (1.0, -0.5, 2.0)
_FINAL_SCALE = -1.0
# The update that is watched: the first one copies.
_WATCHED = 1
# A mean of more models than this would be a mean that keeps more digits; it goes back to one of a few.
_RESET_AFTER = 512
_SMALL_WEIGHT = 2.0**-10
_CURVE_SAMPLE = 1 << 13
# Of the memory that is free, how much a workload may take.
_MOST_MEMORY = 0.8
# Arrays of a float32 model's size that an update makes and keeps; the reference, in two float64 parts, most of all.
_TEMPORARIES, _MOST_TEMPORARIES = 3, {"reference": 22}
_FIRST_CALLS: dict[tuple[str, str, str, str], float | None] = {}


def measure(
    plan: BenchPlan, subject: Subject, workload: Workload, seconds: float, observe: Observe = lambda name, phase: None
) -> list[Measurement]:
    """Check and time all averagers on one workload; the arguments are those of `heat.measure`."""
    return Averaging(plan, subject, workload, observe).hold(seconds)


class Weights(nn.Module):
    """A model of nothing but parameters."""

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(tensors)


@dataclass(frozen=True)
class _Part:
    """The parameters of one dtype, and which of their elements are judged."""

    where: list[int]
    sample: Sample
    values: Tensor

    def read(self, tensors: list[Tensor]) -> Tensor:
        return self.sample.read([tensors[i] for i in self.where])


class Entrant:
    """One averager at work.

    Args:
        trial: builds it.
        model: what is averaged.
        shared: averages to write in place of its own memory; None: it keeps its own.
    """

    def __init__(self, trial: Trial, model: nn.Module, shared: list[Tensor] | None) -> None:
        self.trial, self.model, self.taken = trial, model, 0
        with building():
            self.averager: Any = trial.build(model)
            self.averages: list[Tensor] = list(trial.module(self.averager).parameters())
        for own, tensor in zip(self.averages, shared or (), strict=False):
            own.data = tensor.copy_(own.detach())
        self.step = self._step()

    def _step(self) -> Any:
        if not self.trial.implementation.target:
            update, model = self.averager.update_parameters, self.model
            return lambda: update(model)
        return lambda: self.trial.update(self.averager, self.model)

    def before_sample(self, steps: int) -> None:
        """Count the updates; of a mean that has seen too many models, go back to one of a few."""
        counter = getattr(self.averager, "n_averaged", None)
        if self.taken + steps > _RESET_AFTER and isinstance(counter, Tensor):
            self.taken = len(_SCALES)
            counter.fill_(self.taken)
        self.taken += steps


class Averaging(Contest):
    """All averagers of one workload."""

    def __init__(self, plan: BenchPlan, subject: Subject, workload: Workload, observe: Observe) -> None:
        super().__init__(plan, subject, workload, observe)
        self.model = Weights(_weights(plan, workload))
        self.sources: list[Tensor] = [tensor.detach() for tensor in self.model.parameters()]
        self.bytes = sum(tensor.nbytes for tensor in self.sources)
        self.case = Case(subject.name, plan.options, plan.dtype, device=plan.device)
        self.averages: list[Tensor] | None = None
        self.parts: list[_Part] = []
        self.entrants: dict[str, Entrant] = {}
        self.passed: dict[str, Pass] = {}

    def unfit(self) -> str:
        temporaries = max((_MOST_TEMPORARIES.get(each.name, _TEMPORARIES) for each in self.everyone), default=0)
        arrays = 2 + temporaries + 2 * len(self.everyone) * (not self._plain())
        need, free = self.bytes * arrays, device.free_bytes(self.plan.device)
        if free is not None and need > _MOST_MEMORY * free:
            return f"this workload needs {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        self.averages = [tensor.clone() for tensor in self.sources] if self._plain() else None
        limit = _CURVE_SAMPLE if self.workload.curve else SAMPLE if self.plan.suite == "full" else SAMPLE // 4
        self.parts = _parts(self.sources, limit, self.plan.seed)
        return ""

    def admit(self, implementation: Implementation) -> None:
        reason = implementation.refusal(self.case)
        if reason:
            raise Refused(reason)
        self.first[implementation.name] = self._first_call(implementation)
        entrant = self._entrant(implementation)
        tally, largest = None, 0.0
        for k, scale in enumerate(_SCALES):
            watched, error = self._judged(entrant, scale, f"update {k + 1}", k, k == _WATCHED)
            tally, largest = tally or watched, max(largest, error)
        entrant.taken = len(_SCALES)
        self.entrants[implementation.name] = entrant
        self.passed[implementation.name] = Pass(tally, largest)

    def contestant(self, name: str, twin: bool = False) -> Contestant:
        entrant = self.entrants[name]
        if twin:
            entrant = self._entrant(entrant.trial.implementation)
            entrant.before_sample(len(_SCALES))
            for _ in _SCALES:
                entrant.step()
        return Contestant(TWIN if twin else name, entrant.step, before_sample=entrant.before_sample)

    def still(self, name: str) -> None:
        entrant = self.entrants[name]
        entrant.before_sample(_RESET_AFTER)
        entrant.taken -= _RESET_AFTER
        self._judged(entrant, _FINAL_SCALE, "after it was timed", entrant.taken, False)

    def footprint(self) -> int:
        return 2 * self.bytes

    def roof(self) -> HostRoof | DeviceRoof | None:
        single = len(self.sources) == 1 and self.averages
        arrays = [*self.sources, *(self.averages or ())] if single else []
        return device.roof(self.plan.device, arrays, 2, self.footprint(), self.threads)

    def moved(self) -> int:
        options = self.plan.options
        return sum(t.numel() * self.subject.bytes_per_element(options, t.element_size()) for t in self.sources)

    def blank(self, implementation: Implementation) -> Measurement:
        sizes: dict[torch.dtype, int] = {}
        for tensor in self.sources:
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
        return replace(
            super().blank(implementation),
            elements=sum(sizes.values()),
            tensors=len(self.sources),
            dtype=str(max(sizes, key=lambda dtype: sizes[dtype])).removeprefix("torch."),
        )

    def facts(self, name: str) -> dict[str, Any]:
        tally = self.passed[name].tally
        return {
            "peak_temporary_bytes": tally.peak_bytes if tally else None,
            "dispatched_ops": tally.count if tally else None,
            "scaled_error": self.passed[name].error,
        }

    def _plain(self) -> bool:
        """Whether an average is what the averaged model holds, and no more."""
        decay = self.subject.complete(self.plan.options).get("decay", 0.0)
        wide = all(real_dtype(tensor.dtype).itemsize >= torch.float32.itemsize for tensor in self.sources)
        return wide and 1.0 - decay >= _SMALL_WEIGHT

    def _trial(self, implementation: Implementation) -> Trial:
        state, options = names_of(implementation)
        case = self.case
        if options is not None:
            # Foreign defaults may differ from torch's, which the oracle takes: so every option that it has is given.
            complete = self.subject.complete(case.options)
            given = {name: value for name, value in complete.items() if name in options or name in case.options}
            case = replace(case, options=given)
        return Trial(self.subject, implementation, case, Checker(), state, options)

    def _entrant(self, implementation: Implementation) -> Entrant:
        return Entrant(self._trial(implementation), self.model, self.averages)

    def _judged(
        self, entrant: Entrant, scale: float, what: str, counted: int, watched: bool
    ) -> tuple[Tally | None, float]:
        """Take one update of a model whose judged elements are scaled, and judge it alone."""
        self._place(scale)
        before = [part.read(entrant.averages) for part in self.parts]
        tally = self._update(entrant, watched)
        checker = Checker()
        for part, start in zip(self.parts, before, strict=True):
            model = part.values * scale
            dtype = self.sources[part.where[0]].dtype
            rng = generator(self.plan.seed, "average", self.workload.name, counted)
            # The first update copies. Who takes it into the average of a new model, the same, gets the same.
            begun = start if counted else None
            wanted = means.expected(entrant.trial.average, model[None], begun, counted, dtype, rng)
            checker.close(what, real(part.read(entrant.averages)), wanted, real_dtype(dtype))
            checker.true(f"{what}: it leaves the model alone", bool(torch.equal(part.read(self.sources), model)))
        self._place(1.0)
        if checker.verdict == "fail":
            raise Refused(f"it does not match the oracle on this workload: {checker.message}")
        return tally, checker.error or 0.0

    def _place(self, scale: float) -> None:
        for part in self.parts:
            part.sample.write([self.sources[i] for i in part.where], part.values * scale)

    def _update(self, entrant: Entrant, watched: bool) -> Tally | None:
        try:
            if not watched:
                entrant.step()
                return None
            tally = watch(entrant.step, self.plan.device)
        except Exception as error:
            raise Refused(f"its step raised {one_line(error)}") from error
        reason = impostor(entrant.trial.implementation, entrant.averager, tally, self.plan.device)
        if reason:
            raise Refused(reason)
        return tally

    def _first_call(self, implementation: Implementation) -> float | None:
        """Seconds to import, build and average twice 1,024 elements, the first time in this process.

        None where the implementation is ours and was imported before, so that it may have compiled already.
        """
        like = self.sources[0]
        key = (implementation.name, self.subject.name, str(like.dtype), str(like.device))
        if key not in _FIRST_CALLS:
            known = implementation.ours and implementation.module in sys.modules
            model = Weights([torch.ones(1024, dtype=like.dtype, device=like.device)])
            start = time.perf_counter()
            entrant = Entrant(self._trial(implementation), model, None)
            self._update(entrant, False)
            self._update(entrant, False)
            # Reading an element waits for an accelerator.
            entrant.averages[0][0].item()
            _FIRST_CALLS[key] = None if known else time.perf_counter() - start
        return _FIRST_CALLS[key]


def _weights(plan: BenchPlan, workload: Workload) -> list[Tensor]:
    if workload.target:
        from optbench.timing.user_workload import load_parameters

        return [tensor.detach().to(plan.device, copy=True) for tensor in load_parameters(workload.target)]
    rng, dtype = generator(plan.seed, "weights", workload.name), dtype_of(plan.dtype)
    tensors = []
    for shape in workload.shapes:
        tensor = torch.empty(shape, dtype=dtype)
        real(tensor).uniform_(-1.0, 1.0, generator=rng)
        tensors.append(tensor.to(plan.device))
    return tensors


def _parts(sources: list[Tensor], limit: int, seed: int) -> list[_Part]:
    parts = []
    for dtype in dict.fromkeys(tensor.dtype for tensor in sources):
        where = [i for i, tensor in enumerate(sources) if tensor.dtype == dtype]
        sample = Sample([sources[i] for i in where], limit, seed)
        parts.append(_Part(where, sample, sample.read([sources[i] for i in where])))
    return parts
