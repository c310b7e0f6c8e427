"""Lines of Python about objects with numbered names, and which of them anything comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import indent

# An object's name.
NAME = re.compile(r"\b[a-z]+_\d+\b")
_IN = "    "


@dataclass
class Line:
    """A call, as Python; or several lines.

    Args:
        text: the call, in which every object has a name with a number.
        reads: whether it changes nothing.
        about: the tensor of a model that it is about; "": all else.
        raised: whether it raised.
    """

    text: str
    reads: bool = False
    about: str = ""
    raised: bool = False

    @property
    def changes(self) -> set[str]:
        """What it makes or changes: what it begins with, else whatever is in it."""
        names = self.names
        return set(names[:1] if names and self.text.startswith(names[0]) and "\n" not in self.text else names)

    @property
    def names(self) -> list[str]:
        return NAME.findall(self.text)


def sliced(lines: list[Line], needed: set[str], of: dict[str, set[str]]) -> list[Line]:
    """The lines that anything of what is needed comes from."""
    kept: list[Line] = []
    for line in reversed(lines):
        needed = needed.union(*(of.get(name, set()) for name in needed))
        if needed & line.changes.union(*(of.get(name, set()) for name in line.changes)):
            needed |= set(line.names)
            kept.insert(0, line)
    return kept


def suppressed(line: Line) -> str:
    return f"with contextlib.suppress(Exception):\n{indent(line.text, _IN)}" if line.raised else line.text


def refused(text: str) -> list[str]:
    return ["refused = None", f"try:\n{indent(text, _IN)}\nexcept Exception as error:\n{_IN}refused = error"]


def recorded(lines: list[str]) -> list[str]:
    """The lines with their warnings in a list."""
    return ["with warnings.catch_warnings(record=True) as told:", f'{_IN}warnings.simplefilter("always")',
            *(indent(line, _IN) for line in lines)]  # fmt: skip
