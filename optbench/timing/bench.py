"""The timing half of a run: every workload of every algorithm, gated, raced, and told as `Measurement`s."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from optbench import registry
from optbench.errors import UsageError, unknown
from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.subjects import Kind, Subject
from optbench.timing import workloads
from optbench.timing.workloads import Workload

TORCH_BEST = "torch-best"
TORCH = "torch"
# torch.optim's own paths that `torch-best` chooses from; compiling takes too long to be tried unasked.
TORCH_PATHS = ("torch-forloop", "torch-foreach", "torch-fused")
_TORCH_PATHS: Mapping[Kind, tuple[str, ...]] = {
    "optimizer": TORCH_PATHS,
    "scheduler": ("torch",),
    "averager": ("torch-forloop", "torch-foreach"),
}
# What times a workload of each kind of subject.
_HEATS: Mapping[Kind, str] = {
    "optimizer": "optbench.timing.heat",
    "scheduler": "optbench.timing.scheduling",
    "averager": "optbench.timing.averaging",
}
Phase = Literal["prepare", "check", "time", "done"]
# What a workload may take beyond its share before the process that runs foreign code is ended.
_FOREIGN_GRACE = 120.0


@dataclass(frozen=True)
class BenchPlan:
    """What to time.

    Args:
        subjects: the algorithms.
        implementations: who takes part. The baseline joins by itself.
        judged: names of the implementations that are judged.
        device: a torch device.
        dtype: storage dtype of the parameters.
        workloads: names or workloads; empty: the suite's.
        options: hyperparameters that differ from the defaults.
        baseline: "torch-best": torch's fastest path that passed the gate in this run; "torch": what torch.optim chooses
            by default on this device; or the name of an implementation.
        suite: "quick" or "full".
        seed: seeds values, order and resampling.
        seconds: time for one algorithm; None: the suite's.
    """

    subjects: Sequence[Subject]
    implementations: Sequence[Implementation]
    judged: frozenset[str] = frozenset()
    device: str = "cpu"
    dtype: str = "float32"
    workloads: Sequence[str | Workload] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    baseline: str = TORCH_BEST
    suite: str = "quick"
    seed: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class BenchProgress:
    """Where a run stands: `done` of `total` workloads, and what it does now."""

    subject: str
    workload: str
    done: int
    total: int
    implementation: str = ""
    phase: Phase = "prepare"


Report = Callable[[BenchProgress], None]


def run(plan: BenchPlan, progress: Report | None = None) -> Iterator[Measurement]:
    """Time everything in the plan, a workload at a time; results come as each one ends.

    Foreign code runs in a process of its own, together with what it is compared with.

    Raises:
        UsageError: the plan names something that does not exist.
    """
    kinds = dict.fromkeys(subject.kind for subject in plan.subjects)
    workloads.check(plan.workloads, plan.suite, kinds)
    _check(plan)
    chosen = {
        subject.name: workloads.select(plan.workloads, plan.suite, subject.kind, subject.ground)
        for subject in plan.subjects
    }
    work = [(subject, workload) for subject in plan.subjects for workload in chosen[subject.name]]
    with contextlib.closing(_measurer(plan)) as measurer:
        for done, (subject, workload) in enumerate(work):
            if progress:
                progress(BenchProgress(subject.name, workload.name, done, len(work)))
            seconds = _seconds(plan, chosen[subject.name], workload)
            yield from measurer(subject, workload, seconds, progress, done, len(work))
    if progress and work:
        progress(BenchProgress(work[-1][0].name, work[-1][1].name, len(work), len(work), phase="done"))


class _Here:
    """Measures in this process."""

    def __init__(self, plan: BenchPlan) -> None:
        self._plan = plan

    def __call__(
        self, subject: Subject, workload: Workload, seconds: float, progress: Report | None, done: int, total: int
    ) -> Sequence[Measurement]:
        def observe(implementation: str, phase: Phase) -> None:
            if progress:
                progress(BenchProgress(subject.name, workload.name, done, total, implementation, phase))

        return measure(self._plan, subject, workload, seconds, observe)

    def close(self) -> None:
        pass


def measure(
    plan: BenchPlan, subject: Subject, workload: Workload, seconds: float, observe: Callable[[str, Phase], None]
) -> list[Measurement]:
    """Check and time all contestants on one workload, in this process; see the kind's own `measure`."""
    heat = importlib.import_module(_HEATS[subject.kind])
    return heat.measure(plan, subject, workload, seconds, observe)  # type: ignore[no-any-return]


def _measurer(plan: BenchPlan) -> Any:
    # The baseline may be foreign code too.
    kinds = {subject.kind for subject in plan.subjects}
    if any(implementation.target for kind in kinds for implementation in contestants(plan, kind)):
        from optbench.timing.isolation import Isolated

        return Isolated(plan, _FOREIGN_GRACE)
    return _Here(plan)


def _seconds(plan: BenchPlan, chosen: Sequence[Workload], workload: Workload) -> float:
    total = plan.seconds if plan.seconds is not None else workloads.SUITE_SECONDS[plan.suite]
    return total * workload.share / sum(each.share for each in chosen)


def _check(plan: BenchPlan) -> None:
    if plan.baseline not in (TORCH_BEST, TORCH) and ":" not in plan.baseline:
        known = [TORCH_BEST, TORCH, *registry.IMPLEMENTATIONS]
        if plan.baseline not in known:
            raise unknown("baseline", plan.baseline, known, "optbench list impls")
    if plan.baseline not in (TORCH_BEST, TORCH) and not timed(registry.find(plan.baseline), plan.device):
        raise UsageError(f"baseline {plan.baseline!r} runs in an interpreter, which is never timed.")
    require_baseline(plan.baseline, {subject.kind for subject in plan.subjects})
    for subject in plan.subjects:
        for name in plan.options:
            if name not in subject.defaults:
                raise unknown(f"option of {subject.name}", name, subject.defaults, f"optbench show {subject.name}")


def require_baseline(baseline: str, kinds: Collection[Kind]) -> None:
    """Refuse a baseline that has no subject of some kind that is timed.

    Raises:
        UsageError: it has none.
    """
    for kind in kinds:
        if baseline not in (TORCH_BEST, TORCH) and kind not in registry.find(baseline).kinds:
            fitting = ", ".join((TORCH_BEST, *_TORCH_PATHS[kind]))
            raise UsageError(f"baseline {baseline!r} has no {kind}s: name one of {fitting}.")


def timed(implementation: Implementation, device: str) -> bool:
    """Whether an implementation is timed at all: interpreters are not."""
    return not implementation.interpreted_on(device)


def contestants(plan: BenchPlan, kind: Kind = "optimizer") -> list[Implementation]:
    """Who is timed: the plan's implementations and the baseline's candidates, without interpreters.

    Those that have no subject of this kind are left out, unless they are judged: then they are told to be refused.
    """
    wanted = [item for item in plan.implementations if kind in item.kinds or item.name in plan.judged]
    found = {implementation.name: implementation for implementation in wanted}
    for name in baseline_candidates(plan, kind):
        found.setdefault(name, registry.find(name))
    return [implementation for implementation in found.values() if timed(implementation, plan.device)]


def baseline_candidates(plan: BenchPlan, kind: Kind = "optimizer") -> tuple[str, ...]:
    """Names of what the baseline is chosen from."""
    if plan.baseline == TORCH_BEST:
        return _TORCH_PATHS[kind]
    if plan.baseline == TORCH:
        return (torch_default(plan.device, kind),)
    return (plan.baseline,)


def torch_default(device: str, kind: Kind = "optimizer") -> str:
    """The path that torch.optim takes on a device when no flag or function is given."""
    if kind == "scheduler":
        return TORCH
    if kind == "averager":
        return "torch-forloop" if device.partition(":")[0] == "cpu" else "torch-foreach"
    import torch
    from torch.optim import optimizer as module

    try:
        param = torch.nn.Parameter(torch.zeros(1, device=device))
        fused, foreach = module._default_to_fused_or_foreach([param], differentiable=False, use_fused=False)
    except (AttributeError, TypeError):
        fused, foreach = False, device.partition(":")[0] == "cuda"
    return "torch-fused" if fused else "torch-foreach" if foreach else "torch-forloop"


def best(medians: Mapping[str, float], candidates: Sequence[str]) -> str | None:
    """The fastest of the candidates that were timed."""
    present = [name for name in candidates if name in medians]
    return min(present, key=lambda name: medians[name]) if present else None


def refusal(
    plan: BenchPlan, subject: Subject, workload: Workload, implementation: Implementation, why: str
) -> Measurement:
    """A row without figures that says why there are none."""
    return replace(row(plan, subject, workload, implementation), refused=why)


def row(plan: BenchPlan, subject: Subject, workload: Workload, implementation: Implementation) -> Measurement:
    """A row that says what was to be timed, without figures."""
    return Measurement(
        subject=subject.name,
        implementation=implementation.name,
        backend=implementation.backend_on(plan.device),
        workload=workload.name,
        device=plan.device,
        dtype=plan.dtype,
        judged=implementation.name in plan.judged,
        options={name: value if isinstance(value, (bool, int, float, str)) else str(value)
                 for name, value in plan.options.items()},
        gradients=workload.gradients,
        elements=workload.elements,
        tensors=len(workload.shapes),
        groups=workload.groups,
        curve=workload.curve,
    )  # fmt: skip
