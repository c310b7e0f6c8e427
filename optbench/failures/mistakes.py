"""Classes of mistakes: what each would have made of a step, by the float64 oracle asked otherwise. A table of data.

A class is a name and a function that gives, for a step that came out wrong, what the mistake would have given: the
oracle under other options, from other inputs, or at another step. No class knows an algorithm: it knows names that all
declarations share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from optbench.case import format_value
from optbench.failures import mistakes_of_memory
from optbench.failures.mistakes_of_memory import Explanations
from optbench.failures.scene import Expectation, Scene
from optbench.trials.error import Quantity, real, real_dtype, scaled, spacing, worst

# Beyond any step at which a bias correction is felt.
_HUGE = 10**9
# So many elements have to agree before they speak for a constant.
_AGREEING = 4


def _gradient(change: Callable[[Tensor], Tensor]) -> Callable[[Scene], Explanations]:
    def explanations(scene: Scene) -> Explanations:
        grad = scene.before.grad
        if grad is not None and grad.layout is torch.strided:
            yield "", scene.outcome(before=replace(scene.before, grad=change(grad)))

    return explanations


def _sign(scene: Scene) -> Explanations:
    if scene.full.get("maximize"):
        yield "", scene.outcome({"maximize": False})


def _decay(
    joins: Callable[[float, float], float] = lambda lr, decay: 0.0,
    shrinks: Callable[[float, float], float] = lambda lr, decay: 1.0,
) -> Callable[[Scene], Explanations]:
    """The step without decay, from inputs that have it; both functions take lr and weight_decay.

    Args:
        joins: how much of the parameter is added to the gradient.
        shrinks: what the parameter is multiplied by before the step.
    """

    def explanations(scene: Scene) -> Explanations:
        lr, decay, grad = scene.full.get("lr"), scene.full.get("weight_decay"), scene.before.grad
        if lr is None or not decay or grad is None or grad.layout is not torch.strided:
            return
        # The oracle turns the gradient for `maximize`, what has joined it too.
        sign = -1.0 if scene.full.get("maximize") else 1.0
        param = scene.before.param
        given = replace(scene.before, param=param * shrinks(lr, decay), grad=grad + sign * joins(lr, decay) * param)
        yield "", scene.outcome({"weight_decay": 0.0}, given)

    return explanations


def _lr(change: Callable[[float], float]) -> Callable[[Scene], Explanations]:
    def explanations(scene: Scene) -> Explanations:
        if scene.full.get("lr"):
            yield "", scene.outcome({"lr": change(scene.full["lr"])})

    return explanations


def _corrections(scene: Scene, by: int = 0) -> tuple[float, float] | None:
    """1 - beta**t of both moments at this step, or at one that is `by` later."""
    betas = scene.full.get("betas")
    if betas is None:
        return None
    step = scene.before.step + 1 + by
    return 1 - betas[0] ** step, 1 - betas[1] ** step


def _uncorrected(scene: Scene) -> Explanations:
    begun, corrections = scene.begun, _corrections(scene)
    if begun is None or not scene.subject.counter:
        return
    late = replace(begun, step=_HUGE)
    yield "", scene.outcome(before=late)
    lr = scene.full.get("lr")
    if corrections and lr:
        yield "of the first moment", scene.outcome({"lr": lr * corrections[0]})
        yield "of the second moment", scene.outcome({"lr": lr / corrections[0]}, late)


def _miscounted(scene: Scene) -> Explanations:
    begun, lr = scene.begun, scene.full.get("lr")
    if begun is None or not scene.subject.counter:
        return
    for by in (1, -1):
        other = replace(begun, step=begun.step + by)
        yield "", scene.outcome(before=other)
        corrections, others = _corrections(scene), _corrections(scene, by)
        if lr and corrections and others and others[0]:
            yield "in the first bias correction", scene.outcome({"lr": lr * corrections[0] / others[0]})
            yield "in the second bias correction", scene.outcome({"lr": lr * others[0] / corrections[0]}, other)


def _first_for_later(scene: Scene) -> Explanations:
    """A parameter's first step is taken as a later one from zeros, or a later one as the first."""
    if scene.before.state:
        yield "a later step as the first", scene.outcome(before=replace(scene.before, state={}, numbers={}, step=0))
    elif scene.subject.elementwise:
        zeros = {name: torch.zeros_like(scene.before.param) for name in scene.subject.state_names(scene.options)}
        yield "the first step as a later one", scene.outcome(before=replace(scene.before, state=zeros))


def _eps_placement(scene: Scene) -> Explanations:
    eps, corrections = scene.full.get("eps"), _corrections(scene)
    if not isinstance(eps, float) or not eps:
        return
    if corrections:
        yield "before the bias correction", scene.outcome({"eps": eps / corrections[1] ** 0.5})
        yield "times the bias correction", scene.outcome({"eps": eps * corrections[1] ** 0.5})
    yield "inside the root", _inside_the_root(scene, eps)


def _inside_the_root(scene: Scene, eps: float) -> Expectation | None:
    """What x + y/(s + eps) gives with sqrt(s*s + eps) below; x, y and s follow from the step at three values of eps."""
    outcomes = [scene.outcome({"eps": value}) for value in (0.0, eps, 1e30)]
    if None in outcomes:
        return None
    found = {}
    for name, judged in scene.expected.quantities.items():
        whole, part, rest = (outcome[name].expected for outcome in outcomes if outcome is not None)
        size = eps / ((whole - rest) / (part - rest) - 1)
        value = rest + (whole - rest) * size / (size * size + eps).sqrt()
        moved = torch.where((whole == part) | ~value.isfinite(), judged.expected, value)
        found[name] = _instead(scene, judged, moved)
    return found


def _instead(scene: Scene, judged: Quantity, expected: Tensor) -> Quantity:
    """A quantity that is expected to be something else."""
    dtype = real_dtype(scene.dtype)
    unit = judged.unit + 2 * spacing(expected, dtype)
    return replace(judged, expected=expected, unit=unit, limit=expected.to(dtype).to(torch.float64))


def _multiplied_twice(scene: Scene) -> Explanations:
    """0-d state, such as a running product, that has taken this step already."""
    begun = scene.begun
    if begun is not None and scene.expected.numbers:
        yield "", scene.outcome(before=replace(begun, numbers=dict(scene.expected.numbers)))


def _complex_square(scene: Scene) -> Explanations:
    """A running mean of squares that takes g*g, or its absolute value, where real and imaginary part count alone."""
    given = scene.before.grad
    if not scene.dtype.is_complex or given is None:
        return
    for name in scene.before.state or scene.subject.state_names(scene.options):
        judged = scene.expected.quantities.get(name)
        kept = _kept_part(scene, name)
        if judged is None or kept is None or bool((judged.expected - kept < 0).any()):
            continue
        grad = torch.view_as_complex((judged.expected - kept).sqrt() * real(given).sign())
        for product in (grad * grad, grad * grad.conj()):
            expected = kept + torch.view_as_real(product)
            yield name, {name: _instead(scene, judged, expected)}


def _kept_part(scene: Scene, name: str) -> Tensor | None:
    """What a step keeps of a state entry that it is linear in."""
    state = scene.before.state
    if name not in state:
        return torch.zeros_like(scene.expected.quantities[name].expected)
    doubled = scene.outcome(before=replace(scene.before, state={**state, name: 2 * state[name]}))
    return None if doubled is None else doubled[name].expected - scene.expected.quantities[name].expected


def _of_another_group(scene: Scene) -> Explanations:
    for options in scene.others:
        unlike = {name: value for name, value in scene.subject.complete(options).items() if scene.full[name] != value}
        if unlike:
            yield _listed(unlike), scene.outcome(unlike)


def _ignored(scene: Scene) -> Explanations:
    """An option that has no effect: the step is as with its default, or with a value that other cases have."""
    for option in scene.subject.options:
        for value in dict.fromkeys((option.default, *option.values)):
            if value != scene.full[option.name]:
                yield f"as if {_listed({option.name: value})}", scene.outcome({option.name: value})


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={format_value(value)}" for name, value in options.items())


def _scaled(scene: Scene) -> Explanations:
    """The parameter moves as it should, times a constant."""
    judged = scene.expected.quantities["param"]
    due, made = judged.expected - scene.old["param"], scene.observed["param"] - scene.old["param"]
    if int((due.abs() > 100 * judged.unit).sum()) < _AGREEING:
        return
    # Where it moves farthest, rounding says least.
    at = int((due / judged.unit).abs().argmax())
    factor = float(made.reshape(-1)[at] / due.reshape(-1)[at])
    expected = scene.old["param"] + factor * due
    moved = _instead(scene, judged, expected)
    moved = replace(moved, unit=moved.unit * (2 + abs(factor)))
    yield f"its step is {factor:.4g} times as large", {**scene.expected.quantities, "param": moved}


def _off(scene: Scene) -> Explanations:
    """A number among the options that is as if it were another one: the one that gives the worst element."""
    if scene.observed["param"].numel() < _AGREEING or scene.blind:
        return
    for option, value in scene.full.items():
        parts = value if isinstance(value, tuple) else (value,)
        for i, part in enumerate(parts):
            if isinstance(part, (int, float)) and not isinstance(part, bool) and part:

                def changed(number: float, option: str = option, parts: Any = parts, i: int = i) -> dict[str, Any]:
                    whole = (*parts[:i], number, *parts[i + 1 :])
                    return {option: whole if len(parts) > 1 else number}

                number, outcome = _fitted(scene, changed, float(part))
                shown = next(text for text in (f"{number:.{digits}g}" for digits in (4, 8, 17)) if float(text) != part)
                yield f"as if {_listed(changed(float(shown)))}", outcome


def _fitted(
    scene: Scene, changed: Callable[[float], dict[str, Any]], value: float
) -> tuple[float, Expectation | None]:
    """The number that gives what was observed where that is most wrong, by the secant method."""
    errors = {name: scaled(scene.observed[name], judged) for name, judged in scene.expected.quantities.items()
              if name in scene.observed and judged.expected.numel()}  # fmt: skip
    name = max(errors, key=lambda name: worst(errors[name]))
    at = int(errors[name].nan_to_num(nan=torch.inf).argmax())
    seen = float(scene.observed[name].reshape(-1)[at])
    points: list[tuple[float, float]] = []
    number, outcome = value, None
    for guess in (value, value * 1.01, *[None] * 8):
        if guess is None:
            (a, at_a), (b, at_b) = points[-2:]
            if at_a == at_b or at_b == 0:
                break
            guess = b - at_b * (b - a) / (at_b - at_a)
        number, outcome = guess, scene.outcome(changed(guess))
        if outcome is None:
            break
        points.append((number, float(outcome[name].expected.reshape(-1)[at]) - seen))
    return number, outcome


# The first that explains what was observed is named: what says more stands before what says less.
CLASSES: tuple[tuple[str, Callable[[Scene], Explanations]], ...] = (
    ("stale tensor", mistakes_of_memory.stale),
    ("parameter not updated", mistakes_of_memory.parameter_unmoved),
    ("not updated at all", mistakes_of_memory.unmoved),
    ("state not stored", mistakes_of_memory.not_stored),
    ("stride pairing", mistakes_of_memory.walked),
    ("tail skipped", mistakes_of_memory.tail),
    ("sign of maximize ignored", _sign),
    ("gradient's sign turned", _gradient(lambda grad: -grad)),
    ("gradient ignored", _gradient(torch.zeros_like)),
    ("decay decoupled", _decay(shrinks=lambda lr, decay: 1 - lr * decay)),
    ("decay coupled", _decay(joins=lambda lr, decay: decay)),
    ("decay ignored", _decay()),
    ("decay not multiplied by lr", _decay(shrinks=lambda lr, decay: 1 - decay)),
    ("decay multiplied by lr", _decay(joins=lambda lr, decay: lr * decay)),
    ("decay's sign turned", _decay(shrinks=lambda lr, decay: 1 + lr * decay)),
    ("decay's sign turned", _decay(joins=lambda lr, decay: -decay)),
    ("decay applied twice", _decay(shrinks=lambda lr, decay: (1 - lr * decay) ** 2)),
    ("decay applied twice", _decay(joins=lambda lr, decay: 2 * decay)),
    ("lr applied twice", _lr(lambda lr: lr * lr)),
    ("lr not applied", _lr(lambda lr: 1.0)),
    ("missing bias correction", _uncorrected),
    ("step counter off by one", _miscounted),
    ("first step mistaken", _first_for_later),
    ("eps placement", _eps_placement),
    ("running product multiplied in twice", _multiplied_twice),
    ("complex square", _complex_square),
    ("wrong group's option", _of_another_group),
    ("option ignored", _ignored),
    ("constant off", _off),
    ("scaled by a constant", _scaled),
)
