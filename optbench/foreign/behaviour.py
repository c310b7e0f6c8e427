"""What an optimizer that nobody declared does, found out by trying it on made-up tensors in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from optbench.subjects import StateEntry
from optbench.trials.problem import generator

Make = Callable[[list[Tensor], Mapping[str, Any]], Any]

_ANY = ((5,), (3, 4), (), (2, 3, 2, 2))
_MATRICES = ((3, 4), (5, 2))
_STEPS, _MANY = 3, 8
# What two orders of the same float64 operations may differ by.
_ALIKE = 1e-9


@dataclass(frozen=True)
class Behaviour:
    """What was found out.

    Args:
        state: what it keeps for each parameter.
        sees, dimensions, sparse, closure, state_at_start: as of a Subject.
        rests: a rate of zero leaves parameters as they are.
        settable: state that is put into a new optimizer is all that the next step needs.
        repeats: two equal runs are equal.
    """

    state: tuple[StateEntry, ...]
    sees: Literal["element", "tensor", "all"]
    dimensions: int | None
    sparse: bool
    closure: bool
    state_at_start: bool
    rests: bool
    settable: bool
    repeats: bool


@dataclass(frozen=True)
class Manner:
    """How an optimizer is stepped: on what shapes, with a closure, with sparse gradients."""

    make: Make
    shapes: Sequence[tuple[int, ...]] = _ANY
    closure: bool = False
    sparse: bool = False

    def run(
        self,
        starts: Sequence[Tensor],
        options: Mapping[str, Any],
        grads: Callable[[int, int], Tensor],
        steps: int = _STEPS,
    ) -> tuple[list[Tensor], Any]:
        """Parameters and optimizer after some steps; `grads` gives the gradient of parameter `i` at step `k`."""
        params = [start.clone().requires_grad_() for start in starts]
        optimizer = self.make(params, options)
        self.advance(optimizer, params, grads, range(steps))
        return params, optimizer

    def advance(
        self, optimizer: Any, params: Sequence[Tensor], grads: Callable[[int, int], Tensor], steps: range
    ) -> None:
        """Take these steps."""
        for k in steps:
            for i, param in enumerate(params):
                grad = grads(i, k)
                param.grad = grad.to_sparse(1) if self.sparse else grad.clone()
            if self.closure:
                optimizer.step(lambda: torch.ones((), dtype=torch.float64))
            else:
                optimizer.step()

    def accepts(self, options: Mapping[str, Any]) -> bool:
        """Whether it is made with these options and takes a step."""
        try:
            self.run([_draw(shape, i) for i, shape in enumerate(self.shapes)], options, _grads(self.shapes), 1)
        except Exception:
            return False
        return True


    def differs(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two sets of options lead elsewhere."""
        starts = [_draw(shape, i) for i, shape in enumerate(self.shapes)]
        runs = [self.run(starts, options, _grads(self.shapes))[0] for options in (one, other)]
        return any(not torch.equal(a, b) for a, b in zip(*runs, strict=True))

    def bears(self, options: Mapping[str, Any]) -> bool:
        """Whether these options may be set between two steps."""
        try:
            grads = _grads(self.shapes)
            params, optimizer = self.run([_draw(shape, i) for i, shape in enumerate(self.shapes)], {}, grads, 2)
            optimizer.param_groups[0].update(options)
            self.advance(optimizer, params, grads, range(2, 3))
        except Exception:
            return False
        return True


def manner(make: Make) -> Manner | None:
    """How an optimizer with its default options can be stepped; None where nothing works."""
    tried = [Manner(make), Manner(make, closure=True), Manner(make, _MATRICES), Manner(make, _MATRICES, sparse=True)]
    return next((each for each in tried if each.accepts({})), None)


def observe(how: Manner, option_sets: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> Behaviour:
    """What it does under some sets of options, the first of which is the defaults.

    Args:
        how: how it is stepped.
        option_sets: legal options that differ from the defaults.
        defaults: the values of all options.
    """
    optimizer = how.make([_draw((3, 4), 0).requires_grad_()], {})
    return Behaviour(
        state=_entries(how, option_sets, defaults),
        sees=_sight(how, option_sets),
        dimensions=2 if how.shapes is _MATRICES and not how.sparse else None,
        sparse=how.sparse,
        closure=how.closure,
        state_at_start=bool(optimizer.state),
        rests=_rests(how, defaults),
        settable=all(_settable(how, options) for options in option_sets),
        repeats=_repeats(how),
    )


def _draw(shape: Sequence[int], *labels: object) -> Tensor:
    return torch.randn(tuple(shape), generator=generator("behaviour", *labels), dtype=torch.float64)


def _grads(shapes: Sequence[Sequence[int]]) -> Callable[[int, int], Tensor]:
    return lambda i, k: _draw(shapes[i], "grad", i, k)


def _entries(
    how: Manner, option_sets: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]
) -> tuple[StateEntry, ...]:
    """The state entries that exist under any of the options, and under which."""
    forms: dict[str, set[str]] = {}
    present: dict[str, list[bool]] = {}
    shapes = [(3, 4), (6, 2) if how.shapes is _MATRICES else (5,)]
    for number, options in enumerate(option_sets):
        params, optimizer = how.run([_draw(shape, i) for i, shape in enumerate(shapes)], options, _grads(shapes))
        kept = [optimizer.state.get(param, {}) for param in params]
        for name in {name: None for state in kept for name in state}:
            found = {_form(state[name], param) for state, param in zip(kept, params, strict=True) if name in state}
            # What some parameters have and others have not is of its own form.
            form = max(found) if all(name in state for state in kept) else "own"
            if any(found):
                forms.setdefault(name, set()).add(form)
                present.setdefault(name, [False] * len(option_sets))[number] = True
    return tuple(
        _entry(name, max(found), _condition(present[name], option_sets, defaults)) for name, found in forms.items()
    )


def _entry(name: str, form: Any, when: str | None) -> StateEntry:
    counts = form in ("counter", "integer")
    # Any tensor may move a parameter on when its gradient has become zero, and a count may be there for its reader.
    return StateEntry(name, form, "", when, idle="a count" * counts, drives=form in ("element", "own"))


def _form(value: Any, param: Tensor) -> str:
    """As of a StateEntry; "" for what is no number."""
    if isinstance(value, Tensor):
        if value.shape == param.shape:
            return "element"
        return "own" if value.ndim else "counter" if float(value) == _STEPS else "number"
    return "integer" if isinstance(value, int | float) and value == _STEPS else ""


def _condition(
    present: Sequence[bool], option_sets: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]
) -> str | None:
    """The option that is true where an entry exists and only there."""
    if all(present):
        return None
    for name in defaults:
        values = [bool({**defaults, **options}[name]) for options in option_sets]
        if values == list(present):
            return name
    return None


def _sight(how: Manner, option_sets: Sequence[Mapping[str, Any]]) -> Literal["element", "tensor", "all"]:
    """What an element's update depends on."""
    if how.sparse:
        return "tensor"
    start, beside = _draw((4, 6), "start"), _draw((3, 4), "beside")
    for options in option_sets:
        # What all parameters share may take a few steps to show.
        runs = [
            how.run(starts, options, lambda i, k: _draw((3, 4), k) * 64 if i else _draw((4, 6), k), _MANY)[0]
            for starts in ([start], [start, beside])
        ]
        if not _close(runs[0][0], runs[1][0]):
            return "all"
        (alone,), _ = how.run([start], options, lambda i, k: _draw((4, 6), k))
        if how.closure or not all(_same_in_parts(how, start, alone, options, cut) for cut in _cuts(how)):
            return "tensor"
    return "element"


def _cuts(how: Manner) -> Sequence[Callable[[Tensor], Sequence[Tensor]]]:
    """Ways to lay 24 elements out: in one tensor of another shape, and in 24 tensors."""
    if how.shapes is _MATRICES:
        return (lambda values: [values.reshape(24, 1)], lambda values: values.reshape(24, 1, 1).unbind())
    return (
        lambda values: [values.reshape(24)],
        lambda values: [values.reshape(2, 3, 4)],
        lambda values: values.reshape(24, 1).unbind(),
    )


def _same_in_parts(
    how: Manner,
    start: Tensor,
    whole: Tensor,
    options: Mapping[str, Any],
    cut: Callable[[Tensor], Sequence[Tensor]],
) -> bool:
    try:
        params, _ = how.run(cut(start), options, lambda i, k: cut(_draw((4, 6), k))[i])
    except Exception:
        return False
    return _close(torch.cat([param.reshape(-1) for param in params]), whole.reshape(-1))


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.detach(), b.detach(), rtol=_ALIKE, atol=_ALIKE * 1e-3, equal_nan=True)


def _rests(how: Manner, defaults: Mapping[str, Any]) -> bool:
    if "lr" not in defaults or not how.accepts({"lr": 0.0}):
        return False
    start = _draw((3, 4), 0)
    (param,), _ = how.run([start], {"lr": 0.0}, _grads([(3, 4)]))
    return bool((param == start).all())


def _settable(how: Manner, options: Mapping[str, Any]) -> bool:
    """Whether a new optimizer that is given a parameter's state after some steps goes on as the old one does."""
    grads = _grads([(3, 4)])
    params, optimizer = how.run([_draw((3, 4), 0)], options, grads, _STEPS - 1)
    fresh = [params[0].detach().clone().requires_grad_()]
    other = how.make(fresh, options)
    kept = optimizer.state.get(params[0], {})
    plain = {name: value.clone() if isinstance(value, Tensor) else value for name, value in kept.items()}
    other.state[fresh[0]].update({name: value for name, value in plain.items() if _is_number(value)})
    try:
        how.advance(other, fresh, grads, range(_STEPS - 1, _STEPS))
    except Exception:
        return False
    how.advance(optimizer, params, grads, range(_STEPS - 1, _STEPS))
    return _close(fresh[0], params[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool))


def _repeats(how: Manner) -> bool:
    runs = [how.run([_draw((4, 6), 0)], {}, _grads([(4, 6)]))[0][0] for _ in range(2)]
    return bool((runs[0] == runs[1]).all())
