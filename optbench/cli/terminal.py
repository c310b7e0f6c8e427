"""What a terminal takes: colour, width, symbols, a line of progress. Data goes to stdout, all else to stderr."""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
import textwrap
import time
from typing import TextIO

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
_ASCII = {"✓": "+", "✗": "X", "–": "-", "…": ".", "µ": "u", "×": "x", "·": "-", "⚠": "!"}
_REDRAW = 0.1


def width() -> int:
    """Columns to write in: the terminal's, between 60 and 160; 80 where there is none."""
    return max(60, min(160, shutil.get_terminal_size((80, 24)).columns))


def coloured(stream: TextIO) -> bool:
    """Whether colour may be used: on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, enabled: bool) -> str:
    """The text in a colour; colours never stand alone, a symbol or word says the same."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if enabled and colour else text


def forgive_encoding(stream: TextIO) -> None:
    """Let a stream write stand-ins for the symbols that its encoding does not have."""
    codecs.register_error("optbench", _stand_in)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="optbench")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(letter, "?") for letter in missing), error.end


def wrap(text: str, columns: int, indent: str = "") -> str:
    """The text in lines of at most `columns`, the following ones indented."""
    return textwrap.fill(text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def note(text: str) -> None:
    """Something that is not data, on standard error."""
    print(text, file=sys.stderr)


class ProgressLine:
    """One line on standard error that is overwritten; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = 0.0
        self._drawn = False

    def show(self, text: str, done: int = 0, total: int = 0) -> None:
        """Say what is done now, at most ten times a second."""
        now = time.monotonic()
        if not self._shown or (now - self._last < _REDRAW and done != total):
            return
        self._last = now
        counted = f"{done:>{len(str(total))}}/{total} " if total else ""
        line = f"{counted}{text}"[: width() - 1]
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Remove the line before anything else is written."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
