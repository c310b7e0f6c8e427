"""Lines of Python that repeat themselves, as loops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import indent

# What one step of a block is given may differ from round to round.
_ARGUMENT = re.compile(r"(.*\.step\()([^()]+)(\))")
_LONGEST_BLOCK = 4
_IN = "    "

# What a line begins with, what its step is given, and what it ends with.
Split = tuple[str, str, str]


def folded(lines: list[str]) -> list[str]:
    """Equal blocks in a loop, and blocks that are equal but for what one step is given.

    Example:
        >>> folded(["a.step()", "b.step(1)", "a.step()", "b.step(2)", "a.step()", "b.step(4)"])
        ['for value in (1, 2, 4):\\n    a.step()\\n    b.step(value)']
    """
    found: list[str] = []
    at = 0
    while at < len(lines):
        for size in range(1, _LONGEST_BLOCK + 1):
            blocks = list(_alike(lines, at, size))
            if len(blocks) > 2:
                found.append(_loop(blocks))
                at += size * len(blocks)
                break
        else:
            found.append(lines[at])
            at += 1
    return found


def _alike(lines: list[str], at: int, size: int) -> Iterator[list[Split]]:
    """Blocks of one size from a line on, as long as they are alike."""
    first = None
    for begin in range(at, len(lines) - size + 1, size):
        block = [_split(line) for line in lines[begin : begin + size]]
        first = first or block
        differ = [a for a, b in zip(first, block, strict=True) if a != b]
        varied = [a for a in first if a[1]]
        if any((a[0], a[2]) != (b[0], b[2]) for a, b in zip(first, block, strict=True)) or (differ and len(varied) > 1):
            return
        yield block


def _split(line: str) -> Split:
    found = _ARGUMENT.fullmatch(line)
    return (found[1], found[2], found[3]) if found else (line, "", "")


def _loop(blocks: list[list[Split]]) -> str:
    given = [next((each[1] for each in block if each[1]), "") for block in blocks]
    head = f"for _ in range({len(blocks)}):"
    block = blocks[0]
    if len(set(given)) > 1:
        head = f"for value in ({', '.join(given)}):"
        block = [(begins, "value" if given else "", ends) for begins, given, ends in block]
    return "\n".join([head, *(indent("".join(parts), _IN) for parts in block)])
