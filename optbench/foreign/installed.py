"""Implementations that installed packages offer by entry points. Reads metadata only: no torch, none of their code.

A package offers a class in the group `optbench.implementations`, in its pyproject.toml:

    [project.entry-points."optbench.implementations"]
    fancy-adam = "fancy.optimizers:FancyAdam"

What stands before `=` is its name on the command line, `--impl fancy-adam`; what stands behind is what `--impl` takes
too, `package.module:Class`. Names of arguments and state that are not torch's are said by an `optbench.Adapter` on the
class or in its module, as for every class. An entry point takes no part in a run that does not name it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optbench.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "optbench.implementations"
_TARGET = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True)
class Offer:
    """An implementation that a package offers.

    Args:
        name: as on the command line.
        target: what it names, "package.module:Class".
        package: the package's name and version.
        problem: why it cannot be used, with the way out; empty: it can.
    """

    name: str
    target: str
    package: str
    problem: str = ""


def offers(taken: Collection[str] = ()) -> list[Offer]:
    """What the installed packages offer, by name. Those that cannot be used say why.

    Args:
        taken: names that are ours, which no package may take.
    """
    found: dict[tuple[str, str], Offer] = {}
    for offer in _read():
        # A package may be found twice, as a checkout and installed.
        found.setdefault((offer.name, offer.target), offer)
    everything = sorted(found.values(), key=lambda offer: (offer.name, offer.package))
    return [replace(offer, problem=_problem(offer, everything, taken)) for offer in everything]


def find(name: str) -> Offer | None:
    """What is offered under a name; None where nothing is.

    Raises:
        UsageError: several packages offer the name, or what it names is no class.
    """
    found = next((offer for offer in offers() if offer.name == name), None)
    if found and found.problem:
        raise UsageError(f"--impl {name!r}: {found.problem}")
    return found


def _read() -> Iterator[Offer]:
    """The entry points as they stand; of a package whose list cannot be read, one that says so."""
    # Imported where it is needed: the harness's start has to be quick.
    from importlib import metadata

    try:
        entries = list(metadata.entry_points(group=GROUP))
    except Exception:
        # One unreadable list hides those of all packages from that call.
        yield from _one_by_one()
        return
    for entry in entries:
        yield Offer(entry.name, entry.value, _package(entry.dist))


def _one_by_one() -> Iterator[Offer]:
    from importlib import metadata

    for package in metadata.distributions():
        try:
            entries = list(package.entry_points.select(group=GROUP))
        except Exception as error:
            if GROUP in (package.read_text("entry_points.txt") or ""):
                said = f"its entry_points.txt cannot be read ({type(error).__name__}): install it again."
                yield Offer(_package(package), "", _package(package), said)
            continue
        for entry in entries:
            yield Offer(entry.name, entry.value, _package(package))


def _package(package: Distribution | None) -> str:
    try:
        return f"{package.name} {package.version}" if package else "an unknown package"
    except Exception:
        return "a package without metadata"


def _problem(offer: Offer, everything: Collection[Offer], taken: Collection[str]) -> str:
    others = [other.package for other in everything if other.name == offer.name and other is not offer]
    if offer.problem:
        return offer.problem
    if not _TARGET.fullmatch(offer.target):
        return f"the entry point of {offer.package} names {offer.target!r}, which is not package.module:Class."
    if offer.name in taken:
        return f"{offer.package} offers a name that is ours: write --impl {offer.target}."
    if others:
        return f"{offer.package} and {', '.join(others)} offer this name: write --impl {offer.target}."
    return ""
