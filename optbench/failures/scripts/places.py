"""Where a number of a law stands, as Python: in a parameter, a gradient, a state or a group, now or as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optbench.failures.scripts.memory import Memory
from optbench.trials import nested
from optbench.trials.checker import Entry

if TYPE_CHECKING:
    from optbench.failures.scripts.tape import Tape


@dataclass(frozen=True)
class Place:
    """A parameter, its gradient, or an entry of its state.

    Args:
        optimizer, param: both as Python about the tape.
        kind: "param", "grad", "state", "group", or "value" of what has a name of its own.
        key, path: which entry of the state or group, and what in it.
        start: how the parameter lay at first.
        moment: before which event it is copied; None: it is as it is at last.
        form: "complex" or "sparse" of a tensor that is that.
    """

    optimizer: str
    param: str
    kind: str
    key: str = ""
    path: str = ""
    start: Memory | None = None
    moment: int | None = None
    form: str = ""

    def text(self, alias: Mapping[str, str] | None = None) -> str:
        """As Python; `alias` gives entries of the state other names."""
        if self.kind in ("param", "value"):
            return self.param
        if self.kind == "grad":
            return f"{self.param}.grad"
        key = (alias or {}).get(self.key, self.key)
        entries = f"{self.optimizer}.state[{self.param}]" if self.kind == "state" else self.optimizer
        return f'{entries}["{key}"]{self.path}'

    def number(self, text: str, index: tuple[int, ...]) -> str:
        """A number of the tensor that Python tells, where complex ones count as pairs of real ones."""
        number = f"{text}.detach()" + ".to_dense()" * (self.form == "sparse")
        number = f"torch.view_as_real({number})" if self.form == "complex" else number
        return f"{number}[{', '.join(map(str, index))}].item()" if index else f"{number}.item()"

    def there(self) -> str:
        """Whether the state has this entry, as Python."""
        return f'"{self.key}" in {self.optimizer}.state.get({self.param}, {{}})'


class Held(dict[str, Any]):
    """Copies by name; where a script is to be made, with where they are from and since which event."""

    places: Mapping[str, Place] = {}
    moment: int = 0


def found(tape: Tape, thing: Any) -> Place | None:
    """Where a tensor is, or what a copy is of."""
    if isinstance(thing, Entry):
        return _held(thing.of, thing.name)
    for held in tape.held:
        name = next((name for name, value in held.items() if value is thing), None)
        if name is not None:
            return _held(held, name)
    if not isinstance(thing, Tensor):
        return None
    return Place("", tape.called(thing), "value") if tape.called(thing) else _live(tape, thing)


def _held(held: Mapping[str, Any], name: str) -> Place | None:
    if not isinstance(held, Held) or name not in held.places or name not in held:
        return None
    return replace(held.places[name], moment=held.moment, form=_form(held[name]))


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return ""
    return "complex" if value.is_complex() else "sparse" if value.layout is not torch.strided else ""


def of_param(tape: Tape, optimizer: Any, param: Tensor) -> Place:
    """The place of a parameter of an optimizer."""
    item = tape.name(param)
    start = next((start for listed in tape.lists for tensor, start in zip(listed.tensors, listed.starts, strict=True)
                  if tensor is param), None)  # fmt: skip
    return Place(tape.name(optimizer), item, "param", start=start)


def _live(tape: Tape, tensor: Tensor) -> Place | None:
    for same in (lambda one: one is tensor, lambda one: _one_memory(one, tensor)):
        for track in reversed(tape.tracks):
            for group in getattr(track.optimizer, "param_groups", ()):
                for param in group["params"]:
                    place = of_param(tape, track.optimizer, param)
                    if not place.param:
                        continue
                    if same(param):
                        return replace(place, form=_form(param))
                    if param.grad is not None and same(param.grad):
                        return replace(place, kind="grad", form=_form(param.grad))
                    state = track.optimizer.state.get(param, {})
                    for key, entry in state.items() if isinstance(state, dict) else ():
                        for path, leaf in nested.leaves(entry):
                            if isinstance(leaf, Tensor) and same(leaf):
                                return replace(place, kind="state", key=key, path=path, form=_form(leaf))
    return None


def _one_memory(one: Tensor, other: Tensor) -> bool:
    """Whether both are the same numbers in the same place, be it as pairs of real ones."""
    if one.is_sparse or other.is_sparse or not one.numel():
        return False
    return one.data_ptr() == other.data_ptr() and one.numel() * (1 + one.is_complex()) == other.numel() * (
        1 + other.is_complex()
    )
