"""opt.eps_regime: gradients far below, near and far above eps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trial import Trial

LAW = Law(
    id="opt.eps_regime",
    level="math",
    statement="right for gradients far below, near and far above eps, for eps from 0 to 1",
    catches="eps added in the wrong place or off by a tenth, which gradients of size 1 cannot show",
)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if "eps" not in subject.defaults:
        # Without an eps the law asks for the same gradients: tiny ones must not be lost.
        for scale in (1e-12, 1e-4, 1.0):
            yield _case(subject, scope, {}, scale, scope.some("float32")[0])
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


def _case(subject: Subject, scope: Scope, options: dict[str, object], scale: float, dtype: str) -> Case:
    return scope.case(subject, options, dtype, shapes="one", stream=f"scale={scale:g}", steps=3)


def check(trial: Trial) -> None:
    trial.follow_oracle()
