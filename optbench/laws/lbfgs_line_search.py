"""lbfgs.line_search: what the strong-Wolfe line search accepts fulfils the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.watched import Evaluation, Watched

LAW = Law(
    id="lbfgs.line_search",
    level="math",
    statement="every step of a line search goes downhill, falls enough and flattens enough, however long the first try",
    catches="a condition with the wrong sign or constant, a bracket's wrong end, the last trial instead of the best",
    host=True,
)

# Sufficient decrease and curvature, as Nocedal and Wright have them for quasi-Newton methods.
_C1, _C2 = 1e-4, 0.9
# One line search a step, with evaluations enough to end it.
_ONE = {"max_iter": 1, "max_eval": 40, "line_search_fn": "strong_wolfe"}
_FACTORS: dict[str, Sequence[Any]] = {
    "lr": (1, 1e-3, 50.0),
    "history_size": (100, 1, 3),
    "variant": ("quadratic", "rosenbrock", "wells"),
}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    dtypes = [dtype for dtype in ("float64", "float32") if dtype in scope.dtypes]
    if subject.name != "lbfgs" or not dtypes:
        return
    factors = {**_FACTORS, "dtype": dtypes}
    for row in pairwise.rows(factors, (), scope.seed if scope.suite == "full" else 0):
        variant, dtype = row.pop("variant"), row.pop("dtype")
        steps = 30 if scope.suite == "full" else 6
        yield scope.case(subject, {**row, **_ONE}, dtype, shapes="pair", variant=variant, steps=steps)


def check(trial: Trial) -> None:
    from optbench.trials.watched import Watched

    watched = Watched(trial, trial.case.variant)
    for k in range(trial.case.steps):
        _, seen = watched.step()
        if len(seen) > 1:
            _accepted(watched, seen, f"step {k + 1}")
    trial.checker.true("there was a line search", trial.checker.comparisons > 0)


def _accepted(watched: Watched, seen: Sequence[Evaluation], what: str) -> None:
    from optbench.trials.watched import slack, vector

    checker, trial, start = watched.trial.checker, watched.trial, seen[0]
    d, t = vector(watched.state("d")), float(vector(watched.state("t")))
    slope = float(start.grad @ d)
    checker.true(f"{what}, the direction goes downhill", slope < slack(trial, float(start.grad.abs() @ d.abs())),
                 f"the slope is {slope:.6g}")  # fmt: skip
    reach = slack(trial, float(start.at.abs().max() + (t * d).abs().max()))
    off = float((watched.at - start.at - t * d).abs().max())
    checker.true(f"{what}, the move is t*d", off <= reach, f"it is {off:.3g} off")
    found = [each for each in seen if bool((each.at == watched.at).all())]
    checker.true(f"{what} ends where the closure was evaluated", bool(found))
    # Near the optimum the loss's own rounding hides from the first trial what it would find.
    hidden = -slope * min(1.0, float(watched.group["lr"])) <= slack(trial, start.loss)
    for end in [] if hidden else found[-1:]:
        excess = end.loss - (start.loss + _C1 * t * slope)
        checker.true(f"{what}, the loss falls enough", excess <= slack(trial, start.loss),
                     f"{end.loss:.9g} from {start.loss:.9g} is {excess:.3g} too high at t = {t:.3g}")  # fmt: skip
        steep = abs(float(end.grad @ d)) - _C2 * abs(slope)
        checker.true(f"{what}, the slope flattens enough", steep <= slack(trial, float(end.grad.abs() @ d.abs())),
                     f"|{float(end.grad @ d):.6g}| is over 0.9*|{slope:.6g}| at t = {t:.3g}")  # fmt: skip
