"""The lines of a script about optimizers: the tape, as far as a failure needs it, as plain torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from optbench.case import AsTensor
from optbench.failures.scripts import literals
from optbench.failures.scripts.changes import Edit, Gone, Token
from optbench.failures.scripts.events import BUILT, COPIED, Call, Closure, Event, Listed, Many, Track
from optbench.failures.scripts.memory import Memory
from optbench.failures.scripts.pool import Pool, names
from optbench.failures.scripts.tape import Tape
from optbench.foreign.loading import adapter_of

# Shorter lists stand in a line.
_LINE = 60


class Unwritable(Exception):
    """What a law did is none of plain torch."""


@dataclass(frozen=True)
class Style:
    """How a script is written.

    Args:
        cls: gives what has to be imported, the class as Python, and arguments that every call has.
        draw: whether numbers of parameters and gradients are drawn by a seed rather than written down.
        dtype: of all floating-point tensors, where it is another than theirs.
        plain: whether the class takes the declared names, and numbers in the place of tensors.
    """

    cls: Any
    draw: bool = False
    dtype: torch.dtype | None = None
    plain: bool = False


class Writer:
    """Writes what is on a tape, up to what went wrong first.

    Args:
        tape: what was done.
        style: how to write it.
        wanted: Python about the tape, whose names have to be there.
        end: how many events count.
        whole: whether every optimizer that moved has to be there too.
    """

    def __init__(self, tape: Tape, style: Style, wanted: Sequence[str], end: int, whole: bool = False) -> None:
        self.tape, self.style = tape, style
        self.events = tape.events[:end]
        self.imports: dict[str, None] = {}
        self.pool = Pool(style.draw, style.dtype)
        moved = {event.track.name for event in self.events if event.track and self._moved(event.track)}
        self._needed = self._closure(names(wanted) | (moved if whole else set()))

    def lines(self, number: int) -> list[str]:
        """What an event is as Python; nothing where the failure does not need it."""
        event = self.events[number]
        lines = [line for listed in event.listed if not listed.source and listed.name in self._needed
                 for line in self._list(listed)]  # fmt: skip
        if event.track is None or self.kept(number):
            lines += [self._edit(edit) for edit in event.edits if self._known(edit)]
        if self.kept(number):
            lines += self._function(event, number)
            call = self._called(event, number)
            lines += ["with torch.no_grad():", f"    {call}"] if event.muted else [call]
        return self._sourced(event, lines)

    def kept(self, number: int) -> bool:
        """Whether a call belongs to the script."""
        event = self.events[number]
        if event.track is None:
            return False
        if event.method == "state_dict" and not event.failed:
            return f"@s{number}" in self._needed
        return event.track.name in self._needed

    def value(self, value: Any) -> str:
        """Anything that the tape keeps, as Python.

        Raises:
            Unwritable: it cannot be written.
        """
        if isinstance(value, Token):
            return value.text
        if isinstance(value, Memory):
            return self.pool.tensor(value) + value.leaf
        if isinstance(value, Many):
            return value.made.format(f"[{', '.join(map(self.value, value.items))}]")
        if isinstance(value, Closure):
            return "closure"
        if isinstance(value, AsTensor):
            return repr(value.value) if self.style.plain else literals.option(value)
        if isinstance(value, Tensor) or not isinstance(value, _PLAIN):
            raise Unwritable(repr(value))
        return literals.structure(value, self.value)

    def _closure(self, known: set[str]) -> set[str]:
        """All names that those depend on: optimizers that moved a parameter, what was saved, what was copied."""
        while True:
            more = set(known)
            for number, event in enumerate(self.events):
                more |= self._told(number, event, more)
                for listed in event.listed:
                    if listed.name in more:
                        more |= names([listed.source])
            if more == known:
                return known
            known = more

    def _told(self, number: int, event: Event, known: set[str]) -> set[str]:
        """What an event adds to the names that are known to be needed."""
        if event.track is None:
            return {name for edit in event.edits if names([edit.target]) & known
                    for name in names(_texts(edit.value))}  # fmt: skip
        mine = event.track.name
        inside = [edit.value for call in event.calls for edit in call.edits]
        told = names(_texts([event.arguments, event.named, [edit.value for edit in event.edits], inside]))
        told |= names(_texts([event.terms, [call.value for call in event.calls]]))
        lists = {name for name in told & known if name[1] in "pt"}
        touches = bool(lists) and (event.failed is not None or self._moved(event.track))
        results = {f"@{kind}{number}" for kind in "srf"}
        if not (mine in known or results & known or touches):
            return set()
        unused = event.method == "state_dict" and f"@s{number}" not in known
        return {mine} if unused else {mine} | told

    def _moved(self, track: Track) -> bool:
        return any(event.track is track and event.method not in (BUILT, COPIED, "state_dict") for event in self.events)

    def _known(self, edit: Edit) -> bool:
        own = names([edit.target or (edit.value.text if isinstance(edit.value, Token) else "")])
        return own <= self._needed

    def _sourced(self, event: Event, lines: list[str]) -> list[str]:
        """With the lists that are made of what there was before: of others before the call, of a copy after it."""
        for listed in event.listed:
            if listed.source and listed.name in self._needed:
                line = f"{listed.name} = {listed.source}"
                lines = [*lines, line] if event.method == COPIED else [line, *lines]
        return lines

    def _list(self, listed: Listed) -> Iterator[str]:
        if listed.single:
            yield f"{listed.name} = {self.pool.tensor(listed.starts[0])}{listed.starts[0].leaf}"
            return
        views = any(not start.plain and not start.sparse for start in listed.starts)
        if views:
            yield f"@m{listed.number} = ["
            yield from (f"    {self.pool.tensor(_whole(start))}," for start in listed.starts)
            yield "]"
        made = [f"@m{listed.number}[{i}]{literals.view(start)}" if views else self.pool.tensor(start, draw=True)
                for i, start in enumerate(listed.starts)]  # fmt: skip
        texts = [f"{each}{start.leaf}" for each, start in zip(made, listed.starts, strict=True)]
        if sum(len(self.pool.literal(each)) for each in made) < _LINE:
            yield f"{listed.name} = [{', '.join(texts)}]"
        else:
            yield from (f"{listed.name} = [", *(f"    {text}," for text in texts), "]")

    def _edit(self, edit: Edit) -> str:
        if not edit.target:
            return self.value(edit.value)
        if edit.value is Gone:
            return f"del {edit.target}"
        draws = edit.target.endswith((".grad", ".data")) and isinstance(edit.value, Memory)
        value = self.pool.tensor(edit.value, draw=True) + edit.value.leaf if draws else self.value(edit.value)
        return f"{edit.target}.copy_({value})" if edit.within else f"{edit.target} = {value}"

    def _called(self, event: Event, number: int) -> str:
        assert event.track is not None
        name = event.track.name
        if event.method == COPIED:
            return f"{name} = {event.arguments[0].text}"
        if event.method == BUILT:
            return f"{name} = {self._built(event)}"
        named = [f"{key}={self.value(value)}" for key, value in event.named.items()]
        given = [self._shorter(self.value(argument)) for argument in event.arguments]
        call = f"{name}.{event.method}({', '.join([*given, *named])})"
        if event.method == "state_dict":
            return f"@s{number} = {call}"
        return f"@r{number} = {call}" if f"@r{number}" in self._needed else call

    def _function(self, event: Event, number: int) -> list[str]:
        """The closure that a step was given, as it was called."""
        if not any(isinstance(argument, Closure) for argument in (*event.arguments, *event.named.values())):
            return []
        if event.terms:
            return [f"terms = {self.value(event.terms)}"]
        calls = f"@f{number}"
        told = calls in self._needed
        ways = [self._inside(call) for call in event.calls] or [[]] * told
        if not ways or any(way != ways[0] for way in ways):
            raise Unwritable("a closure that is never called, or does not do the same again")
        body = [f"{calls}.append(torch.is_grad_enabled())"] * told + ways[0]
        return [f"{calls} = []"] * told + ["", "def closure():", *(f"    {line}" for line in body), ""]

    def _inside(self, call: Call) -> list[str]:
        lines = [self._edit(edit) for edit in call.edits if self._known(edit)]
        if isinstance(call.value, Exception):
            return [*lines, f"raise {call.value!r}"]
        return [*lines, f"return {self.value(call.value)}"]

    def _built(self, event: Event) -> str:
        assert event.track is not None
        imports, called, flags = self.style.cls(event.track)
        self.imports |= dict.fromkeys(imports)
        adapter = adapter_of(type(self.tape.like(event.track))) if event.track.implementation.target else None

        def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
            return adapter.arguments(options) if adapter and not self.style.plain else dict(options)

        named = [f"{key}={self.value(value)}" for key, value in {**flags, **arguments(event.named)}.items()]
        return f"{called}({', '.join([self._shorter(self.value(event.arguments[0])), *named])})"

    def _shorter(self, text: str) -> str:
        """With a list in the place of all of its tensors, and a slice in the place of some."""
        for listed in self.tape.lists:
            if listed.single or listed.name not in text:
                continue
            items = [listed.item(i) for i in range(len(listed.tensors))]
            text = text.replace(f"[{', '.join(items)}]", listed.name)
            for begin in range(len(items)):
                for end in range(len(items), begin + 1, -1):
                    text = text.replace(f"[{', '.join(items[begin:end])}]", f"{listed.name}[{begin}:{end}]")
        return text


# A law's own objective, whose terms are other ones at each step.
OBJECTIVE = """
def closure():
    value = 0.0
    for param, start, slope, curve in terms:
        offset = param.detach().double() - start
        param.grad = (slope + curve * offset).to(param.dtype)
        value += ((slope + curve / 2 * offset) * offset).sum()
    return value
"""
_PLAIN = (dict, list, tuple, bool, int, float, complex, str, type(None), torch.dtype, torch.Size)


def _whole(start: Memory) -> Memory:
    """The memory that a tensor is a view of."""
    return replace(start, shape=tuple(start.held.shape), stride=start.held.stride(), offset=0)


def _texts(value: Any) -> Iterator[str]:
    """The Python in what the tape keeps."""
    if isinstance(value, Token):
        yield value.text
    elif isinstance(value, Many):
        yield from _texts(value.items)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
