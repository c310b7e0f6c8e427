"""lbfgs.views: all parameters are one vector, however each of them lies in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="lbfgs.views",
    level="math",
    statement="parameters of any shapes and strides move and are remembered as the one vector that they make",
    catches="a parameter read and written in different orders, an offset that a missing gradient shifts",
    host=True,
    formula=False,
)

_FACTORS: dict[str, Sequence[Any]] = {
    "layout": (
        "transposed", "channels_last", "strided", "grad_unlike", "param_unlike", "expanded_grad", "param_negative",
    ),
    "shapes": ("mixed", "zero first"),
    "moment": ("every step", "never"),
    "line_search_fn": (None, "strong_wolfe"),
    "history_size": (100, 2),
}


# A function with one gradient everywhere has no minimum to search for.
_FORBIDDEN = ((("layout", "expanded_grad"), ("line_search_fn", "strong_wolfe")),)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if subject.name != "lbfgs":
        return
    factors = {**_FACTORS, "dtype": scope.some("float32", "complex64")}
    for row in pairwise.rows(factors, _FORBIDDEN, scope.seed if scope.suite == "full" else 0):
        rest = {name: row.pop(name) for name in ("dtype", "layout", "shapes", "moment")}
        yield scope.case(subject, row, steps=2, **rest)


def check(trial: Trial) -> None:
    from optbench.trials.likeness import agree, followed, remade
    from optbench.trials.problem import Joined

    run = followed(trial)
    for i, placed in enumerate(run.placed):
        trial.checker.true(f"memory around parameter {i} is untouched", placed.untouched())
    agree(trial, lambda moved: remade(moved, Joined), _joined(run))


def _joined(run: Run) -> dict[str, Tensor]:
    """What the run comes to, its parameters as one."""
    import torch

    from optbench.trials.error import real
    from optbench.trials.likeness import outcome

    found = {name: value for name, value in outcome(run).items() if not name.startswith("parameter")}
    flat = [param.detach().reshape(-1) for param in run.params]
    return {**found, "parameter 0": real(torch.cat(flat)).cpu()}
