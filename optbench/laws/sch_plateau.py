"""sch.plateau: the rate falls when the metric has not improved for too long, and then only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.trials import formulas

if TYPE_CHECKING:
    from optbench.trials.schedulers import Trial

LAW = Law(
    id="sch.plateau",
    level="math",
    statement="on any stream of metrics, numbers, tensors, infinite or NaN, the rate falls where the rule says",
    catches="an epoch counted twice, a cooldown off by one, NaN taken for better, groups that stop where one stands",
    kind="scheduler",
    host=True,
)

_FALLING = tuple(1.0 / (k + 1) for k in range(20))
# Improvements around the threshold, of both signs of the metric.
_CLOSE = tuple(math.copysign(1.0 - k * d, s) for s in (1, -1) for d in (0.00005, 0.0002, 0.06, 0.2) for k in range(4))
_BOUND = 0.125
_STEPS = (_BOUND, _BOUND * (1 - 2.0**-12), _BOUND * (1 + 2.0**-12))
STREAMS = {
    "falling": _FALLING,
    "rising": tuple(reversed(_FALLING)),
    "flat": (1.0,) * 20,
    "wave": tuple(math.sin(k * 0.7) + 0.02 * k for k in range(30)),
    "close": _CLOSE,
    "nan": (1.0, math.nan, 0.9, math.nan, math.nan, math.nan, math.nan, 0.5, math.nan, 0.4, 0.4, 0.4, 0.4),
    "nan first": (math.nan, math.nan, math.nan, math.nan, 1.0, 0.9, 0.95, 0.95, 0.95, 0.95),
    "infinite": (math.inf, -math.inf, 1.0, math.inf, 0.5, 0.5, -math.inf, 0.5, 0.5, 0.5, math.inf),
    "tensor": tuple(math.cos(k * 0.7) for k in range(20)),
    "zero": (0.0,) * 8 + (-0.0,) * 4,
    # Better by the threshold, which is not enough; by a little less; by a little more; and once more by a step that is
    # between the relative and the absolute threshold.
    "bound": tuple(1.0 + sign * by for sign in (-1, 1) for by in (0.0, *_STEPS, 2 * _BOUND + sign * _BOUND / 16)),
}

# One whose change is too small from the first time on, one from the fourth, and one that always falls.
_APART = (1e-9, 0.3, 1e-7)
_FAR = "rates far apart"
# As training loops that keep their loss in one place do.
_REFILLED = "one tensor, filled anew"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if subject.name != "reducelronplateau":
        return
    factors = {option.name: option.values for option in subject.options} | {"stream": tuple(STREAMS)}
    for row in pairwise.rows(factors, subject.forbidden):
        stream = row.pop("stream")
        yield scope.case(subject, row, scope.dtypes[0], stream=stream)
    for mode, kind in itertools.product(("min", "max"), ("rel", "abs")):
        options = {"mode": mode, "threshold_mode": kind, "threshold": _BOUND, "patience": 0, "factor": 0.5}
        yield scope.case(subject, options, scope.dtypes[0], stream="bound")
    yield scope.case(subject, {"patience": 0, "factor": 0.5}, scope.dtypes[0], stream="flat", variant=_FAR)
    for stream in ("falling", "wave"):
        yield scope.case(subject, {"patience": 1, "factor": 0.5}, scope.dtypes[0], stream=stream, variant=_REFILLED)


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.schedulers import LRS

    lrs = _APART if trial.case.variant == _FAR else LRS
    run = trial.run(lrs=lrs)
    metrics = STREAMS[trial.case.stream]
    held = trial.keep("metric", torch.zeros((), dtype=torch.float64), "torch.zeros((), dtype=torch.float64)")
    for k, rates in enumerate(formulas.plateau(trial.full(), lrs, metrics)):
        run.optimizer.step()
        if trial.case.variant == _REFILLED:
            trial.tell(f"metric.fill_({metrics[k]!r})", partial(held.fill_, metrics[k]))
        run.scheduler.step(held if trial.case.variant == _REFILLED else _given(metrics[k], trial.case.stream, k))
        trial.judge(f"after metric {metrics[k]:g}", run, k + 1, rates)


def _given(metric: float, stream: str, k: int) -> Any:
    """As a tensor of no or one dimension, where the stream is of tensors."""
    import torch

    if stream != "tensor":
        return metric
    return torch.tensor([metric] if k % 2 else metric, dtype=torch.float64, requires_grad=bool(k % 3))
