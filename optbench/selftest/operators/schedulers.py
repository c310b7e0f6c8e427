"""Operators on any scheduler class. They go by what all schedulers have in common with torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from optbench.subjects import Option, Subject

from .changes import FOURTH_DIGIT

Wrap = Callable[[type[Any]], type[Any]]
# Those that are not built in the middle of a run.
_WITHOUT_LAST_EPOCH = ("reducelronplateau", "chainedscheduler")


def wrappers(subject: Subject) -> Iterator[tuple[str, str, Wrap]]:
    """Every operator for a scheduler: (its name, what it works on, a function that makes a class faulty)."""
    entries = _entries(subject)
    for option in subject.options:
        yield from _of_option(option)
    for name in entries:
        yield "stale-state", f"{name} not loaded", partial(_loads_without, name)
        yield "drop-term", f"{name} not saved", partial(_saves_without, name)
    if "last_epoch" in entries:
        yield "off-by-one", "epoch", partial(_stepping, _an_epoch_further)
    yield "wrong-group", "lr", partial(_stepping, _rate_of_the_first)
    if "base_lrs" in entries:
        yield "wrong-group", "base_lrs", partial(_building, _base_of_the_first)
        yield "shared-storage", "base_lrs", partial(_building, _base_is_the_rate)
    yield "skipped-tail", "groups", _without_last_group
    yield "stale-state", "lr", _rate_of_the_epoch_before
    yield "stale-state", "get_last_lr", _tells_the_rate_before
    yield "wrong-dtype", "lr", partial(_stepping, _rounded)
    yield "shared-storage", "lr", partial(_stepping, _tensor_replaced)
    yield "shared-storage", "initial_lr", partial(_building, _initial_is_the_rate)
    yield "shared-storage", "get_last_lr", partial(_stepping, _last_is_the_rate)
    yield "shared-storage", "state_dict", _loads_what_it_was_given
    yield "mutated-input", "state_dict", _empties_what_it_was_given
    yield "mutated-input", "momentum", partial(_stepping, _momentum_scaled)
    if subject.name != "reducelronplateau":
        yield "mutated-input", "initial_lr", partial(_stepping, _initial_scaled)
    if "schedulers" not in subject.defaults:
        yield "dead-option", "epoch", _epoch_ignored
    if subject.name not in _WITHOUT_LAST_EPOCH:
        yield "off-by-one", "resumed", partial(_building, _an_epoch_more)
        yield "dead-option", "last_epoch", _last_epoch_ignored


def _entries(subject: Subject) -> tuple[str, ...]:
    """What all schedulers of torch keep in their state, as far as this one does."""
    if subject.name == "chainedscheduler":
        return ("_last_lr",)
    if "schedulers" in subject.defaults or subject.name == "reducelronplateau":
        return ("_last_lr", "last_epoch")
    return ("base_lrs", "_last_lr", "last_epoch", "_step_count")


def _of_option(option: Option) -> Iterator[tuple[str, str, Wrap]]:
    from optbench.subjects._declare import REQUIRED
    from optbench.subjects._schedule import Each

    name, values = option.name, option.values
    if option.default is not REQUIRED:
        yield "dead-option", name, partial(with_option, name, lambda value: option.default)
    elif any(value != values[0] for value in values) and name not in ("schedulers", "lr_lambda"):
        yield "dead-option", name, partial(with_option, name, lambda value: _as_given(values[0]))
    if any(isinstance(value, Each) for value in values):
        yield "wrong-group", name, partial(with_option, name, _first_of_list)
    if any(isinstance(value, float) for value in values):
        yield "fourth-digit", name, partial(with_option, name, partial(_mapped, lambda value: value * FOURTH_DIGIT))
    if any(type(value) is int for value in values):
        yield "off-by-one", name, partial(with_option, name, partial(_mapped, lambda value: value + 1))


def _as_given(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _first_of_list(value: Any) -> Any:
    return [value[0]] * len(value) if isinstance(value, list) else value


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list):
        return [_mapped(change, item) for item in value]
    return change(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def with_option(name: str, change: Callable[[Any], Any], cls: type[Any]) -> type[Any]:
    """A subclass whose constructor makes something else of an option that it is given."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **options: Any) -> None:
            if name in options:
                options = {**options, name: change(options[name])}
            super().__init__(*given, **options)

    return Faulty


def _stepping(change: Callable[[Any], None], cls: type[Any]) -> type[Any]:
    """A subclass that does `change(scheduler)` after each step but the constructor's."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            super().step(*given, **named)
            if not getattr(self, "_is_initial", False):
                change(self)

    return Faulty


def _building(change: Callable[..., None], cls: type[Any]) -> type[Any]:
    """A subclass that does `change(scheduler, last_epoch)` when it has been built."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            change(self, options.get("last_epoch", -1))

    return Faulty


def _loads_without(name: str, cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict({key: value for key, value in state_dict.items() if key != name})

    return Faulty


def _saves_without(name: str, cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> dict[str, Any]:
            return {key: value for key, value in super().state_dict().items() if key != name}

    return Faulty


def _groups(scheduler: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scheduler.optimizer.param_groups
    return found


def _write(scheduler: Any, rates: list[Any]) -> None:
    """Write rates into the groups, as a scheduler does."""
    for group, rate in zip(_groups(scheduler), rates, strict=True):
        if hasattr(group["lr"], "fill_"):
            group["lr"].fill_(float(rate))
        else:
            group["lr"] = float(rate)
    scheduler._last_lr = [_copy(group["lr"]) for group in _groups(scheduler)]


def _copy(value: Any) -> Any:
    return value.clone() if hasattr(value, "clone") else value


def _an_epoch_further(scheduler: Any) -> None:
    scheduler.last_epoch += 1


def _an_epoch_more(scheduler: Any, last_epoch: int) -> None:
    if last_epoch != -1:
        scheduler.last_epoch += 1


def _rate_of_the_first(scheduler: Any) -> None:
    _write(scheduler, [_groups(scheduler)[0]["lr"] for _ in _groups(scheduler)])


def _base_of_the_first(scheduler: Any, last_epoch: int) -> None:
    if getattr(scheduler, "base_lrs", None):
        scheduler.base_lrs = [_copy(scheduler.base_lrs[0]) for _ in scheduler.base_lrs]


def _without_last_group(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            kept = float(_groups(self)[-1]["lr"])
            super().step(*given, **named)
            if len(_groups(self)) > 1 and not getattr(self, "_is_initial", False):
                _write(self, [*(group["lr"] for group in _groups(self)[:-1]), kept])

    return Faulty


def _rate_of_the_epoch_before(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            before = [float(group["lr"]) for group in _groups(self)]
            super().step(*given, **named)
            if not getattr(self, "_is_initial", False):
                _write(self, before)

    return Faulty


def _tells_the_rate_before(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            told = getattr(self, "_last_lr", None)
            super().step(*given, **named)
            if told is not None:
                self._last_lr = told

    return Faulty


def _rounded(scheduler: Any) -> None:
    import torch

    _write(scheduler, [torch.tensor(float(group["lr"])).item() for group in _groups(scheduler)])


def _tensor_replaced(scheduler: Any) -> None:
    for group in _groups(scheduler):
        group["lr"] = _copy(group["lr"])


def _initial_is_the_rate(scheduler: Any, last_epoch: int) -> None:
    for group in _groups(scheduler):
        if hasattr(group["lr"], "clone"):
            group["initial_lr"] = group["lr"]


def _base_is_the_rate(scheduler: Any, last_epoch: int) -> None:
    if getattr(scheduler, "base_lrs", None):
        groups = zip(_groups(scheduler), scheduler.base_lrs, strict=True)
        scheduler.base_lrs = [group["lr"] if hasattr(group["lr"], "clone") else base for group, base in groups]


def _last_is_the_rate(scheduler: Any) -> None:
    scheduler._last_lr = [group["lr"] for group in _groups(scheduler)]


def _loads_what_it_was_given(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            self.__dict__.update({name: value for name, value in state_dict.items() if name[:11] != "_schedulers"})
            # A list of rates is written in place, as by those who keep their records up to date.
            rates = [group["lr"] for group in _groups(self)]
            if isinstance(state_dict.get("_last_lr"), list):
                self._held = state_dict["_last_lr"]
                self._held[:] = rates

        def state_dict(self) -> dict[str, Any]:
            return {name: value for name, value in super().state_dict().items() if name != "_held"}

        def step(self, *given: Any, **named: Any) -> None:
            super().step(*given, **named)
            if "_held" in self.__dict__:
                self._held[:] = [group["lr"] for group in _groups(self)]

    return Faulty


def _empties_what_it_was_given(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            state_dict.pop("_last_lr")

    return Faulty


def _momentum_scaled(scheduler: Any) -> None:
    for group in _groups(scheduler):
        if "momentum" in group and not getattr(scheduler, "cycle_momentum", False):
            group["momentum"] = group["momentum"] * 0.999


def _initial_scaled(scheduler: Any) -> None:
    for group in _groups(scheduler):
        if "initial_lr" in group:
            group["initial_lr"] = group["initial_lr"] * 0.5


def _epoch_ignored(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, *given: Any, **named: Any) -> None:
            super().step(*given[:1] if hasattr(self, "patience") else ())

    return Faulty


def _last_epoch_ignored(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **{name: value for name, value in options.items() if name != "last_epoch"})

    return Faulty
