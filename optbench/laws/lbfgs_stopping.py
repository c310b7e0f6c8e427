"""lbfgs.stopping: a step goes on while no rule ends it, and ends with the first that does."""

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
    id="lbfgs.stopping",
    level="math",
    statement="evaluations and iterations are counted, and a step ends when and only when one of its rules says so",
    catches="one evaluation too many, a tolerance of the wrong thing, a rule that is looked at too late or never",
    host=True,
)

_FACTORS: dict[str, Sequence[Any]] = {
    "lr": (1, 0.1),
    "max_iter": (1, 3, 12),
    "max_eval": (None, 1, 4),
    "tolerance_grad": (1e-7, 0.3, 1e9),
    "tolerance_change": (1e-9, 0.05),
    "line_search_fn": (None, "strong_wolfe"),
    "variant": ("quadratic", "shallow", "rosenbrock", "wells"),
}
# Every rule where no other one can end a step before.
_OFF = {"max_iter": 12, "max_eval": 60, "tolerance_grad": 0.0, "tolerance_change": 0.0}
_RULES: tuple[dict[str, Any], ...] = ({"max_eval": 4}, {"tolerance_grad": 0.3}, {"tolerance_change": 0.05}, {})


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    dtypes = [dtype for dtype in ("float64", "float32") if dtype in scope.dtypes]
    if subject.name != "lbfgs" or not dtypes:
        return
    factors = {**_FACTORS, "dtype": dtypes}
    rows = [{**_OFF, **rule, "variant": name, "dtype": dtypes[0]} for rule in _RULES for name in _FACTORS["variant"]]
    rows += pairwise.rows(factors, (), scope.seed if scope.suite == "full" else 0)
    for row in rows:
        variant, dtype = row.pop("variant"), row.pop("dtype")
        yield scope.case(subject, row, dtype, shapes="pair", variant=variant, steps=3)


def check(trial: Trial) -> None:
    from optbench.trials.watched import Watched

    watched, checker = Watched(trial, trial.case.variant), trial.checker
    for k in range(trial.case.steps):
        what, counts = f"step {k + 1}", _counts(watched)
        result, seen = watched.step()
        iterations, evaluations = (after - before for after, before in zip(_counts(watched), counts, strict=True))
        checker.true(f"{what}, the closure is called with gradients enabled", all(each.grad_enabled for each in seen))
        checker.true(f"{what}, what the closure returned first is returned", result is watched.returned[0])
        checker.same(f"{what}, evaluations that are counted", evaluations, len(seen))
        most = watched.group["max_iter"]
        checker.true(f"{what}, no more than {most} iterations", iterations <= most, f"there were {iterations}")
        # An iteration that has begun makes one evaluation, whatever is left.
        most = watched.group["max_eval"] + 1
        checker.true(f"{what}, no more than {most} evaluations", len(seen) <= most, f"there were {len(seen)}")
        for i in range(len(seen) - 1):
            # Where a line search evaluates, only the first evaluation of a step is known to end nothing.
            if not i or watched.group["line_search_fn"] is None:
                rules = [name for name, (by, reach) in _rules(watched, seen[: i + 1]).items() if by > reach]
                checker.true(f"{what} goes on after evaluation {i + 1}", not rules, f"though {rules} ends it")
        _ended(watched, seen, iterations, what)


def _counts(watched: Watched) -> tuple[int, int]:
    return int(watched.state("n_iter") or 0), int(watched.state("func_evals") or 0)


def _rules(watched: Watched, seen: Sequence[Evaluation]) -> dict[str, tuple[float, float]]:
    """By how much each rule holds after the last of these evaluations, and how much of that may be rounding."""
    from optbench.trials.watched import slack

    group, now = watched.group, seen[-1]
    rules = {"tolerance_grad": (group["tolerance_grad"] - float(now.grad.abs().max()), 0.0)}
    if len(seen) > 1:
        before, tolerance = seen[-2], group["tolerance_change"]
        reach = slack(watched.trial, float(now.at.abs().max()))
        rules["tolerance_change of parameters"] = (tolerance - float((now.at - before.at).abs().max()), reach)
        rules["tolerance_change of the loss"] = (tolerance - abs(now.loss - before.loss), 0.0)
        # It ends a step when it is reached.
        rules["max_eval"] = (len(seen) - group["max_eval"] + 0.5, 0.0)
    return rules


def _ended(watched: Watched, seen: Sequence[Evaluation], iterations: int, what: str) -> None:
    """Whether any rule ended the step, by where it left the parameters and the state."""
    checker, group = watched.trial.checker, watched.group
    if not iterations:
        by, _ = _rules(watched, seen[:1])["tolerance_grad"]
        checker.true(f"{what} ends at once, where no gradient is large", by >= 0, f"one is {-by:.3g} larger")
        checker.same(f"{what} ends at once, evaluations", len(seen), 1)
        checker.equal(f"{what} ends at once, the parameters", watched.at, seen[0].at)
        return
    last = [each for each in seen if bool((each.at == watched.at).all())][-1:]
    ended = iterations == group["max_iter"] or len(seen) >= group["max_eval"]
    ended |= any(by >= -reach for each in last for by, reach in _last(watched, each))
    told = f"after {iterations} iterations and {len(seen)} evaluations"
    checker.true(f"{what} ends because a rule says so", ended, told)


def _last(watched: Watched, last: Evaluation) -> Iterable[tuple[float, float]]:
    """The rules as the last iteration met them, from the state that it left."""
    from optbench.trials.watched import slack, vector

    group, trial = watched.group, watched.trial
    d, t, loss = (vector(watched.state(name)) for name in ("d", "t", "prev_loss"))
    slope = float(last.grad @ d)
    yield group["tolerance_grad"] - float(last.grad.abs().max()), 0.0
    yield group["tolerance_change"] + slope, slack(trial, float(last.grad.abs() @ d.abs()))
    yield group["tolerance_change"] - float((d * t).abs().max()), slack(trial, group["tolerance_change"])
    yield group["tolerance_change"] - abs(last.loss - float(loss)), slack(trial, last.loss)
