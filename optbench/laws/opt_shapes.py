"""opt.shapes: every size around a vector's and a block's width, and none at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.shapes",
    level="math",
    statement="right for 0-d and zero-element tensors in any position, and around every vector and block width",
    catches="a skipped tail, a zero-element tensor that stops the launch, an update that starts at some size only",
    formula=False,
)

_QUICK = ("zero first", "zero middle", "zero last", "all zero", "scalars", "small odd", "thousand", "many", "blocks")
_FULL = (*_QUICK, "large")
# Their sizes mean the same in every dtype.
_ONCE = ("many", "blocks")
# How many elements repeat a pattern, of a length that no power of two is a multiple of: what lands elsewhere differs.
MILLION, BEYOND = (f"repeated beyond 2^{power} elements" for power in (20, 31))
_REPEATED = {MILLION: 2**20 + 4097, BEYOND: 2**31 + 4097}
_PATTERN = "4099"
# More tensors than whoever launches them has room for at once.
_CROWD, _MEMBER = "as 2,500 tensors", "2x3"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for shapes in _FULL if scope.suite == "full" else _QUICK:
        for dtype in scope.some("float32", "bfloat16"):
            if scope.suite == "full" or shapes not in _ONCE or dtype == scope.some("float32")[0]:
                steps = 1 if shapes == "many" else 2
                yield scope.case(subject, subject.fullest, dtype, shapes=shapes, steps=steps)
    if subject.sees != "all" and not subject.sparse:
        usual = scope.some("float32")[0]
        yield scope.case(subject, subject.fullest, usual, shapes=_MEMBER, steps=1, variant=_CROWD)
    if subject.sees == "element" and not subject.sparse:
        for variant in (MILLION, BEYOND) if scope.suite == "full" and scope.device != "cpu" else (MILLION,):
            usual = scope.some("float32" if variant == MILLION else "bfloat16")[0]
            yield scope.case(subject, subject.fullest, usual, shapes=_PATTERN, steps=2, variant=variant)


def space(subject: Subject, scope: Scope) -> Space:
    options = {option.name: option.values for option in subject.options}
    return Space(options, subject.forbidden, scope.some("float32", "bfloat16"), steps=(1, 3))


def check(trial: Trial) -> None:
    from optbench.trials import repeated

    if trial.case.variant in _REPEATED:
        repeated.follow(trial, _REPEATED[trial.case.variant])
    elif trial.case.variant == _CROWD:
        repeated.follow_many(trial, 2_500)
    else:
        trial.follow_oracle()
