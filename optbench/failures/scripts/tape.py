"""What a law did with its optimizers, in order: enough to do it again.

Kept is what is called on an optimizer, and what somebody changed between two calls in tensors, groups and states. What
a law did beside that is not on the tape: a script made from it is tried before it is given to anybody.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from optbench.failures.scripts.changes import Edit, Token, edits, kept
from optbench.failures.scripts.events import BUILT, COPIED, MADE, Call, Closure, Event, Listed, Many, Track, tensors_in
from optbench.failures.scripts.memory import Memory
from optbench.failures.scripts.places import Held, Place
from optbench.failures.scripts.watch import Look
from optbench.registry import Implementation

# What is kept of an optimizer, beside how it was built and copied.
_METHODS = ("step", "add_param_group", "load_state_dict", "state_dict", "zero_grad")


class Tape:
    """Everything that a law did with its optimizers.

    Args:
        dry: steps are kept, and not taken: they would end the process.
    """

    def __init__(self, dry: bool = False) -> None:
        self.dry = dry
        self.events: list[Event] = []
        self.tracks: list[Track] = []
        self._count = 0
        self.lists: list[Listed] = []
        self.marked: int | None = None
        self.synchronised = False
        self.held: list[Held] = []
        self._names: dict[int, str] = {}
        self._saved: list[tuple[Any, Any, str]] = []
        self._look = Look(self)
        self._within = False

    def build(self, make: Callable[[], Any], implementation: Implementation, params: Any, options: Any) -> Any:
        """Keep how an optimizer is built, and what is called on it from then on."""
        track = self._track(implementation)
        self._call(track, BUILT, (params,), options)
        track.optimizer = self._done(make)
        return self._watched(track)

    def copy(self, make: Callable[[], Any], original: Any, way: str) -> Any:
        """Keep that an optimizer is copied; `way` is Python with the original's place in it."""
        source = self.name(original)
        track = self._track(next(each.implementation for each in self.tracks if each.name == source))
        self._call(track, COPIED, (Token(way.format(source)),), {})
        track.optimizer = self._done(make)
        found = f'[param for group in {track.name}.param_groups for param in group["params"]]'
        params = [param for group in track.optimizer.param_groups for param in group["params"]]
        self._list(self.events[-1], params, found)
        return self._watched(track)

    def name(self, thing: Any) -> str:
        """What stands for an optimizer, a parameter, a list of them, or what was named, in Python about the tape."""
        if isinstance(thing, Tensor):
            return self._names.get(id(thing), "")
        names = [(track.optimizer, track.name) for track in self.tracks]
        names += [(saved, name) for saved, _, name in self._saved]
        lists = [(listed.tensors, listed.name) for listed in self.lists] if isinstance(thing, list) else []
        same = (name for tensors, name in lists if list(map(id, tensors)) == list(map(id, thing)))
        return next((name for known, name in names if known is thing), None) or next(same, "")

    def called(self, thing: Any) -> str:
        """The name that something was given; "" where it has none."""
        return next((name for known, _, name in self._saved if known is thing), "")

    def call(self, thing: Any, text: str) -> None:
        """Give something a name; `text` is Python that makes it."""
        name = f"@l{self.look()}"
        self.events.append(Event([Edit(name, Token(text))]))
        self._saved.append((thing, kept(thing), name))

    def give(self, tensor: Tensor, text: str) -> None:
        """Give a name to a tensor that optimizers will be given; `text` is Python that makes it."""
        self.look()
        self.events.append(Event())
        self._list(self.events[-1], [tensor], text, single=True)

    def like(self, track: Track) -> Any:
        """The optimizer of a track; where it was refused, another of the same implementation."""
        others = (each.optimizer for each in self.tracks if each.implementation is track.implementation)
        return track.optimizer if track.optimizer is not None else next(others, None)

    def look(self) -> int:
        """Keep what was changed since the last call; how many events there are."""
        if not self._within:
            found = [Edit(edit.target, self._frozen(edit.value), edit.within) for edit in self._look.edits()]
            if found:
                self.events.append(Event(found))
            self._look.again()
        return len(self.events)

    def settled(self) -> None:
        """Take what was changed since the last call for nobody's doing: a run was put on the oracle's way."""
        self.synchronised = True
        self._look.again()

    def mark(self) -> None:
        """Keep how far everything is. Of what is not taken nothing is right, and everything is kept."""
        self.marked = None if self.dry else self.look()

    def hold(self, held: Held, places: Mapping[str, Place]) -> None:
        """Keep of what a copy was made."""
        held.places, held.moment = places, self.look()
        self.held.append(held)

    def _track(self, implementation: Implementation) -> Track:
        self._count += 1
        return Track(self._count, implementation)

    def _watched(self, track: Track) -> Any:
        self.tracks.append(track)
        for method in _METHODS:
            original = getattr(track.optimizer, method, None)
            if original is not None:
                self._watch(track.optimizer, method, original)
        self._look.again()
        return track.optimizer

    def _watch(self, optimizer: Any, method: str, original: Any) -> None:
        def watched(this: Any, *arguments: Any, **named: Any) -> Any:
            track = next((track for track in self.tracks if track.optimizer is this), None)
            if self._within or track is None:
                return original(*arguments, **named)
            self._call(track, method, arguments, named)
            if method == "step":
                arguments = tuple(self._noted(argument) for argument in arguments)
                named = {name: self._noted(argument) for name, argument in named.items()}
            if self.dry and method == "step":
                return None
            result = self._done(lambda: original(*arguments, **named))
            if method == "state_dict":
                self._saved.append((result, kept(result), f"@s{len(self.events) - 1}"))
            return result

        watched.__name__ = method
        setattr(optimizer, method, MethodType(watched, optimizer))

    def _noted(self, closure: Any) -> Any:
        """A closure that tells what it does."""
        if not callable(closure):
            return closure
        event = self.events[-1]
        if hasattr(closure, "terms"):
            event.terms = [tuple(map(self._frozen, term)) for term in closure.terms()]
            return closure

        def noted() -> Any:
            self._look.again()
            value: Any = None
            try:
                value = closure()
            except Exception as error:
                value = error
                raise
            finally:
                if isinstance(value, Tensor) and not self.name(value):
                    self._list(event, [value], single=True)
                event.calls.append(Call([self._kept(edit) for edit in self._look.edits()], self._frozen(value)))
            return value

        return noted

    def _call(self, track: Track, method: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        self.look()
        event = Event([], track, method, muted=not torch.is_grad_enabled())
        self.events.append(event)
        if method in (BUILT, "add_param_group"):
            new = [*tensors_in(arguments, True), *tensors_in(dict(named), False)]
            fresh = {id(tensor): (tensor, param) for tensor, param in new if id(tensor) not in self._names}
            self._list(event, [tensor for tensor, param in fresh.values() if param])
            for tensor in (tensor for tensor, param in fresh.values() if not param):
                self._list(event, [tensor], single=True)
        if method == "load_state_dict":
            arguments = tuple(self._checkpoint(event, argument) for argument in arguments)
        event.arguments = tuple(self._frozen(argument) for argument in arguments)
        event.named = {name: self._frozen(value) for name, value in named.items()}

    def _done(self, doing: Callable[[], Any]) -> Any:
        event, self._within = self.events[-1], True
        try:
            return doing()
        except Exception as error:
            event.failed = error
            raise
        finally:
            self._within = False
            self._look.again()

    def _list(self, event: Event, tensors: list[Tensor], source: str = "", single: bool = False) -> None:
        if not tensors:
            return
        starts = [Memory.of(tensor) for tensor in tensors]
        source = source or ("" if single else self._cloned(starts))
        listed = Listed(len(self.lists), tensors, starts, source, single)
        self.lists.append(listed)
        event.listed.append(listed)
        self._names |= {id(tensor): listed.item(i) for i, tensor in enumerate(tensors)}
        # A copy of a parameter has a copy of its gradient.
        given = [] if event.method == COPIED else [each.grad if each.is_leaf else None for each in tensors]
        event.edits += [Edit(f"{listed.item(i)}.grad", Memory.of(grad)) for i, grad in enumerate(given)
                        if grad is not None]  # fmt: skip

    def _cloned(self, starts: list[Memory]) -> str:
        """The list as copies of another one that has moved, where it is that."""
        for other in self.lists:
            now = [Memory.of(tensor) for tensor in other.tensors]
            if [each.key for each in now] == [each.key for each in starts] != [each.key for each in other.starts]:
                return f"[param.detach().clone().requires_grad_() for param in {other.name}]"
        return ""

    def _checkpoint(self, event: Event, given: Any) -> Any:
        """What is loaded, as what was saved, or a copy of it, with the changes that were made to it since."""
        for saved, then, name in reversed(self._saved):
            if given is saved:
                event.edits = [self._kept(edit) for edit in edits(name, given, then) if not edit.within]
                return Token(name)
        saved = [(kept(saved), name) for saved, _, name in reversed(self._saved) if isinstance(saved, dict)]
        if not saved or not isinstance(given, dict):
            return given
        own = f"@l{len(self.events)}"
        found, name = min(((list(edits(own, given, then, objects=False)), name) for then, name in saved),
                          key=lambda way: len(way[0]))  # fmt: skip
        if not found:
            return Token(f"copy.deepcopy({name})")
        event.edits = [Edit(own, Token(f"copy.deepcopy({name})")), *map(self._kept, found)]
        return Token(own)

    def _kept(self, edit: Edit) -> Edit:
        return Edit(edit.target, self._frozen(edit.value), edit.within)

    def _frozen(self, value: Any) -> Any:
        """A value as it now is and can be written later."""
        if isinstance(value, Tensor):
            return Token(self._names[id(value)]) if id(value) in self._names else Memory.of(value)
        if isinstance(value, (dict, list)) and self.called(value):
            return Token(self.called(value))
        if isinstance(value, dict):
            return {key: self._frozen(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)([self._frozen(item) for item in value])
        made = next((made for kind, made in MADE if isinstance(value, kind)), None)
        if made:
            return Many(made, [self._frozen(item) for item in copy.copy(value)])
        return Closure() if callable(value) and not isinstance(value, type) else value
