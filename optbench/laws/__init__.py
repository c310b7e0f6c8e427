"""The laws, one file a law. A file holds `LAW`, `cases(subject, scope)` and `check(trial)`; a new law
is a new file.

Importing a law needs no torch, so that laws can be listed at once.
"""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.errors import unknown
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from types import ModuleType

# The law of each kind that meets every option: coverage is told of its cases.
WIDEST = {"optimizer": "opt.oracle", "scheduler": "sch.formula", "averager": "avg.oracle"}


@dataclass(frozen=True)
class Entry:
    """A law with the functions of its file; `check` takes the trial of the law's kind."""

    law: Law
    cases: Callable[[Subject, Scope], Iterable[Case]]
    check: Callable[[Any], None]
    module: ModuleType

    def concerns(self, subject: Subject) -> bool:
        """Whether the law asks anything of an algorithm: some are about few of their kind."""
        return self.law.kind == subject.kind and next(iter(self.cases(subject, Scope())), None) is not None

    def space(self, subject: Subject, scope: Scope) -> Space | None:
        """What its further cases are drawn from in the full suite; None where there are none."""
        within = scope.limited(subject)
        if scope.suite != "full" or not within.dtypes or not hasattr(self.module, "space"):
            return None
        found: Space = self.module.space(subject, within)
        return found


@cache
def entries() -> dict[str, Entry]:
    """Every law by its id, in the order of their files' names."""
    found = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        loaded = importlib.import_module(f"{__name__}.{name}")
        found[loaded.LAW.id] = Entry(loaded.LAW, partial(_asked, loaded), loaded.check, loaded)
    return found


def _asked(module: ModuleType, subject: Subject, scope: Scope) -> Iterator[Case]:
    """A law's cases, with the options that every case of the subject has, without those that it is exempt from.

    None, where the law takes a rule and nobody knows the subject's.
    """
    within = scope.limited(subject)
    if within.dtypes and (subject.rule or not module.LAW.formula):
        for chosen in module.cases(subject, within):
            case = replace(chosen, options={**subject.base, **chosen.options})
            if not subject.exempts(module.LAW.id, case.id):
                yield case


def select(patterns: Iterable[str] = ()) -> list[Entry]:
    """The laws that the patterns name, all where there are none.

    Raises:
        UsageError: a pattern that names no law.

    Example:
        >>> [entry.law.id for entry in select(["opt.lay*"])]
        ['opt.layouts']
    """
    everything = entries()
    chosen: dict[str, Entry] = {}
    wanted = list(patterns)
    for pattern in wanted:
        names = fnmatch.filter(everything, pattern)
        if not names:
            raise unknown("law", pattern, everything, "optbench list laws")
        chosen |= {name: everything[name] for name in names}
    return list(chosen.values()) if wanted else list(everything.values())
