"""opt.version: autograd has to know that the weights moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.version",
    level="torch",
    statement="a step raises the version counters of the parameters, so that autograd refuses a stale backward",
    catches="kernels that write behind autograd's back: gradients computed from weights that are no longer there",
    host=True,
    formula=False,
)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for dtype in scope.some("float32", "bfloat16"):
        for layout in ("contiguous", "grad_unlike"):
            yield scope.case(subject, {}, dtype, layout=layout, shapes="matrices", steps=2)


def check(trial: Trial) -> None:
    run = trial.run()
    checker = trial.checker
    for k in range(trial.case.steps):
        versions = [param._version for param in run.params]
        run.step(k)
        for i, (param, version) in enumerate(zip(run.params, versions, strict=True)):
            checker.true(f"step {k + 1}, version of parameter {i} rises", param._version > version,
                         f"it stays {version}", f"params[{i}]._version > 0")  # fmt: skip
    loss = sum((param * param).sum() for param in run.params)
    run.step(0)
    try:
        loss.backward()  # type: ignore[union-attr]
    except RuntimeError as error:
        checker.true("autograd names the reason", "inplace" in str(error) or "in-place" in str(error), str(error))
    else:
        checker.true(
            "autograd refuses a backward through weights that moved",
            False,
            "it computed gradients from changed weights",
        )
