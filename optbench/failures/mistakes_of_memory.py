"""Mistakes about what is read and written: nothing, too little, in another order, or something that is old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from optbench.failures.scene import Expectation, Lie, Scene
from optbench.trials.error import Quantity
from optbench.trials.problem import CANARY

# (what more is to be said of the class, what it would have given)
Explanations = Iterator[tuple[str, Expectation | None]]


def unmoved(scene: Scene) -> Explanations:
    """Nothing moves; what a first step leaves in a state that it has just made is anybody's guess."""
    kept = ("param", *scene.before.state)
    yield "", {name: scene.exactly(values) for name, values in scene.old.items() if name in kept}


def stale(scene: Scene) -> Explanations:
    """What was put in place of a tensor is left alone, and the old one is used."""
    if scene.former is None:
        return
    now, former = scene.before, scene.former
    kept = {name: scene.exactly(values) for name, values in scene.old.items()}
    moved = scene.outcome(before=replace(now, state=former.state, numbers=former.numbers, step=former.step))
    if moved is not None:
        yield "the state", {**kept, "param": moved["param"]}
    moved = scene.outcome(before=replace(now, param=former.param))
    if moved is not None:
        yield "the parameter", {**moved, "param": kept["param"]}


def parameter_unmoved(scene: Scene) -> Explanations:
    if len(scene.observed) > 1:
        yield "", {**scene.expected.quantities, "param": scene.exactly(scene.old["param"])}


def not_stored(scene: Scene) -> Explanations:
    for name, values in scene.old.items():
        if name != "param":
            yield name, {**scene.expected.quantities, name: scene.exactly(values)}


def tail(scene: Scene) -> Explanations:
    """The last elements are as they were, those before them are right."""
    kept = (scene.observed["param"] == scene.old["param"]).reshape(-1)
    size = kept.numel()
    moved = kept.logical_not().nonzero()
    begin = int(moved.max()) + 1 if len(moved) else 0
    if not 0 < begin < size:
        return
    tail = torch.arange(size) >= begin
    mixed = {}
    for name, judged in scene.expected.quantities.items():
        if judged.expected.numel() == size and name in scene.old:
            mixed[name] = _where(tail.view(judged.expected.shape), scene.exactly(scene.old[name]), judged)
    told = f"the last {size - begin} of {size} elements"
    yield told, mixed
    yield told, {**scene.expected.quantities, "param": mixed["param"]}


def _where(chosen: Tensor, one: Quantity, other: Quantity) -> Quantity:
    parts = [torch.where(chosen, getattr(one, name), getattr(other, name)) for name in ("expected", "unit", "limit")]
    return Quantity(parts[0], parts[1], parts[2], other.honest)


def walked(scene: Scene) -> Explanations:
    """Parameter, gradient and state are walked from their first elements on, as if all lay in memory alike."""
    lies, size = scene.lies, scene.before.param.numel()
    plain = not scene.dtype.is_complex and scene.subject.elementwise and {"param", "grad"} <= lies.keys()
    if not plain or not size or min(lie.room for lie in lies.values()) < size or scene.before.grad is None:
        return
    values = {"param": scene.before.param, "grad": scene.before.grad, **scene.before.state}
    alike = values.keys() <= lies.keys() and len({lies[name].stride for name in values}) == 1
    if not values.keys() <= lies.keys() or (alike and lies["param"].dense):
        return
    memory = {name: _laid(values[name], lies[name]) for name in values}
    state = {name: memory[name][:size] for name in scene.before.state}
    given = replace(scene.before, param=memory["param"][:size], grad=memory["grad"][:size], state=state)
    outcome = scene.outcome(before=given)
    if outcome is None:
        return
    found = {}
    for name, judged in outcome.items():
        # The state of a first step lies as the optimizer has made it.
        lie = lies.get(name)
        if lie is not None:
            whole = memory.get(name, torch.zeros(max(lie.room, size), dtype=torch.float64))
            found[name] = _read_back(scene.exactly(whole), judged, lie)
    yield "", found


def _laid(values: Tensor, lie: Lie) -> Tensor:
    """Memory from a tensor's first element on, with the canary between its elements."""
    memory = torch.full((max(lie.room, 1),), CANARY, dtype=torch.float64)
    memory.as_strided(lie.shape, lie.stride).copy_(values)
    return memory


def _read_back(whole: Quantity, moved: Quantity, lie: Lie) -> Quantity:
    """A tensor's elements in memory whose first part has moved."""
    parts = []
    for name in ("expected", "unit", "limit"):
        memory = getattr(whole, name).clone()
        memory[: moved.expected.numel()] = getattr(moved, name)
        parts.append(memory.as_strided(lie.shape, lie.stride).clone())
    return Quantity(parts[0], parts[1], parts[2], moved.honest)
