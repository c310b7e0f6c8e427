"""Operators on any optimizer class: what goes wrong around the arithmetic, where no source can be changed alike.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from optbench.subjects import Option, StateEntry, Subject

from ..by_hand.around import old_memory
from .changes import FOURTH_DIGIT

Wrap = Callable[[type[Any]], type[Any]]
# What a step does around the original one: (optimizer, original step) -> its result.
Step = Callable[[Any, Callable[[], Any]], Any]
# Where the counter lives shows on an accelerator only.
_DEVICES = ("capturable",)
# Elements of a vector that a kernel might forget to go beyond.
_WIDTH = 16


def wrappers(subject: Subject) -> Iterator[tuple[str, str, Wrap]]:
    """Every operator for an optimizer: (its name, what it works on, a function that makes a class faulty)."""
    for option in subject.options:
        if option.name in _DEVICES:
            continue
        yield "dead-option", option.name, _stepping(partial(_with_values, _default(option)))
        if not subject.closure:
            yield "wrong-group", option.name, _stepping(partial(_with_values, partial(_of_first_group, option.name)))
        if not option.settled:
            yield "stale-state", f"group[{option.name}]", _stepping(partial(_with_first_values, option.name))
        for place in _numbers(option):
            at = option.name if place is None else f"{option.name}[{place}]"
            yield "fourth-digit", at, _stepping(partial(_with_values, partial(_digit_off, option.name, place)))
    for entry in subject.state:
        if entry.form in ("element", "number", "counter"):
            yield from _of_state(entry)
    if subject.counter and subject.counter.form == "counter":
        yield "off-by-one", subject.counter.name, _stepping(partial(_count_ahead, subject.counter.name))
    yield "wrong-dtype", "param", _stepping(_param_rounded)
    yield "skipped-tail", "elements", _stepping(_tail_kept)
    yield "skipped-tail", "parameters", _stepping(partial(_without_last, False))
    if not subject.closure:
        # Who calls a closure has one group, and the gradients that it makes.
        yield "skipped-tail", "groups", _stepping(partial(_without_last, True))
    yield "stale-state", "param.data", _stepping(old_memory)
    if not subject.sparse and not subject.closure:
        yield "swap-order", "parameters", _stepping(_gradients_exchanged)
    yield "mutated-input", "grad", _stepping(partial(_after, _scale_gradients))
    yield "mutated-input", "group", _stepping(partial(_after, _decay_rates))
    yield "mutated-input", "load_state_dict", _loads_by_emptying
    yield "shared-storage", "load_state_dict", _loads_without_copy
    yield "shared-storage", "deepcopy", _copies_shallowly


def _of_state(entry: StateEntry) -> Iterator[tuple[str, str, Wrap]]:
    name = entry.name
    yield "stale-state", name, _stepping(partial(_entry_restored, name))
    yield "stale-state", f"{name} replaced", _stepping(partial(_entry_of_old, name))
    yield "wrong-dtype", name, _stepping(partial(_after, partial(_round_entry, name)))
    if entry.form == "element":
        yield "wrong-dtype", f"{name} kept", _stepping(partial(_after, partial(_keep_wide, name)))
        yield "shared-storage", name, _stepping(partial(_after, partial(_share_entry, name)))


def _stepping(step: Step) -> Wrap:
    """A subclass whose step is `step(optimizer, original step)`."""

    def wrap(cls: type[Any]) -> type[Any]:
        original: Any = cls.step
        # torch wraps the step of a class that has made an optimizer: hooks would be called here and there.
        while getattr(original, "hooked", False):
            original = original.__wrapped__

        class Faulty(cls):  # type: ignore[misc, valid-type]
            def step(self, *closure: Any, **named: Any) -> Any:
                return step(self, lambda: original(self, *closure, **named))

        return Faulty

    return wrap


def _params(optimizer: Any) -> list[Any]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def _stepped(optimizer: Any) -> list[Any]:
    return [param for param in _params(optimizer) if param.grad is not None]


def _after(change: Callable[[Any], None], optimizer: Any, original: Callable[[], Any]) -> Any:
    import torch

    result = original()
    with torch.no_grad():
        change(optimizer)
    return result


@contextlib.contextmanager
def _held(optimizer: Any, changed: list[dict[str, Any]]) -> Iterator[None]:
    """The groups have these options for the moment."""
    kept = [
        {name: group[name] for name in options} for group, options in zip(optimizer.param_groups, changed, strict=True)
    ]
    for group, options in zip(optimizer.param_groups, changed, strict=True):
        group.update(options)
    try:
        yield
    finally:
        for group, options in zip(optimizer.param_groups, kept, strict=True):
            group.update(options)


def _with_values(values: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], optimizer: Any, original: Any) -> Any:
    with _held(optimizer, values(optimizer.param_groups)):
        return original()


def _default(option: Option) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda groups: [{option.name: option.default} for _ in groups]


def _of_first_group(name: str, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: groups[0][name]} for _ in groups]


def _with_first_values(name: str, optimizer: Any, original: Any) -> Any:
    known = optimizer.__dict__.setdefault("_first_values", [])
    for group in optimizer.param_groups[len(known) :]:
        value = group[name]
        known.append({name: value.clone() if hasattr(value, "clone") else value})
    with _held(optimizer, known):
        return original()


def _numbers(option: Option) -> list[int | None]:
    """Where an option has numbers that are no whole ones by nature: None for the option itself, or places in it."""
    values = [value for value in option.values if isinstance(value, (float, tuple))]
    if any(isinstance(value, tuple) for value in values):
        first = next(value for value in values if isinstance(value, tuple))
        return [place for place, number in enumerate(first) if isinstance(number, float)]
    return [None] if values else []


def _digit_off(name: str, place: int | None, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def off(value: Any) -> Any:
        return value * FOURTH_DIGIT if value is not None else None

    if place is None:
        return [{name: off(group[name])} for group in groups]
    return [
        {name: tuple(off(value) if index == place else value for index, value in enumerate(group[name]))}
        for group in groups
    ]


def _entry_restored(name: str, optimizer: Any, original: Any) -> Any:
    import torch

    before = {
        param: state[name].clone()
        for param, state in optimizer.state.items()
        if isinstance(state.get(name), torch.Tensor)
    }
    result = original()
    for param, value in before.items():
        optimizer.state[param][name].copy_(value)
    return result


def _entry_of_old(name: str, optimizer: Any, original: Any) -> Any:
    """Whoever replaces an entry goes unnoticed: the tensor that was there before is used."""
    known = optimizer.__dict__.setdefault("_known_entries", {})
    for param, value in known.items():
        if name in optimizer.state.get(param, {}):
            optimizer.state[param][name] = value
    result = original()
    known.update({param: state[name] for param, state in optimizer.state.items() if state.get(name) is not None})
    return result


def _count_ahead(name: str, optimizer: Any, original: Any) -> Any:
    counted = [state[name] for state in optimizer.state.values() if name in state]
    for step in counted:
        step += 1
    result = original()
    for step in counted:
        step -= 1
    return result


def _narrow(values: Any) -> Any:
    """The values with the digits of a narrower dtype; those of 16 bits have none to lose."""
    import torch

    narrower = {torch.float64: torch.float32, torch.float32: torch.bfloat16, torch.complex128: torch.complex64}
    if values.dtype is torch.complex64:
        return torch.view_as_complex(torch.view_as_real(values).to(torch.bfloat16).to(torch.float32))
    return values.to(narrower.get(values.dtype, values.dtype)).to(values.dtype)


def _round_entry(name: str, optimizer: Any) -> None:
    for state in optimizer.state.values():
        if name in state and hasattr(state[name], "copy_"):
            state[name].copy_(_narrow(state[name]))


def _keep_wide(name: str, optimizer: Any) -> None:
    import torch

    for state in optimizer.state.values():
        if name in state and not state[name].is_complex():
            state[name] = state[name].to(torch.float64)


def _share_entry(name: str, optimizer: Any) -> None:
    """Parameters of one form have one entry."""
    held: dict[Any, Any] = {}
    for param, state in optimizer.state.items():
        value = state.get(name)
        if value is not None and value.numel():
            state[name] = held.setdefault((param.shape, param.dtype), value)


def _param_rounded(optimizer: Any, original: Any) -> Any:
    def change(_: Any) -> None:
        for param in _stepped(optimizer):
            param.copy_(_narrow(param))

    return _after(change, optimizer, original)


def _tail_kept(optimizer: Any, original: Any) -> Any:
    kept = {
        param: param.detach().reshape(-1)[param.numel() // _WIDTH * _WIDTH :].clone()
        for param in _stepped(optimizer)
        if param.numel() > _WIDTH and param.is_contiguous()
    }

    def change(_: Any) -> None:
        for param, tail in kept.items():
            param.view(-1)[param.numel() // _WIDTH * _WIDTH :] = tail

    return _after(change, optimizer, original)


def _without_last(of_groups: bool, optimizer: Any, original: Any) -> Any:
    """The last parameter of many, or every parameter of the last group of many, has no gradient for the moment."""
    groups = optimizer.param_groups
    skipped = (groups[-1]["params"] if len(groups) > 1 else []) if of_groups else _params(optimizer)[1:][-1:]
    held = [param.grad for param in skipped]
    for param in skipped:
        param.grad = None
    try:
        return original()
    finally:
        for param, grad in zip(skipped, held, strict=True):
            param.grad = grad


def _gradients_exchanged(optimizer: Any, original: Any) -> Any:
    """Two parameters of one form get each other's gradient."""
    import torch

    held: dict[Any, list[Any]] = {}
    for param in _stepped(optimizer):
        if param.grad.layout is torch.strided and param.numel():
            held.setdefault((param.shape, param.dtype), []).append(param)
    pairs = [params[:2] for params in held.values() if len(params) > 1]
    for one, other in pairs:
        one.grad, other.grad = other.grad, one.grad
    try:
        return original()
    finally:
        for one, other in pairs:
            one.grad, other.grad = other.grad, one.grad


def _scale_gradients(optimizer: Any) -> None:
    for param in _stepped(optimizer):
        param.grad.mul_(0.5)


def _decay_rates(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * (1 - 1e-6)


def _loads_by_emptying(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            for state in state_dict["state"].values():
                for name in [name for name, value in state.items() if getattr(value, "ndim", 0)]:
                    state[name].zero_()

    return Faulty


def _loads_without_copy(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            for index, param in enumerate(_params(self)):
                if index in state_dict["state"]:
                    self.state[param].update(state_dict["state"][index])

    return Faulty


def _copies_shallowly(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __deepcopy__(self, memo: Any) -> Any:
            import copy

            twin = type(self).__new__(type(self))
            memo[id(self)] = twin
            twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
            for ours, theirs in zip(_params(self), _params(twin), strict=True):
                if ours in self.state:
                    twin.state[theirs].update(self.state[ours])
            return twin

    return Faulty
