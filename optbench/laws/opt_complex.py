"""opt.complex: a complex number is two real ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.complex",
    level="math",
    statement="a complex parameter moves as its real and imaginary parts do, whatever the options and the layout",
    catches="a product, a root, a sign or a maximum taken of complex numbers, a conjugate bit that is overlooked",
    host=True,
    formula=False,
)

_LAYOUTS = ("contiguous", "transposed", "strided", "grad_unlike", "grad_conjugate", "param_conjugate")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    dtypes = [dtype for dtype in scope.dtypes if dtype.startswith("complex")]
    if not dtypes:
        return
    factors: dict[str, Sequence[Any]] = {option.name: option.values for option in subject.options if not option.idle}
    factors |= {"dtype": dtypes, "layout": _LAYOUTS, "moment": ("every step", "late")}
    for row in pairwise.rows(factors, subject.forbidden, scope.seed if scope.suite == "full" else 0):
        dtype, layout, moment = row.pop("dtype"), row.pop("layout"), row.pop("moment")
        yield scope.case(subject, row, dtype, layout=layout, moment=moment, shapes="forms",
                         steps=2 if subject.closure else 4)  # fmt: skip


def check(trial: Trial) -> None:
    from optbench.trials.likeness import agree, followed, outcome, remade
    from optbench.trials.problem import Paired

    run = followed(trial)
    for i, placed in enumerate(run.placed):
        trial.checker.true(f"memory around parameter {i} is untouched", placed.untouched())
    agree(trial, lambda moved: remade(moved, Paired), outcome(run))
