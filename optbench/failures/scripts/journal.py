"""What a law did, call by call, as lines of Python; enough to write a script of those that a wrong fact depends on.

Laws call their schedulers and averages as everybody does. While somebody listens, the methods of what a trial made
write down that they were called; what a law wrote into options and attributes is seen at the next call.
"""

from __future__ import annotations

import copyreg
import functools
import re
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from optbench.failures.scripts.folding import folded
from optbench.failures.scripts.lines import NAME, Line, recorded, refused, sliced, suppressed

T = TypeVar("T")
# A word in a fact that stands for what the law did something to last.
_WORD = re.compile(r"(?<![\w.'\"])([a-z]+)\b(?![\w'\"]|\s*=[^=])")
_MODULES = ("contextlib", "copy", "gc", "io", "json", "math", "operator", "pickle", "warnings", "weakref")
# What a state_dict is called.
_STATE = "saved"
# Methods that change nothing.
_READS = ("get_last_lr", "lr_at")


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
        self.imports: set[str] = set()
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
            self._of[name] = set().union(*({each, *self._of.get(each, ())} for each in NAME.findall(text)))
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
        """Give a value a name of this word; the text says how it came about, its words are the latest of their kind.

        Of several lines the last one is the value.
        """
        self._settle()
        name = self._new(word)
        *before, last = (self.resolved(text) if text else self.text(value)).split("\n")
        self.lines.append(Line("\n".join([*before, f"{name} = {last}"])))
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
        known = self.name_of(value)
        if known or not isinstance(value, dict):
            return known or self.literal(value, self.text)
        equal = next((name for name, other in self.objects() if isinstance(other, dict) and _same(other, value)), "")
        return f"copy.deepcopy({equal})" if equal else self.literal(value, self.text)

    def script(self, shown: str, said: str, among: Callable[[Line], bool] = bool) -> list[str]:
        """The lines that a fact depends on, and the assertion of it; the fact may be the last of several lines.

        In it `refused` is what the last line raised, or None, and `told` are the warnings.
        """
        lines = list(filter(among, self.lines[: self.marked]))
        *before, fact = self.resolved(shown).split("\n")
        needed = {name for text in (*before, fact) for name in NAME.findall(text)}
        if "refused" in shown:
            needed |= set(lines[-1].names)
        last = refused(lines.pop().text) if "refused" in shown else []
        if "told" not in shown:
            lines = sliced(lines, needed, self._of)
        did = [*folded([suppressed(line) for line in lines if not line.reads]), *last, *before]
        did = [*(recorded(did) if "told" in shown else did), "", f"assert {fact}, {self.resolved(said)}"]
        text = self._renamed("\n".join(did))
        imports = [f"import {module}" for module in _MODULES if re.search(rf"\b{module}\.", text)]
        own = sorted(each for each in self.imports if each.split()[-1] in text)
        return [*imports, *([""] if imports else []), "import torch", *own, "", text]

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

        return NAME.sub(other, text)

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

    def name_of(self, value: Any) -> str:
        held, name = self._named.get(id(value), (None, ""))
        return name if held and held() is value else ""

    def objects(self) -> list[tuple[str, Any]]:
        """Whatever has a name and is still there, the latest first."""
        return [(name, held()) for held, name in reversed(self._named.values()) if held() is not None]

    def resolved(self, text: str) -> str:
        """The words of a text as names: the latest of each kind."""
        latest: dict[str, str] = {}
        for line in self.lines[: self.marked]:
            made_of = [each for name in line.names[:1] for each in self._of.get(name, ())]
            for name in (*made_of, *reversed(line.names)):
                latest[name.rpartition("_")[0]] = name
        return _WORD.sub(lambda found: latest.get(found[1], found[1]), text)

    def _watch(self, made: Any, word: str) -> None:
        """Let the methods of an object write down that they are called."""
        cls = type(made)
        methods = {name: _watched(self, cls, name) for name in self.calls.get(word, ()) if hasattr(cls, name)}
        # A copy may have this from what it is a copy of.
        if methods and "__class__" not in vars(cls):
            # Who asks, and who copies or pickles it, meets its own class.
            methods |= {"__class__": property(lambda self: cls), "__reduce_ex__": _reduced(cls)}
            made.__class__ = type(cls.__name__, (cls,), {**methods, "__module__": cls.__module__})

    def called(self, cls: type[Any], method: str, made: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """Call a method of what was made, and write it down."""
        doing = partial(getattr(cls, method), made, *args, **given)
        name = self.name_of(made)
        if not name or self._busy:
            return doing()
        told = [*map(self.text, args), *(f"{option}={self.text(value)}" for option, value in given.items())]
        text = f"{name}.{method}({', '.join(told)})"
        if method == "state_dict":
            return self.make(_STATE, text, doing)
        if method == "load_state_dict":
            for other in NAME.findall(", ".join(told)):
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
        return [(name, made) for name, made in self.objects() if name in self._left]

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


def _reduced(cls: type[Any]) -> Any:
    """What copies and pickles take: the object's own class."""

    def reduced(self: Any, protocol: Any) -> Any:
        reduce: Any = cls.__reduce_ex__
        maker, given, *rest = reduce(self, protocol)
        given = tuple(cls if each is type(self) else each for each in given)
        # Pickle insists that what this makes is of the object's class.
        maker = _new if maker is copyreg.__newobj__ else cls if maker is type(self) else maker  # type: ignore[attr-defined]
        return (maker, given, *rest)

    return reduced


def _new(cls: type[Any], *given: Any) -> Any:
    return cls.__new__(cls, *given)


def _plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, list) and all(map(_plain, value)))


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (RuntimeError, ValueError):
        # Tensors of several elements.
        return False
