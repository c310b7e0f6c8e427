"""Which mutants there are: of a subject's own sources, of what all of a kind share, and of its classes from outside."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from optbench import registry, subjects
from optbench.subjects import Kind, Subject

from . import averagers, optimizers, schedulers, sources
from .sources import SourceMutant

TIERS = ("reference", "foreach", "fused")
# What all subjects of a kind share in a tier, beside their own module; "common/" is shared by two tiers.
_SHARED: dict[tuple[Kind, str], tuple[str, ...]] = {
    ("optimizer", "reference"): ("_ops", "_base", "_checks"),
    ("optimizer", "foreach"): ("lists", "scalars", "buckets", "common/base"),
    ("scheduler", "reference"): ("_base", "_ops", "_momentum", "_composite", "_lambdas"),
    ("scheduler", "foreach"): ("base", "common/base", "common/momentum", "common/composite", "common/lambdas"),
    ("averager", "reference"): ("averagedmodel", "update_bn"),
    ("averager", "foreach"): ("averagedmodel", "averages", "common/update_bn"),
    ("averager", "fused"): ("averagedmodel", "average"),
}
# Further modules of a subject's own.
_MORE = {("lbfgs", "foreach"): ("line_search", "flat"), ("lbfgs", "fused"): ("wolfe",)}
# Subjects whose options reach most of what is shared, first.
_TELLING = ("adam", "sgd", "asgd", "adagrad", "muon", "lbfgs", "constantlr", "multisteplr", "sequentiallr", "swalr",
            "cosineannealinglr", "lambdalr", "multiplicativelr", "onecyclelr", "cycliclr", "steplr",
            "reducelronplateau", "swa", "ema")  # fmt: skip
# So many subjects are asked of what they share.
_ASKED: dict[Kind, int] = {"optimizer": 5, "scheduler": 7, "averager": 2}
# And these of a module of schedulers: a part that is not due keeps to itself, parts are begun for others, a cycle ends.
_ALSO = {"momentum": ("sequentiallr",), "composite": ("sequentiallr", "chainedscheduler"),
         "base": ("onecyclelr", "chainedscheduler")}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mutant:
    """A generated fault.

    Args:
        id: "adam/fused/stale-state@exp_avg": where, which operator, what it works on.
        operator: its name.
        subjects: whose laws are asked, the first first.
        tier: whose implementation is judged.
        source: the change of a source; None for a wrapper.
        wrap: makes a class or function faulty; None for a change of a source.
        target: the name of what is wrapped, where it is not the subject's class.
    """

    id: str
    operator: str
    subjects: tuple[str, ...]
    tier: str
    source: SourceMutant | None = None
    wrap: Callable[[Any], Any] | None = None
    target: str = ""

    @property
    def compiled(self) -> bool:
        return self.source is not None and self.source.compiled


@functools.cache
def unit(subject: str, tier: str) -> tuple[Mutant, ...]:
    """The mutants of a subject's own module and classes in a tier; those that are shared go with the first user."""
    declared = subjects.load(subject)
    found = [*_own(declared, tier), *_wrapped(declared, tier)]
    found += [mutant for mutant in shared(declared.kind, tier) if mutant.subjects[0] == subject]
    return tuple(found)


@functools.cache
def shared(kind: Kind, tier: str) -> tuple[Mutant, ...]:
    """The mutants of what the subjects of a kind share in a tier."""
    found: list[Mutant] = []
    within = {"optimizer": "", "scheduler": "lr_scheduler", "averager": "swa_utils"}[kind]
    for name in _SHARED.get((kind, tier), ()):
        folder, _, stem = name.rpartition("/")
        module = _module(folder or tier, within, stem)
        where = ".".join(filter(None, (within, stem)))
        for source in sources.mutants(module, f"{where}/{folder or tier}", {}):
            used = _users(kind, tier, stem, source.function)
            found.append(Mutant(source.id, source.operator, used, tier, source))
    return tuple(found)


def _own(subject: Subject, tier: str) -> Iterator[Mutant]:
    if subject.kind == "averager":
        return
    defaults = {option.name: option.default for option in subject.options if type(option.default) in (int, float, bool)}
    own = [(tier, subject.name), *((tier, name) for name in _MORE.get((subject.name, tier), ()))]
    own += [("common", subject.name)] if tier == "foreach" else []
    for folder, stem in own:
        module = _module(folder, subject.module, stem)
        for source in sources.mutants(module, f"{stem}/{folder}", defaults):
            yield Mutant(source.id, source.operator, (subject.name,), tier, source)


def _wrapped(subject: Subject, tier: str) -> Iterator[Mutant]:
    made = {"optimizer": optimizers, "scheduler": schedulers, "averager": averagers}[subject.kind].wrappers(subject)
    for operator, at, wrap in made:
        yield Mutant(f"{subject.name}/{tier}/{operator}@{at}", operator, (subject.name,), tier, wrap=wrap)
    if subject.kind == "averager":
        for operator, at, target, wrap in averagers.functions(subject):
            name = f"{subject.name}/{tier}/{operator}@{at}"
            yield Mutant(name, operator, (subject.name,), tier, wrap=wrap, target=target)


def _module(folder: str, within: str, stem: str) -> str:
    """Full name of a tier's module; `common` lies beside the tiers that share it."""
    package = registry.IMPLEMENTATIONS["foreach" if folder == "common" else folder].module
    if folder == "common":
        package = f"{package.rpartition('.')[0]}.common"
    return ".".join(filter(None, (package, within, stem)))


@functools.cache
def _users(kind: Kind, tier: str, stem: str, function: str) -> tuple[str, ...]:
    """The subjects whose own modules in a tier name a function; where it is a method, or named nowhere, its module."""
    everyone = [subject for subject in map(subjects.load, subjects.NAMES) if subject.kind == kind]
    texts = {subject.name: _texts(subject, tier) for subject in everyone}
    imports = rf"\b{stem} import\b|\bimport {stem}\b"
    importing = [name for name, text in texts.items() if re.search(imports, text)] or [*texts]
    found = [name for name in importing if re.search(rf"\b{re.escape(function)}\b", texts[name])] or importing
    found.sort(key=lambda subject: _TELLING.index(subject) if subject in _TELLING else len(_TELLING))
    found = found[: _ASKED[kind]]
    also = _ALSO.get(stem.strip("_"), ()) if kind == "scheduler" else ()
    return (*found, *(name for name in also if name not in found))


def _texts(subject: Subject, tier: str) -> str:
    if subject.kind == "averager":
        return ""
    folders = (tier, "common") if tier == "foreach" else (tier,)
    return "".join(sources.path(_module(folder, subject.module, subject.name)).read_text() for folder in folders)
