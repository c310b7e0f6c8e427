"""opt.layouts: elements pair by index, whatever the strides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.layouts",
    level="math",
    statement="right for every layout of parameter and gradient; memory around every view stays untouched",
    catches="elements paired by memory order, writes outside a view, copies that are never written back",
    # Strides are the host's business; an interpreter still meets every layout in opt.oracle's pairs.
    host=True,
    formula=False,
)

_LAYOUTS = (
    "contiguous", "transposed", "channels_last", "strided", "offset", "expanded_grad", "grad_unlike", "param_unlike",
    "grad_strided", "param_strided", "grad_negative", "param_negative",
)  # fmt: skip


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for layout in _LAYOUTS:
        for dtype in (
            scope.some("float32", "bfloat16", "complex64")
            if scope.suite == "full"
            else scope.some("float32", "bfloat16")
        ):
            yield scope.case(subject, subject.fullest, dtype, layout=layout, shapes="matrices")


def space(subject: Subject, scope: Scope) -> Space:
    options = {option.name: option.values for option in subject.options}
    return Space(options, subject.forbidden, scope.some("float32", "bfloat16", "complex64"), _LAYOUTS, steps=(1, 3))


def check(trial: Trial) -> None:
    run = trial.follow_oracle()
    # The last gradients too lie in memory that is not the optimizer's.
    for i, placed in enumerate(run.grads):
        if placed is not None:
            trial.checker.true(f"memory around the gradient of parameter {i} is untouched", placed.untouched())
