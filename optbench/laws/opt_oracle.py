"""opt.oracle: the formula, option by option, dtype by dtype, layout by layout, at every moment in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.oracle",
    level="math",
    statement="parameters and every state entry match a float64 oracle, each step judged alone, options pairwise",
    catches="a wrong formula: a term dropped, an order swapped, a constant off, an option that is ignored",
)

_LAYOUTS = ("contiguous", "transposed", "channels_last", "strided", "expanded_grad", "grad_unlike")
_FLOAT16_EPS = 1e-4
_MOMENTS = ("every step", "late", "gap", "resumed")


def factors(subject: Subject, scope: Scope) -> tuple[dict[str, Sequence[Any]], list[Any]]:
    """What is combined pairwise, and the pairs that cannot stand together."""
    combined: dict[str, Sequence[Any]] = {option.name: option.values for option in subject.options}
    combined |= {"dtype": scope.limited(subject).dtypes, "layout": _LAYOUTS, "moment": _MOMENTS}
    # float16 squares underflow below 6e-8, so that an eps of 1e-8 decides nothing there.
    tiny = [eps for eps in combined.get("eps", ()) if isinstance(eps, float) and eps < _FLOAT16_EPS]
    return combined, [*subject.forbidden, *((("dtype", "float16"), ("eps", eps)) for eps in tiny)]


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    combined, forbidden = factors(subject, scope)
    for row in pairwise.rows(combined, forbidden):
        dtype, layout, moment = row.pop("dtype"), row.pop("layout"), row.pop("moment")
        yield scope.case(
            subject,
            row,
            dtype,
            layout=layout,
            moment=moment,
            stream="wide",
            steps=subject.steps,
        )
    if scope.suite == "full":
        for seed in range(1, 5):
            for row in pairwise.rows(combined, forbidden, scope.seed + seed):
                dtype, layout, moment = row.pop("dtype"), row.pop("layout"), row.pop("moment")
                yield scope.case(
                    subject,
                    row,
                    dtype,
                    layout=layout,
                    moment=moment,
                    stream="normal",
                    steps=8,
                    seed=scope.seed + seed,
                    variant=f"seed={scope.seed + seed}",
                )


def space(subject: Subject, scope: Scope) -> Space:
    combined, forbidden = factors(subject, scope)
    options = {option.name: combined[option.name] for option in subject.options}
    streams = ("normal", "wide")
    return Space(options, forbidden, scope.dtypes, _LAYOUTS, _MOMENTS, streams, steps=(1, max(4, subject.steps)))


def check(trial: Trial) -> None:
    trial.follow_oracle()
