"""opt.partition: how parameters are listed, grouped and cut into tensors is no part of the algorithm."""

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

LAW = Law(
    id="opt.partition",
    level="math",
    statement="parameters in another order, in other groups or optimizers, beside others, cut or joined: same results",
    catches="tensors or options taken from a neighbour, work that depends on the place in a list, a launch or a bucket",
    host=True,
    formula=False,
)

Leaves = list[Any]


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    full = scope.suite == "full"
    options = {option.name: option.values if full else option.values[:2] for option in subject.options}
    factors: dict[str, Sequence[Any]] = {**options, "variant": tuple(_variants(subject))}
    factors |= {"dtype": scope.some("float32", "bfloat16", "complex64"), "moment": ("every step", "late")}
    # What is joined has one gradient, which is there or is not.
    forbidden = [*subject.forbidden, (("variant", "joined"), ("moment", "late"))]
    for row in pairwise.rows(factors, forbidden, scope.seed if full else 0):
        variant, dtype, moment = row.pop("variant"), row.pop("dtype"), row.pop("moment")
        yield scope.case(subject, row, dtype, moment=moment, variant=variant, steps=2 if subject.closure else 3)


def _variants(subject: Subject) -> Iterable[str]:
    """The ways to hand parameters over that mean the same to an algorithm that sees so much of them."""
    yield "reversed"
    if subject.sees != "all":
        yield from ("interleaved", "group each", "groups reversed", "optimizer each", "beside other dtypes")
    if subject.sees != "tensor":
        yield from ("cut", "joined")


def check(trial: Trial) -> None:
    from optbench.trials.likeness import agree

    agree(trial, lambda moved: _outcome(moved, "plain"), _outcome(trial, trial.case.variant))


def _outcome(trial: Trial, variant: str) -> dict[str, Tensor]:
    """Parameters and state after the case's steps, in the order and shapes of the problem."""
    from optbench.trials.error import real

    starts = [trial.problem.place_param(values).tensor.detach() for values in trial.problem.start]
    leaves = [leaf.requires_grad_() for leaf in _cut(starts, variant)]
    optimizers = [_built(trial, groups) for groups in _arranged(trial, leaves, variant)]
    for k in range(trial.case.steps):
        _step(trial, optimizers, leaves, k, variant)
    names = () if trial.subject.closure else trial.subject.tensor_names(trial.case.options)
    kept = [_state(trial, optimizers, leaf) for leaf in leaves]
    places = [_places(trial, optimizers, leaf) for leaf in leaves]
    found = {}
    for name, values in [*((name, [state.get(name) for state in kept]) for name in names), ("", leaves)]:
        for i, value in enumerate(_whole(trial, values, variant)):
            if value is not None:
                told = f"{name} of parameter {i}".removeprefix(" of ")
                whole = found[told] = real(value.detach()).cpu()
                if variant in ("cut", "joined"):
                    texts = [place.get(name, "") for place in places]
                    trial.known_as(whole, _text(trial, texts, i, variant, value.is_complex()))
    return found


def _places(trial: Trial, optimizers: list[Any], leaf: Any) -> dict[str, str]:
    """What a script calls a parameter, under no name, and its state entries."""
    its = next((each for each in optimizers if leaf in each.state), None)
    found = {"": trial.name(leaf)}
    for own in its.state[leaf] if its else ():
        found[trial.state_alias.get(own, own)] = f"{trial.name(its)}.state[{trial.name(leaf)}][{own!r}]"
    return found


def _text(trial: Trial, pieces: list[str], i: int, variant: str, pairs: bool) -> str:
    """What `_whole` makes of pieces, for a script."""
    if variant == "joined":
        sizes = [start.numel() for start in trial.problem.start]
        text = f"{pieces[0]}.detach().split({sizes})[{i}]"
    else:
        text = f"torch.cat([{pieces[2 * i]}.detach(), {pieces[2 * i + 1]}.detach()])"
    text = f"{text}.view({tuple(trial.problem.shapes[i])})"
    return f"torch.view_as_real({text})" if pairs else text


def _state(trial: Trial, optimizers: list[Any], leaf: Any) -> dict[str, Any]:
    kept: dict[str, Any] = next((each.state[leaf] for each in optimizers if leaf in each.state), {})
    return {trial.state_alias.get(name, name): value for name, value in kept.items()}


def _arranged(trial: Trial, leaves: Leaves, variant: str) -> list[list[Leaves]]:
    """For each optimizer the parameters of each of its groups."""
    if variant == "reversed":
        return [[leaves[::-1]]]
    if variant == "interleaved":
        return [[leaves[1::2] + leaves[::2]]]
    if variant == "group each":
        return [[[leaf] for leaf in leaves]]
    if variant == "groups reversed":
        return [[[leaf] for leaf in leaves[::-1]]]
    if variant == "optimizer each":
        return [[[leaf]] for leaf in leaves]
    if variant == "beside other dtypes":
        others = [_other(trial, dtype) for dtype in ("float64", "bfloat16", "float32")]
        return [[[others[0], leaves[0], others[1], *leaves[1:], others[2]]]]
    return [[leaves]]


def _other(trial: Trial, dtype: str) -> Any:
    """A parameter that is no part of the problem, with a gradient that stays."""
    import torch

    other = torch.ones(5, 3, dtype=getattr(torch, dtype), device=trial.case.device).requires_grad_()
    grad = torch.full_like(other, 0.5).detach()
    other.grad = grad.to_sparse(1) if trial.subject.sparse else grad
    return other


def _built(trial: Trial, groups: list[Leaves]) -> Any:
    return trial.build(groups[0] if len(groups) == 1 else [{"params": group} for group in groups], trial.case.options)


def _step(trial: Trial, optimizers: list[Any], leaves: Leaves, k: int, variant: str) -> None:
    problem = trial.problem
    # One objective for all steps, where a step sees its curvature: others would throw the parameters far away.
    at = trial.case.steps - 1 if trial.subject.closure else k
    grads: list[Any] = [problem.grad(i, at) for i in range(len(problem))]

    def put() -> None:
        placed = [None if grad is None else problem.place_grad(grad).tensor for grad in grads]
        for leaf, grad in zip(leaves, _cut(placed, variant), strict=True):
            leaf.grad = grad

    def closure() -> Any:
        value = problem.objective(_whole(trial, leaves, variant), at, grads.__setitem__)()
        put()
        return value

    put()
    for optimizer in optimizers:
        trial.advance(optimizer, closure)


def _cut(tensors: Leaves, variant: str) -> Leaves:
    """The tensors in two pieces each, or in one piece, or as they are; None has pieces of None."""
    import torch

    if variant == "joined":
        return [torch.cat([tensor.reshape(-1) for tensor in tensors])]
    if variant != "cut":
        return tensors
    pieces: Leaves = []
    for tensor in tensors:
        # At a third, so that the second piece begins where no vector does.
        cut = (None, None) if tensor is None else tensor.reshape(-1).tensor_split([tensor.numel() // 3])
        pieces += [None if piece is None else piece.clone() for piece in cut]
    return pieces


def _whole(trial: Trial, pieces: Leaves, variant: str) -> Leaves:
    """What `_cut` was given, in the problem's shapes."""
    import torch

    shapes = trial.problem.shapes
    if variant == "joined":
        if pieces[0] is None:
            return [None] * len(shapes)
        parts = pieces[0].detach().split([start.numel() for start in trial.problem.start])
    elif variant == "cut":
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        parts = [None if first is None else torch.cat([first.detach(), second.detach()]) for first, second in pairs]
    else:
        return pieces
    return [None if part is None else part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
