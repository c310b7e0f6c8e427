"""opt.denormal: the numbers between zero and the least normal one are numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.denormal",
    level="math",
    statement="denormal parameters, gradients and states are computed with as others are, and flushed for nobody else",
    catches="a kernel or a thread that flushes to zero, a conversion of 16-bit numbers that drops the smallest ones",
)

# Squares of denormals are zero in their own dtype, so that an eps has to stay in the denominators.
_FLOAT16_EPS = 1e-3


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    rows = (dict(subject.fullest), subject.crowd())
    # An update that an eps divides leaves the range of denormals: only the state shows there what became of them.
    stream = "denormal" if "eps" in subject.defaults else "all denormal"
    for dtype in scope.some("float32", "float64", "bfloat16", "float16"):
        for row in rows if scope.suite == "full" or dtype == "float32" else rows[:1]:
            yield scope.case(subject, {**row, **_seen(subject, dtype)}, dtype, shapes="pair", stream=stream, steps=3)


def _seen(subject: Subject, dtype: str) -> dict[str, Any]:
    """Options under which such gradients are not lost for other reasons."""
    if subject.closure:
        return subject.own(tolerance_grad=0.0, tolerance_change=0.0)
    seen: dict[str, Any] = {}
    if "centered" in subject.defaults:
        # A variance is the difference of two numbers that are zero then.
        seen["centered"] = False
    if dtype == "float16" and isinstance(subject.defaults.get("eps"), float):
        seen["eps"] = _FLOAT16_EPS
    return seen


def check(trial: Trial) -> None:
    trial.checker.true("denormals are kept here before the steps", _kept())
    trial.follow_oracle()
    trial.checker.true("denormals are kept here after the steps", _kept())


def _kept() -> bool:
    """Whether torch computes with denormals in this thread."""
    import torch

    return bool(torch.full((8,), torch.finfo(torch.float32).tiny).mul(0.5).gt(0).all())
