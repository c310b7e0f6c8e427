"""Looks at tensors, groups and states between what is called on optimizers, and tells what somebody changed there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from optbench.failures.scripts.changes import Edit, Token, alike, edits, kept
from optbench.failures.scripts.memory import Memory

if TYPE_CHECKING:
    from optbench.failures.scripts.events import Track
    from optbench.failures.scripts.tape import Tape


@dataclass(frozen=True)
class _Seen:
    """A tensor as it was."""

    values: Tensor
    address: int
    needs: bool
    grad: Tensor | None
    grad_values: Tensor | None


class Look:
    """What a tape's tensors, groups and states were when it was last looked at."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self._tensors: dict[str, _Seen] = {}
        self._groups: dict[str, list[tuple[list[int], Any]]] = {}
        self._states: dict[str, dict[int, Any]] = {}
        self._attributes: dict[str, Any] = {}

    def again(self) -> None:
        """Look at everything."""
        self._tensors = {listed.item(i): _seen(tensor) for listed in self.tape.lists
                         for i, tensor in enumerate(listed.tensors)}  # fmt: skip
        tracks = [track for track in self.tape.tracks if hasattr(track.optimizer, "param_groups")]
        self._groups = {track.name: [_group(group) for group in track.optimizer.param_groups] for track in tracks}
        self._states = {track.name: {id(key): kept(value) for key, value in _state(track)} for track in tracks}
        self._attributes = {track.name: kept(_attributes(track)) for track in tracks}

    def edits(self) -> Iterator[Edit]:
        """What was changed since."""
        for listed in self.tape.lists:
            for i, tensor in enumerate(listed.tensors):
                if listed.item(i) in self._tensors:
                    yield from self._of_tensor(listed.item(i), tensor, self._tensors[listed.item(i)])
        for track in self.tape.tracks:
            if track.name in self._groups:
                yield from self._of_attributes(track)
                yield from self._of_groups(track)
                yield from self._of_state(track)

    def _of_tensor(self, name: str, tensor: Tensor, seen: _Seen) -> Iterator[Edit]:
        if tensor.is_leaf and tensor.requires_grad != seen.needs:
            yield Edit("", Token(f"{name}.requires_grad_({tensor.requires_grad})"))
        plain = tensor.detach()
        if _address(tensor) != seen.address or (not plain.is_sparse and plain.stride() != seen.values.stride()):
            same = alike(plain, seen.values)
            yield Edit(f"{name}.data", Token(f"{name}.detach().clone()") if same else plain)
        elif not alike(plain, seen.values):
            yield Edit(f"{name}.data", plain, within=True)
        if tensor.grad is None and seen.grad is not None:
            yield Edit(f"{name}.grad", None)
        elif tensor.grad is not None and not (tensor.grad is seen.grad and alike(tensor.grad, _there(seen))):
            known = self.tape.name(tensor.grad)
            given = Token(known) if known else self._shared(name, tensor.grad) or Memory.of(tensor.grad)
            yield Edit(f"{name}.grad", given)

    def _shared(self, name: str, grad: Tensor) -> Token | None:
        """The gradient as that of a parameter before this one, where it is the same object."""
        for listed in self.tape.lists:
            for i, tensor in enumerate(listed.tensors):
                if listed.item(i) == name:
                    return None
                if tensor.grad is grad:
                    return Token(f"{listed.item(i)}.grad")
        return None

    def _of_attributes(self, track: Track) -> Iterator[Edit]:
        """Tensors that were set on the optimizer itself, as a gradient scaler does, or taken away."""
        now, then = _attributes(track), self._attributes[track.name]
        yield from (Edit(f"{track.name}.{name}") for name in then if name not in now)
        for name, value in now.items():
            yield from edits(f"{track.name}.{name}", value, then[name]) if name in then else [
                Edit(f"{track.name}.{name}", value)
            ]

    def _of_groups(self, track: Track) -> Iterator[Edit]:
        for g, (group, then) in enumerate(zip(track.optimizer.param_groups, self._groups[track.name], strict=False)):
            now = _group(group)
            place = f"{track.name}.param_groups[{g}]"
            if now[0] != then[0]:
                yield Edit(f'{place}["params"]', group["params"])
            options = {name: value for name, value in group.items() if name != "params"}
            yield from edits(place, options, then[1])

    def _of_state(self, track: Track) -> Iterator[Edit]:
        now, then = dict(_state(track)), self._states[track.name]
        if then and not now:
            yield Edit("", Token(f"{track.name}.state.clear()"))
            return
        keys = {id(key): key for key in now}
        for listed in self.tape.lists:
            for i, tensor in enumerate(listed.tensors):
                place = f"{track.name}.state[{listed.item(i)}]"
                if id(tensor) in then and id(tensor) not in keys:
                    yield Edit("", Token(f"{track.name}.state.pop({listed.item(i)})"))
                elif id(tensor) in keys:
                    yield from edits(place, dict(now[tensor]), then.get(id(tensor), {}))


def _seen(tensor: Tensor) -> _Seen:
    return _Seen(_still(tensor), _address(tensor), tensor.requires_grad, tensor.grad, _still(tensor.grad))


def _still(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().clone()


def _address(tensor: Tensor) -> int:
    return 0 if tensor.is_sparse else tensor.data_ptr()


def _there(seen: _Seen) -> Tensor:
    assert seen.grad_values is not None
    return seen.grad_values


def _attributes(track: Track) -> dict[str, Tensor]:
    own = getattr(track.optimizer, "__dict__", {})
    return {name: value for name, value in own.items() if isinstance(value, Tensor)}


def _group(group: Any) -> tuple[list[int], Any]:
    options = {name: value for name, value in group.items() if name != "params"}
    return [id(param) for param in group["params"]], kept(options)


def _state(track: Track) -> list[tuple[Any, Any]]:
    state = getattr(track.optimizer, "state", None)
    return [(key, value) for key, value in state.items() if isinstance(value, dict)] if isinstance(state, dict) else []
