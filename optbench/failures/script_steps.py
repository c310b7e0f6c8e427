"""The lines of a script about optimizers: the tape, as far as a failure needs it, as plain torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from optbench.case import AsTensor
from optbench.failures import literals
from optbench.failures.changes import Edit, Gone, Token
from optbench.failures.events import BUILT, COPIED, Event, Listed, Many, Opaque, Track
from optbench.failures.memory import Memory
from optbench.failures.tape import Tape
from optbench.foreign.loading import adapter_of

_WORDS = {"o": "optimizer", "p": "params", "t": "number", "m": "memory", "a": "around", "s": "saved", "l": "kept",
          "c": "before", "x": "values"}  # fmt: skip
_NAME = re.compile(r"@([optmaslcx])(\d+)\b")
# What is shorter stands where it is needed, as often as that is; shorter lists stand in a line.
_LONG, _LINE = 40, 60


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
        self._seeds: dict[Any, int] = {}
        self._pool: dict[Any, tuple[str, str]] = {}
        moved = {event.track.name for event in self.events if event.track and self._moved(event.track)}
        self._needed = self._closure(_names(wanted) | (moved if whole else set()))

    def lines(self, number: int) -> list[str]:
        """What an event is as Python; nothing where the failure does not need it."""
        event = self.events[number]
        lines = [line for listed in event.listed if not listed.source and listed.name in self._needed
                 for line in self._list(listed)]  # fmt: skip
        if event.track is None or self.kept(number):
            lines += [self._edit(edit) for edit in event.edits if self._known(edit)]
        if self.kept(number):
            lines.append(self._called(event, number))
        return self._sourced(event, lines)

    def kept(self, number: int) -> bool:
        """Whether a call belongs to the script."""
        event = self.events[number]
        if event.track is None:
            return False
        if event.method == "state_dict" and not event.failed:
            return f"@s{number}" in self._needed
        return event.track.name in self._needed

    def tensor(self, memory: Memory, draw: bool = False) -> str:
        """A tensor as a name, which `finished` makes a variable or an expression of."""
        if draw and self.style.draw and memory.plain and memory.held.numel() > 1 and memory.held.is_floating_point():
            memory = self.drawn(memory)
        if self.style.dtype and (memory.held.is_floating_point() or memory.held.is_complex()):
            wide = self.style.dtype.to_complex() if memory.held.is_complex() else self.style.dtype
            memory = replace(memory, held=memory.held.to(wide), seed=None)
        key = memory.key
        if key not in self._pool:
            self._pool[key] = (f"@x{len(self._pool)}", literals.tensor(memory))
        return self._pool[key][0]

    def _literal(self, name: str) -> str:
        return next((literal for known, literal in self._pool.values() if known == name), name)

    def drawn(self, memory: Memory) -> Memory:
        """The same with numbers in the place of which a seed can stand."""
        seed = self._seeds.setdefault(memory.key, len(self._seeds))
        kind = torch.complex64 if memory.held.is_complex() else torch.float32
        values = torch.randn(memory.shape, generator=torch.Generator().manual_seed(seed), dtype=kind)
        return replace(memory, held=values.reshape(-1).to(memory.held.dtype), seed=seed)

    def value(self, value: Any) -> str:
        """Anything that the tape keeps, as Python.

        Raises:
            Unwritable: it cannot be written.
        """
        if isinstance(value, Token):
            return value.text
        if isinstance(value, Memory):
            return self.tensor(value) + value.leaf
        if isinstance(value, Many):
            return value.made.format(f"[{', '.join(map(self.value, value.items))}]")
        if isinstance(value, AsTensor):
            return repr(value.value) if self.style.plain else literals.option(value)
        if isinstance(value, (Opaque, Tensor)) or not isinstance(value, _PLAIN):
            raise Unwritable(repr(value))
        return literals.structure(value, self.value)

    def finished(self, lines: list[str], first: Sequence[str]) -> list[str]:
        """The lines with names in them: those of `first` are the plain ones, all others are numbered."""
        text = "\n".join(lines)
        for name, literal in self._pool.values():
            uses = re.findall(rf"{name}\b", text)
            if len(uses) > 1 and len(literal) > _LONG:
                at = text.rfind("\n", 0, re.search(rf"{name}\b", text).start()) + 1  # type: ignore[union-attr]
                at = _statement(text, at)
                text = text[:at] + f"{name} = {literal}\n" + re.sub(rf"{name}\b", f"{name}.clone()", text[at:])
            else:
                text = re.sub(rf"{name}\b", lambda _, literal=literal: literal, text)  # type: ignore[misc]
        return renamed(text, first).splitlines()

    def _closure(self, names: set[str]) -> set[str]:
        """All names that those depend on: optimizers that moved a parameter, what was saved, what was copied."""
        while True:
            more = set(names)
            for number, event in enumerate(self.events):
                more |= self._told(number, event, more)
                for listed in event.listed:
                    if listed.name in more:
                        more |= _names([listed.source])
            if more == names:
                return names
            names = more

    def _told(self, number: int, event: Event, known: set[str]) -> set[str]:
        """What an event adds to the names that are known to be needed."""
        if event.track is None:
            return {name for edit in event.edits if _names([edit.target]) & known
                    for name in _names(_texts(edit.value))}  # fmt: skip
        mine = event.track.name
        told = _names(_texts([event.arguments, event.named, [edit.value for edit in event.edits]]))
        lists = {name for name in told & known if name[1] in "pt"}
        touches = bool(lists) and (event.failed is not None or self._moved(event.track))
        if not (mine in known or f"@s{number}" in known or touches):
            return set()
        unused = event.method == "state_dict" and f"@s{number}" not in known
        return {mine} if unused else {mine} | told

    def _moved(self, track: Track) -> bool:
        return any(event.track is track and event.method not in (BUILT, COPIED, "state_dict") for event in self.events)

    def _known(self, edit: Edit) -> bool:
        own = _names([edit.target or (edit.value.text if isinstance(edit.value, Token) else "")])
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
            yield f"{listed.name} = {self.tensor(listed.starts[0])}{listed.starts[0].leaf}"
            return
        views = any(not start.plain and not start.sparse for start in listed.starts)
        if views:
            yield f"@m{listed.number} = ["
            yield from (f"    {self.tensor(_whole(start))}," for start in listed.starts)
            yield "]"
        made = [f"@m{listed.number}[{i}]{literals.view(start)}" if views else self.tensor(start, draw=True)
                for i, start in enumerate(listed.starts)]  # fmt: skip
        texts = [f"{each}{start.leaf}" for each, start in zip(made, listed.starts, strict=True)]
        if sum(len(self._literal(each)) for each in made) < _LINE:
            yield f"{listed.name} = [{', '.join(texts)}]"
        else:
            yield from (f"{listed.name} = [", *(f"    {text}," for text in texts), "]")

    def _edit(self, edit: Edit) -> str:
        if not edit.target:
            return self.value(edit.value)
        if edit.value is Gone:
            return f"del {edit.target}"
        draws = edit.target.endswith((".grad", ".data")) and isinstance(edit.value, Memory)
        value = self.tensor(edit.value, draw=True) + edit.value.leaf if draws else self.value(edit.value)
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
        return f"@s{number} = {call}" if event.method == "state_dict" else call

    def _built(self, event: Event) -> str:
        assert event.track is not None
        imports, called, flags = self.style.cls(event.track)
        self.imports |= dict.fromkeys(imports)
        adapter = adapter_of(type(self.tape.like(event.track))) if event.track.implementation.target else None

        def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
            return adapter.arguments(options) if adapter and not self.style.plain else dict(options)

        params = event.arguments[0]
        if isinstance(params, list) and all(isinstance(group, dict) for group in params):
            params = [arguments(group) for group in params]
        named = [f"{key}={self.value(value)}" for key, value in {**flags, **arguments(event.named)}.items()]
        return f"{called}({', '.join([self._shorter(self.value(params)), *named])})"

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


def _names(texts: Iterable[str]) -> set[str]:
    return {match[0] for text in texts for match in _NAME.finditer(text)}


def _statement(text: str, at: int) -> int:
    """Where the statement begins that a line is part of."""
    while text[at:].startswith((" ", "]")):
        at = text.rfind("\n", 0, at - 1) + 1
    return at


def renamed(text: str, first: Sequence[str]) -> str:
    """Python about the tape with the names that a script has."""
    names: dict[str, str] = {}
    count: dict[str, int] = {}
    for kind, number in [*(_NAME.findall("".join(first))), *_NAME.findall(text)]:
        token = f"@{kind}{number}"
        if token not in names:
            count[kind] = count.get(kind, 0) + 1
            names[token] = _WORDS[kind] + (f"_{count[kind]}" if count[kind] > 1 else "")
    return _NAME.sub(lambda match: names[match[0]], text)
