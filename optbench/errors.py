"""What the command line can tell its caller: one line, and an exit status.

0 every judged law holds; 1 a judged law broke, or a regression; 2 wrong usage; 3 nothing could run; 4 optbench itself
failed; 130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_BROKEN = 1
EXIT_USAGE = 2
EXIT_NOTHING_RAN = 3
EXIT_INTERNAL = 4
EXIT_INTERRUPTED = 130


class OptbenchError(Exception):
    """A failure with a one-line message for the user, naming the value and the way out."""

    exit_status = EXIT_INTERNAL


class UsageError(OptbenchError):
    """The caller asked for something that does not exist or is not legal."""

    exit_status = EXIT_USAGE


class NothingToRun(OptbenchError):
    """Nothing could run here: no such device, a package that is missing."""

    exit_status = EXIT_NOTHING_RAN


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> UsageError:
    """A UsageError for a name that is not in `known`, with the nearest one suggested.

    Args:
        kind: what was looked up, in the singular ("algorithm").
        name: what the caller wrote.
        known: the legal names.
        where: the command that lists them.

    Example:
        >>> str(unknown("algorithm", "adma", ["adam", "sgd"], "optbench list algos"))
        "unknown algorithm 'adma': did you mean 'adam'? `optbench list algos` shows all."
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return UsageError(f"unknown {kind} {name!r}: {hint}`{where}` shows all.")
