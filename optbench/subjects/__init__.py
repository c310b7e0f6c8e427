"""The declarations, one file an algorithm. Importing this needs no torch."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Iterable

from optbench.errors import UsageError, unknown

from ._declare import Exempt, Ground, Illegal, Kind, Option, Paper, StateEntry, Subject

__all__ = [
    "NAMES", "Exempt", "Ground", "Illegal", "Kind", "Option", "Paper", "StateEntry", "Subject", "adopt", "load",
    "select",
]  # fmt: skip

NAMES = (
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "asgd", "lbfgs", "lion", "muon", "nadam", "radam",
    "rmsprop", "rprop", "sgd", "sparse_adam",
    "lambdalr", "multiplicativelr", "steplr", "multisteplr", "constantlr", "linearlr", "exponentiallr", "polynomiallr",
    "cosineannealinglr", "chainedscheduler", "sequentiallr", "reducelronplateau", "cycliclr", "onecyclelr",
    "cosineannealingwarmrestarts", "swalr",
    "ema", "swa",
)  # fmt: skip
# What classes that nobody declared compute, or declarations with somebody's class as the oracle, in the run at work.
_ADOPTED: dict[str, Subject] = {}
_KINDS = {"optimizers": "optimizer", "schedulers": "scheduler", "averaging": "averager"}


def load(name: str) -> Subject:
    """The declaration of one algorithm, by its lower-case name.

    Raises:
        UsageError: there is no such algorithm.

    Example:
        >>> load("adam").class_name
        'Adam'
    """
    if name in _ADOPTED:
        return _ADOPTED[name]
    if name not in NAMES:
        raise unknown("algorithm", name, NAMES, "optbench list algos")
    subject: Subject = importlib.import_module(f"optbench.subjects.{name}").SUBJECT
    return subject


def adopt(found: Iterable[Subject]) -> None:
    """Let `load` give these, instead of those adopted before: they may have the names of declared ones."""
    _ADOPTED.clear()
    _ADOPTED.update({subject.name: subject for subject in found})


def select(expression: str) -> list[Subject]:
    """The algorithms that `--algo` names: names, commas, globs, `all`, `optimizers`, `schedulers`, `averaging`.

    An empty expression stands for what was adopted.

    Example:
        >>> [subject.name for subject in select("adam*")]
        ['adam', 'adamw']
    """
    chosen: list[str] = [] if expression else list(_ADOPTED)
    for item in filter(None, (part.strip().lower() for part in expression.split(","))):
        for name in _matching(item):
            if name not in chosen:
                chosen.append(name)
    if not chosen:
        raise UsageError(f"--algo {expression!r} names no algorithm: `optbench list algos` shows all.")
    return [load(name) for name in chosen]


def _matching(item: str) -> Iterable[str]:
    if item == "all":
        return NAMES
    if item in _KINDS:
        names = [name for name in NAMES if load(name).kind == _KINDS[item]]
        if not names:
            raise UsageError(f"--algo {item!r}: no {_KINDS[item]} is declared yet: `optbench list algos` shows all.")
        return names
    names = fnmatch.filter(NAMES, item)
    if not names:
        raise unknown("algorithm", item, NAMES, "optbench list algos")
    return names
