"""opt.eps_regime: gradients far below, near and far above eps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.eps_regime",
    level="math",
    statement="right for gradients far below, near and far above eps, for eps from 0 to 1",
    catches="eps added in the wrong place or off by a tenth, which gradients of size 1 cannot show",
)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if "eps" in subject.base:
        # Of one value by its documentation, next to nothing, because it is added elsewhere: that is another law's.
        return
    if "eps" not in subject.defaults:
        # Without an eps the law asks for the same gradients: tiny ones must not be lost.
        for scale in (1e-24, 1e-12, 1e-4, 1.0):
            yield _case(subject, scope, {}, scale, scope.some("float32")[0])
        if "float16" in scope.dtypes:
            yield _case(subject, scope, {}, 1e-4, "float16")
        return
    for number, eps in enumerate(subject.eps):
        for dtype in scope.some("float32", "float64", "bfloat16")[: 3 if scope.suite == "full" else 2]:
            for factor in (1e-3, 1.0, 1e3):
                options: dict[str, object] = {"eps": eps}
                if "amsgrad" in subject.defaults and number % 2:
                    options["amsgrad"] = True
                # Squares of gradients below 1e-19 are no float32; with eps of 0 the scale itself is what varies.
                size = eps[0] if isinstance(eps, tuple) else eps
                yield _case(subject, scope, options, max(1e-12, (size or 1e-6) * factor), dtype)
        if "capturable" in subject.defaults:
            yield _case(subject, scope, {"eps": eps, "capturable": True}, eps or 1e-6, scope.some("float64")[0])
    if 0.0 in subject.eps:
        yield _case(subject, scope, {"eps": 0.0}, 0.0, scope.some("float32")[0])
    # Sums of squares leave the range of float16 long before their mean does, products of means before their root does.
    for scale in () if "float16" not in scope.dtypes else (8.0,) if subject.elementwise else (8.0, 0.01):
        yield scope.case(subject, {"eps": subject.eps[2]}, "float16", shapes="long rows", stream=f"scale={scale:g}")


def _case(subject: Subject, scope: Scope, options: dict[str, object], scale: float, dtype: str) -> Case:
    return scope.case(subject, options, dtype, shapes="one", stream=f"scale={scale:g}", steps=max(3, subject.steps))


def check(trial: Trial) -> None:
    trial.follow_oracle()
