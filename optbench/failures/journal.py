"""What a law did, call by call, as lines of Python; enough to write a script of those that a wrong fact depends on.

Laws call their schedulers and averages as everybody does. While somebody listens, the methods of what a trial made
write down that they were called; what a law wrote into options and attributes is seen at the next call.
"""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from textwrap import indent
from typing import Any, TypeVar

from optbench.failures.folding import folded

T = TypeVar("T")
# What a line begins with: the name of what it makes or changes.
_NAME = re.compile(r"\b[a-z]+_\d+\b")
# A word in a fact that stands for what the law did something to last.
_WORD = re.compile(r"(?<![\w.'\"])([a-z]+)\b(?![\w'\"]|\s*=[^=])")
_MODULES = ("contextlib", "copy", "gc", "io", "json", "math", "operator", "pickle", "warnings", "weakref")
_IN = "    "
# What a state_dict is called.
_STATE = "saved"
# Methods that change nothing.
_READS = ("get_last_lr", "lr_at")


@dataclass
class Line:
    """A call, as Python; or several lines.

    Args:
        text: the call, in which every object has a name with a number.
        reads: whether it changes nothing.
        raised: whether it raised.
    """

    text: str
    reads: bool = False
    raised: bool = False

    @property
    def target(self) -> str:
        """What it makes or changes."""
        found = _NAME.search(self.text)
        return found[0] if found else ""

    @property
    def names(self) -> set[str]:
        return set(_NAME.findall(self.text))


class Journal:
    """The lines that a law's work amounts to; the objects in them have names such as `optimizer_2`.

    Args:
        calls: by the word of a name, the methods that are written down.
        literal: the text of a value that has no name, by the text of what it is made of.
    """

    def __init__(self, calls: dict[str, tuple[str, ...]], literal: Callable[[Any, Callable[[Any], str]], str]) -> None:
        self.calls, self.literal = calls, literal
        self.lines: list[Line] = []
        self.marked: int | None = None
        self._named: dict[int, tuple[Callable[[], Any], str]] = {}
        self._counts: dict[str, int] = {}
        # What else changes when something does: what it was made of, or shares memory with.
        self._of: dict[str, set[str]] = {}
        self._left: dict[str, dict[str, str]] = {}
        self._busy = False

    def make(self, word: str, text: str, build: Callable[[], T]) -> T:
        """Build what gets a name of this word, by what the text says."""
        if self._busy:
            return build()
        self._settle()
        name = self._new(word)
        if word in self.calls:
            self._of[name] = set().union(*({each, *self._of.get(each, ())} for each in _NAME.findall(text)))
        made = self.call(f"{name} = {text}", build)
        self._name(made, name)
        if word in self.calls:
            self._watch(made, word)
            self._left[name] = self._written(made)
        return made

    def call(self, text: str, doing: Callable[[], T], reads: bool = False) -> T:
        """Do what the text says, which may change nothing."""
        if self._busy:
            return doing()
        self._settle()
        line = Line(text, reads)
        self.lines.append(line)
        self._busy = True
        try:
            return doing()
        except Exception:
            line.raised = True
            raise
        finally:
            self._busy = False
            self._leave()

    def keep(self, word: str, value: T, text: str = "") -> T:
        """Give a value a name of this word; the text says how it came about, its words are the latest of their kind."""
        self._settle()
        name = self._new(word)
        self.lines.append(Line(f"{name} = {self.resolved(text) if text else self.text(value)}"))
        self._name(value, name)
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
        for key, part in parts:
            if not isinstance(part, (bool, int, float, str)):
                self._name(part, f"{name}[{key!r}]")
        return value

    def tell(self, text: str, doing: Callable[[], T]) -> T:
        """Do what the text says, about the latest of each kind."""
        return self.call(self.resolved(text), doing)

    def mark(self) -> None:
        """Keep how far everything is."""
        self._settle()
        self.marked = len(self.lines)

    def text(self, value: Any) -> str:
        """A value as an expression: by its name, as a copy of what has one, or written down."""
        known = self._name_of(value)
        if known or not isinstance(value, dict):
            return known or self.literal(value, self.text)
        held = [(held(), name) for held, name in reversed(self._named.values())]
        equal = next((name for other, name in held if isinstance(other, dict) and _same(other, value)), "")
        return f"copy.deepcopy({equal})" if equal else self.literal(value, self.text)

    def script(self, shown: str, said: str) -> list[str]:
        """The lines that a fact depends on, and the assertion of it; the fact may be the last of several lines.

        In it `refused` is what the last line raised, or None, and `told` are the warnings.
        """
        lines = self.lines[: self.marked]
        *before, fact = self.resolved(shown).split("\n")
        needed = {name for text in (*before, fact) for name in _NAME.findall(text)}
        if "refused" in shown:
            needed |= lines[-1].names
        last = _refused(lines.pop().text) if "refused" in shown else []
        if "told" not in shown:
            lines = _sliced(lines, needed, self._of)
        did = [*folded([_suppressed(line) for line in lines if not line.reads]), *last, *before]
        did = [*(_recorded(did) if "told" in shown else did), "", f"assert {fact}, {self.resolved(said)}"]
        text = self._renamed("\n".join(did))
        imports = [f"import {module}" for module in _MODULES if re.search(rf"\b{module}\.", text)]
        return [*imports, *([""] if imports else []), "import torch", text]

    def _renamed(self, text: str) -> str:
        """The first of a kind has no number, and the numbers of others leave no gaps."""
        names: dict[str, str] = {}
        counts = dict.fromkeys(self._counts, 0)

        def other(found: re.Match[str]) -> str:
            word = found[0].rpartition("_")[0]
            if word in counts and found[0] not in names:
                counts[word] += 1
                names[found[0]] = word if counts[word] == 1 else f"{word}{counts[word]}"
            return names.get(found[0], found[0])

        return _NAME.sub(other, text)

    def _new(self, word: str) -> str:
        self._counts[word] = self._counts.get(word, 0) + 1
        return f"{word}_{self._counts[word]}"

    def _name(self, value: Any, name: str) -> None:
        try:
            held: Callable[[], Any] = weakref.ref(value)
        except TypeError:
            # What cannot be held weakly is plain data.
            held = partial(_itself, value)
        self._named[id(value)] = (held, name)

    def _name_of(self, value: Any) -> str:
        held, name = self._named.get(id(value), (None, ""))
        return name if held and held() is value else ""

    def resolved(self, text: str) -> str:
        """The words of a text as names: the latest of each kind."""
        latest: dict[str, str] = {}
        for line in self.lines[: self.marked]:
            for name in (*self._of.get(line.target, ()), *reversed(_NAME.findall(line.text))):
                latest[name.rpartition("_")[0]] = name
        return _WORD.sub(lambda found: latest.get(found[1], found[1]), text)

    def _watch(self, made: Any, word: str) -> None:
        """Let the methods of an object write down that they are called."""
        cls = type(made)
        methods = {name: _watched(self, cls, name) for name in self.calls.get(word, ()) if hasattr(cls, name)}
        if methods:
            made.__class__ = type(cls.__name__, (cls,), {**methods, "__module__": cls.__module__})

    def called(self, cls: type[Any], method: str, made: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """Call a method of what was made, and write it down."""
        doing = partial(getattr(cls, method), made, *args, **given)
        name = self._name_of(made)
        if not name or self._busy:
            return doing()
        told = [*map(self.text, args), *(f"{option}={self.text(value)}" for option, value in given.items())]
        text = f"{name}.{method}({', '.join(told)})"
        if method == "state_dict":
            return self.make(_STATE, text, doing)
        if method == "load_state_dict":
            for other in _NAME.findall(", ".join(told)):
                self._of.setdefault(other, set()).add(name)
                self._of[name].add(other)
        return self.call(text, doing, method in _READS)

    def _settle(self) -> None:
        """Write down what was written into options and attributes since they were left."""
        for name, made in self._alive():
            before, now = self._left[name], self._written(made)
            self.lines += [Line(f"{name}{place} = {text}") for place, text in now.items() if before.get(place) != text]
        self._leave()

    def _leave(self) -> None:
        self._left = {name: self._written(made) for name, made in self._alive()}

    def _alive(self) -> list[tuple[str, Any]]:
        found = [(name, held()) for held, name in list(self._named.values())]
        return [(name, made) for name, made in found if made is not None and name in self._left]

    def _written(self, made: Any) -> dict[str, str]:
        """What anybody may write into: options of groups, else numbers and lists of them."""
        groups = getattr(made, "param_groups", None)
        if groups is not None:
            return {f".param_groups[{i}][{name!r}]": self.text(value) for i, group in enumerate(groups)
                    for name, value in group.items() if name != "params"}  # fmt: skip
        return {f".{name}": self.text(value) for name, value in vars(made).items() if _plain(value)}


def _itself(value: Any) -> Any:
    return value


def _watched(journal: Journal, cls: type[Any], method: str) -> Any:
    def called(self: Any, *args: Any, **given: Any) -> Any:
        return journal.called(cls, method, self, args, given)

    return functools.wraps(getattr(cls, method))(called)


def _plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, list) and all(map(_plain, value)))


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (RuntimeError, ValueError):
        # Tensors of several elements.
        return False


def _sliced(lines: list[Line], needed: set[str], of: dict[str, set[str]]) -> list[Line]:
    """The lines that anything of what is needed comes from."""
    kept: list[Line] = []
    for line in reversed(lines):
        needed = needed.union(*(of.get(name, set()) for name in needed))
        if needed & ({line.target} | of.get(line.target, set())):
            needed |= line.names
            kept.insert(0, line)
    return kept


def _suppressed(line: Line) -> str:
    return f"with contextlib.suppress(Exception):\n{indent(line.text, _IN)}" if line.raised else line.text


def _refused(text: str) -> list[str]:
    return ["refused = None", f"try:\n{indent(text, _IN)}\nexcept Exception as error:\n{_IN}refused = error"]


def _recorded(lines: list[str]) -> list[str]:
    """The lines with their warnings in a list."""
    return ["with warnings.catch_warnings(record=True) as told:", f'{_IN}warnings.simplefilter("always")',
            *(indent(line, _IN) for line in lines)]  # fmt: skip
