"""lbfgs.search: where a function is evaluated, how often, and when that ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import AsTensor, Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial

LAW = Law(
    id="lbfgs.search",
    level="math",
    statement="on curved, flat and wavy functions it evaluates what torch's evaluates, as often, and stops there too",
    catches="a search that takes too short a fall, a bracket on the wrong side, a rule for stopping that is off by one",
    host=True,
)

_STEPS = 3
# Of double precision's roundings, which a search over a valley multiplies.
_NEAR = 1e-6
# Of a rate in a tensor of single precision all digits of double have to be left after few multiplications.
_EXACT = 1e-11
_START = (-1.25, 1.0, 0.5, -0.75, 2.125, 0.0625)
_WOLFE: dict[str, Any] = {"line_search_fn": "strong_wolfe", "max_iter": 1, "max_eval": 60}
# A wave further the function is as steep as at the start, and lower by less than Wolfe asks. From one side of an even
# bowl to the other it is the same to the last bit, and in bowls whose numbers are powers of two, or on a straight line,
# a tolerance is met to the last bit.
_EDGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a wave further", {"line_search_fn": "strong_wolfe", "lr": 1 / (0.2 * math.pi + 5e-6), "max_iter": 8}),
    ("a dip", {"line_search_fn": "strong_wolfe", "max_iter": 1, "max_eval": 40}),
    ("a stair", {**_WOLFE, "lr": 0.1}),
    ("a level", _WOLFE),
    *(("a ledge", {**_WOLFE, "max_eval": most}) for most in (60, 2)),
    ("straight", {**_WOLFE, "lr": 0.125, "max_eval": 5}),
    *(("a kink", {**_WOLFE, "lr": lr, "tolerance_change": change}) for lr, change in ((0.1, 1e-9), (1, 1e-2))),
    *((f"just {how} enough", _WOLFE) for how in ("low", "flat")),
    ("a notch", {**_WOLFE, "lr": 1e-9}),
    ("a hair of curvature", {"lr": 5e9, "tolerance_change": 0.0, "tolerance_grad": 0.0, "max_iter": 2}),
    ("to and fro", {"lr": 2.0, "tolerance_change": 0.0, "max_iter": 8}),
    ("to and fro", {**_WOLFE, "lr": 2.0, "max_eval": 1}),
    # Who does not come back to the very start of so long a way is elsewhere.
    ("to and fro", {**_WOLFE, "lr": 1e17}),
    ("to and fro", {"lr": 1, "tolerance_change": 0.0, "tolerance_grad": 0.0, "max_iter": 8}),
    ("to and fro", {"lr": 1, "tolerance_change": 0.25, "max_iter": 8}),
    ("a deep bowl", {"lr": 0.125, "tolerance_change": 0.125, "max_iter": 8}),
    ("a shallow bowl", {"lr": math.sqrt(2.0**30 * 1.0003e-10), "tolerance_change": 0.0, "max_iter": 2}),
    ("a hill", {"max_iter": 8}),
    ("valley", {"max_iter": 0}),
    # Its only slope is 1.
    *(("straight", {"tolerance_grad": tolerance, "max_iter": 2}) for tolerance in (1 - 2.0**-13, 1.0)),
    ("a rate in a tensor", {"line_search_fn": "strong_wolfe", "lr": AsTensor(8.0), "max_iter": 1, "max_eval": 40}),
)
_SWELL = tuple(f"swell {number}" for number in range(12))
_COARSE = tuple(f"coarse swell {number}" for number in range(12))
_WALL = tuple(f"wall {number}" for number in range(8))
# Without a line search nothing keeps it from running away, where rounding decides.
_FORBIDDEN = [(("line_search_fn", None), ("lr", 8.0)), (("line_search_fn", None), ("lr", 0.01))]


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if not subject.closure or "float64" not in scope.dtypes:
        return
    factors: dict[str, Any] = {
        "function": tuple(_EVERYWHERE),
        "line_search_fn": ("strong_wolfe", None),
        "lr": (1, 8.0, 0.01, 0.1),
        "max_iter": (8, 4, 1),
        "max_eval": (None, 3, 7),
        "tolerance_grad": (1e-7, 1e-2, 0.0),
        "tolerance_change": (1e-9, 1e-2, 0.0),
        "history_size": (100, 2, 1),
    }
    factors = {name: values for name, values in factors.items() if name == "function" or name in subject.defaults}
    for row in pairwise.rows(factors, _FORBIDDEN, scope.seed if scope.suite == "full" else 0):
        function = row.pop("function")
        yield scope.case(subject, row, "float64", variant=function, steps=_STEPS)
    for number, function in enumerate((*_SWELL, *_WALL, *_COARSE)):
        options = {"line_search_fn": "strong_wolfe", "lr": (1, 8.0)[number % 2], "max_iter": 2, "max_eval": 60}
        if options.keys() <= subject.defaults.keys():
            yield scope.case(subject, options, "float64", variant=function, steps=_STEPS)
    for function, options in _EDGES:
        if options.keys() <= subject.defaults.keys():
            yield scope.case(subject, options, "float64", variant=function, steps=_STEPS)


def check(trial: Trial) -> None:
    from optbench import registry

    options = trial.case.options
    actual, state = _followed(trial, trial.build, options)
    judge = registry.IMPLEMENTATIONS[trial.judge]
    plain = {name: value.value if isinstance(value, AsTensor) else value for name, value in options.items()}
    expected, theirs = _followed(trial, lambda params, given: trial.build(params, given, judge), plain)
    checker, near = trial.checker, _NEAR if plain == options else _EXACT
    for k, (ours, wanted) in enumerate(zip(actual, expected, strict=True), 1):
        for number, (one, other) in enumerate(zip(ours, wanted, strict=False), 1):
            off = _distance(one, other)
            checker.true(f"step {k}, place of evaluation {number}", off <= near, f"{off:.3g} of it away")
        checker.same(f"step {k}, evaluations", len(ours), len(wanted))
    for name in ("n_iter", "func_evals"):
        checker.same(name, state.get(name), theirs.get(name))
    for name in ("old_dirs", "al"):
        checker.same(f"entries of {name}", len(state.get(name) or ()), len(theirs.get(name) or ()))
    kept = len(state.get("old_dirs") or ())
    checker.true("no more pairs than history_size", kept <= trial.subject.complete(options)["history_size"], f"{kept}")


def _followed(
    trial: Trial, build: Callable[[Any, Mapping[str, Any]], Any], options: Mapping[str, Any]
) -> tuple[list[list[Tensor]], Mapping[str, Any]]:
    """The places at which the function was evaluated, a list a step, and the state."""
    import torch

    function = _FUNCTIONS[trial.case.variant]
    halves = torch.tensor(_START, dtype=torch.float64, device=trial.case.device).split(4)
    params = [half.clone().requires_grad_() for half in halves]
    optimizer = build(params, options)
    steps: list[list[Tensor]] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        place = torch.cat(params)
        steps[-1].append(place.detach().clone())
        value = function(place)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    for _ in range(trial.case.steps):
        steps.append([])
        optimizer.step(closure)
    return steps, optimizer.state[params[0]]


def _distance(one: Tensor, other: Tensor) -> float:
    """How far two places are apart, in units of how far they are out; NaN is at NaN."""
    import torch

    if bool(one.isnan().any() or other.isnan().any()):
        return 0.0 if torch.equal(one.isnan(), other.isnan()) else torch.inf
    if not bool(one.isfinite().all() and other.isfinite().all()):
        return 0.0 if torch.equal(one.isfinite(), other.isfinite()) else torch.inf
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-3))


def _rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def _wave(way: Tensor) -> Tensor:
    """Down at first, in waves of length 1, each four fifths as high as the last, on a slope that is hardly one."""
    return -0.1 * (2 * math.pi * way).sin() * 0.8**way - 5e-6 * way


def _swell(number: int) -> Callable[[Tensor], Tensor]:
    """Waves of several lengths and directions in a wide bowl, another one for each number: brackets of every kind."""

    def function(x: Tensor) -> Tensor:
        import torch

        from optbench.trials.problem import generator

        rng = generator(number, "swell")
        ways = 3 * torch.randn(5, len(x), generator=rng, dtype=torch.float64)
        sizes, shifts = torch.rand(2, 5, generator=rng, dtype=torch.float64)
        waves = (sizes * (ways @ x.cpu() + 6 * shifts).cos()).sum()
        return waves.to(x.device) + 0.05 * (x**2).sum()

    return function


def _coarse(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Its slopes, and its value in steps of a quarter: a loss of few digits is often the same in two places."""

    def rounded(x: Tensor) -> Tensor:
        value = function(x)
        return value - value.detach() + (4 * value).round().detach() / 4

    return rounded


def _wall(number: int) -> Callable[[Tensor], Tensor]:
    """A slope with a wall, steeper for each number: what is interpolated lies near an end again and again."""

    def function(x: Tensor) -> Tensor:
        way = x - x.new_tensor(_START)
        return (10.0**number * way.clamp(min=0.0) ** 2.5 - 2 * way).sum()

    return function


def _dip(way: Tensor) -> Tensor:
    """Steep at first and level soon, with a dip that is lower than all else, and still too high by Wolfe's rule."""
    return -way * (-50 * way).exp() - 5e-6 * (-(((way - 0.33) / 0.2) ** 2)).exp() - 1e-6 * way


def _level(way: Tensor) -> Tensor:
    """Steep at first and nearly level soon."""
    return -way * (-50 * way).exp() - 1e-6 * way


def _ledge(way: Tensor) -> Tensor:
    """Nearly level soon, lower than the start and too high by Wolfe's rule, up to a wall."""
    return _level(way) - 9e-6 * way + 1000 * (way - 0.9).clamp(min=0.0) ** 2


def _kink(way: Tensor) -> Tensor:
    """Down to a place where the slope turns at once, so that none is flat enough."""
    return 1000 * (0.01 * way**2 - way + 1.5 * (way - 2).clamp(min=0.0))


def _stair(way: Tensor) -> Tensor:
    """Down, up a stair at a half, and down as before: a trial is higher than the one before it, and not too high."""
    return 0.03 * way**2 - way + 0.901 * ((way - 0.5) / 0.03).sigmoid()


_EVERYWHERE: dict[str, Callable[[Any], Tensor]] = {
    "valley": _rosenbrock,
    "two wells": lambda x: ((x**2 - 1) ** 2 + 0.1 * x).sum(),
    "flat": lambda x: (x**4).sum(),
    "wavy": lambda x: (0.05 * x**2 - (2 * x).cos()).sum(),
    "slope": lambda x: (x.exp() - 1.5 * x).sum(),
    "far": lambda x: (1 + (x - 3) ** 2).sqrt().sum(),
    "edge": lambda x: (x.abs() ** 1.3).sum() + 0.1 * (x**2).sum(),
    "steep": lambda x: (50 * x**2 + x**3).sum(),
}


def _along(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Of the way from the start along the first axis."""
    return lambda x: function(x[0] - _START[0])


_FUNCTIONS: dict[str, Callable[[Any], Tensor]] = {
    **_EVERYWHERE,
    "a wave further": _along(_wave),
    "a dip": _along(_dip),
    "a stair": _along(_stair),
    "a level": _along(_level),
    "a ledge": _along(_ledge),
    "a kink": _along(_kink),
    # At 1 Wolfe's conditions are just fulfilled, and a bracket as long as the notch is just worth dividing.
    "just low enough": _along(lambda way: -way * (1 - way) ** 2 * (2 - way) / 2 - 1e-4 * way**2),
    "just flat enough": _along(lambda way: way**2 / 20 - way),
    "a notch": _along(lambda way: 3 * (way - 2e-10).clamp(min=0.0) - way),
    # The first pair has the curvature that is not enough yet.
    "a hair of curvature": _along(lambda way: 1e-10 * (way**2 / 2 - 2 * way)),
    "straight": _along(lambda way: -way),
    "to and fro": _along(lambda way: (way + 0.5) ** 2 / 2),
    "a deep bowl": _along(lambda way: 32 * (way + 0.5) ** 2),
    # Its first pair has just the curvature that is asked of it; on the hill the first has none.
    "a shallow bowl": _along(lambda way: (way + 1) ** 2 / 2**11),
    "a hill": _along(lambda way: (way + 0.5).cos()),
    "a rate in a tensor": _rosenbrock,
    **{name: _swell(number) for number, name in enumerate(_SWELL)},
    **{name: _coarse(_swell(number)) for number, name in enumerate(_COARSE)},
    **{name: _wall(number) for number, name in enumerate(_WALL)},
}
