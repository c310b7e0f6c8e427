"""lbfgs.history: the pairs that are kept are the last ones, and the direction is what they say."""

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
    from optbench.trials.watched import Evaluation, Watched

LAW = Law(
    id="lbfgs.history",
    level="math",
    statement="the last history_size pairs of positive curvature are kept, and the direction is -H*g of all of them",
    catches="a pair too many or too few, a stale gradient, one loop of the two in the wrong order or scaled wrongly",
    host=True,
)

_LEAST_CURVATURE = 1e-10
# Units of the largest sum that H*g could be: the recursion and the matrix, in float64, differ by five.
_REACH = 64
_FACTORS: dict[str, Sequence[Any]] = {
    "history_size": (100, 1, 2, 5),
    "lr": (1, 0.3),
    "line_search_fn": (None, "strong_wolfe"),
    "variant": ("quadratic", "rosenbrock", "wells"),
}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    dtypes = [dtype for dtype in ("float64", "float32") if dtype in scope.dtypes]
    if subject.name != "lbfgs" or not dtypes:
        return
    factors = {**_FACTORS, "dtype": dtypes}
    for row in pairwise.rows(factors, (), scope.seed if scope.suite == "full" else 0):
        variant, dtype = row.pop("variant"), row.pop("dtype")
        # One iteration a step, so that every pair is seen.
        options = {**row, "max_iter": 1, "max_eval": 40, "tolerance_change": 0.0}
        yield scope.case(subject, options, dtype, shapes="pair", variant=variant, steps=8)


def check(trial: Trial) -> None:
    from optbench.trials.watched import Watched

    watched, size = Watched(trial, trial.case.variant), trial.case.options.get("history_size", 100)
    pairs: list[tuple[Tensor, Tensor]] = []
    previous: Evaluation | None = None
    for k in range(trial.case.steps):
        _, seen = watched.step()
        if previous is not None:
            change, move = seen[0].grad - previous.grad, seen[0].at - previous.at
            if float(change @ move) > _LEAST_CURVATURE:
                pairs.append((change, move))
        previous = seen[0]
        _kept(watched, pairs[-size:], f"step {k + 1}")
        # The first length of all is shorter, and a line search takes another one where its first trial will not do.
        if k and len(seen) == (1 if watched.group["line_search_fn"] is None else 2):
            lr, t = watched.group["lr"], watched.state("t")
            trial.checker.true(f"step {k + 1}, t is lr with all its digits", float(t) == lr, f"{float(t)} for {lr}")
        _direction(watched, seen[0], f"step {k + 1}")


def _kept(watched: Watched, pairs: Sequence[tuple[Tensor, Tensor]], what: str) -> None:
    """The pairs in the state are these, the oldest first, and the numbers beside them are theirs."""
    from optbench.trials.watched import slack, vector

    checker, trial = watched.trial.checker, watched.trial
    ys, ss, ro = (watched.state(name) or [] for name in ("old_dirs", "old_stps", "ro"))
    checker.same(f"{what}, pairs that are kept", (len(ys), len(ss), len(ro)), (len(pairs),) * 3)
    for i, (kept, expected) in enumerate(zip(zip(map(vector, ys), map(vector, ss), strict=False), pairs, strict=False)):
        for name, ours, theirs, at in zip(("y", "s"), kept, expected, (watched.largest, watched.farthest), strict=True):
            off = float((ours - theirs).abs().max())
            checker.true(f"{what}, {name} of pair {i}", off <= slack(trial, at), f"it is {off:.3g} off")
        (y, s), product = kept, 1 / float(vector(ro[i]))
        off, reach = abs(product - float(y @ s)), slack(trial, float(y.abs() @ s.abs()))
        checker.true(f"{what}, ro of pair {i} is 1/(y.s)", off <= reach, f"y.s is {off:.3g} off")
    if pairs and len(ys) == len(ss):
        y, s = vector(ys[-1]), vector(ss[-1])
        scale, off = float(vector(watched.state("H_diag"))), float(y @ s) / float(y @ y)
        reach = slack(trial, float(y.abs() @ s.abs()) / float(y @ y))
        checker.true(f"{what}, H_diag is y.s/(y.y) of the newest pair", abs(scale - off) <= reach, f"{scale} for {off}")


def _direction(watched: Watched, now: Evaluation, what: str) -> None:
    """The direction is -H*g, with the matrix H that the pairs in the state make, one update after the other."""
    import torch

    from optbench.trials.watched import vector

    ys, ss, ro = ([vector(item) for item in watched.state(name) or []] for name in ("old_dirs", "old_stps", "ro"))
    identity = torch.eye(len(now.grad), dtype=torch.float64)
    inverse = identity * float(vector(watched.state("H_diag")))
    for y, s, rho in zip(ys, ss, ro, strict=True):
        left = identity - rho * torch.outer(s, y)
        inverse = left @ inverse @ left.T + rho * torch.outer(s, s)
    expected, d = -inverse @ now.grad, vector(watched.state("d"))
    reach = _REACH * torch.finfo(watched.params[0].dtype).eps * float((inverse.abs() @ now.grad.abs()).max())
    off = float((d - expected).abs().max())
    watched.trial.checker.true(f"{what}, d is -H*g of {len(ys)} pairs", off <= reach, f"it is {off:.3g} off")
