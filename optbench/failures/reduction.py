"""Reduces a failing case to a smaller one that fails too: greedily, within a budget of checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from optbench.case import Case
from optbench.subjects import Subject
from optbench.trials.problem import Shape, shapes_of, shapes_text

BUDGET = 60
# Where a case is of a kind that is about tensors.
_TENSORS = ("optimizer", "averager")
# The variant under which a law lists more cases of the same kind.
_SEED = re.compile(r",?seed=\d+$")


def reduced(
    case: Case,
    subject: Subject,
    fails: Callable[[Case], bool],
    budget: int = BUDGET,
    parameter: int | None = None,
) -> Case:
    """The smallest case that was found to fail: options back to their defaults, plain memory, few steps, small shapes.

    Args:
        case: one that fails.
        subject: what it is of.
        fails: whether another case fails in the same way.
        budget: how often `fails` may be asked.
        parameter: number of the parameter that was wrong first.
    """
    tried = {case.id}
    shapes = shapes_of(case.shapes)
    alone = []
    if parameter is not None and parameter < len(shapes) > 1:
        alone = [replace(_begun(case), shapes=shapes_text([shapes[parameter]]))]
    while True:
        smaller = None
        for candidate in (*alone, *simpler(case, subject)):
            if candidate.id in tried:
                continue
            if len(tried) > budget:
                return case
            tried.add(candidate.id)
            if fails(candidate):
                smaller = candidate
                break
        if smaller is None:
            return case
        case, alone = smaller, []


def simpler(case: Case, subject: Subject) -> Iterator[Case]:
    """Cases that differ from this one in being simpler, the boldest first."""
    case = _begun(case)
    plain = usual_of(subject)
    # What a scheduler or an average needs stands in `base`.
    usual: dict[str, Any] = dict(subject.base)
    candidates = [replace(case, options=usual, **plain), replace(case, options=usual), replace(case, **plain)]
    candidates += [replace(case, options=options) for options in _fewer(case, subject, usual)]
    candidates += [replace(case, **{name: value}) for name, value in plain.items()]
    if subject.kind in _TENSORS:
        candidates += [replace(case, steps=steps) for steps in _smaller(case.steps)]
        candidates += [replace(case, shapes=shapes_text(shapes)) for shapes in _smaller_shapes(shapes_of(case.shapes))]
    for candidate in candidates:
        if candidate != case and _legal(candidate, subject):
            yield candidate


def usual_of(subject: Subject) -> dict[str, Any]:
    """What a case of a subject has where nothing about it is special, beside its options."""
    plain = Case(subject.name)
    dtype = plain.dtype if plain.dtype in subject.dtypes else subject.dtypes[0]
    return {"dtype": dtype, "layout": plain.layout, "moment": plain.moment, "stream": plain.stream}


def _begun(case: Case) -> Case:
    """The case as one that no law lists."""
    return replace(case, drawn=True, variant=_SEED.sub("", case.variant))


def _fewer(case: Case, subject: Subject, usual: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The options with one of them back to what it usually is; a value that was drawn, to one that is declared."""
    declared = {option.name: option.values for option in subject.options}
    for name, value in case.options.items():
        others = {other: kept for other, kept in case.options.items() if other != name}
        if name not in usual:
            yield others
        elif value != usual[name]:
            yield {**others, name: usual[name]}
    for name, value in case.options.items():
        # What every case has is no option of a narrowed subject.
        if value not in declared.get(name, (value,)):
            known = [other for other in declared[name] if other != subject.defaults[name]]
            yield from ({**case.options, name: other} for other in known)


def _smaller(number: int) -> Iterator[int]:
    """Smaller numbers, the smallest first: one, then steps that halve the way back."""
    step = number - 1
    while step > 0:
        yield number - step
        step //= 2


def _smaller_shapes(shapes: tuple[Shape, ...]) -> Iterator[tuple[Shape, ...]]:
    half = len(shapes) // 2
    if half:
        yield from (shapes[:half], shapes[half:])
    if len(shapes) > 2:
        yield from (shapes[:i] + shapes[i + 1 :] for i in range(len(shapes)))
    for i, shape in enumerate(shapes):
        for smaller in _smaller_shape(shape):
            yield (*shapes[:i], smaller, *shapes[i + 1 :])


def _smaller_shape(shape: Shape) -> Iterator[Shape]:
    yield from (shape[:i] + shape[i + 1 :] for i in range(len(shape)) if len(shape) > 1)
    for i, size in enumerate(shape):
        # A size of none at all is another kind of tensor.
        yield from ((*shape[:i], smaller, *shape[i + 1 :]) for smaller in _smaller(size))


def _legal(case: Case, subject: Subject) -> bool:
    full = subject.complete(case.options)
    return all(full.get(a) != value or full.get(b) != other for (a, value), (b, other) in subject.forbidden)
