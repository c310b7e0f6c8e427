"""Mutants that no law can see, each with the argument: data in `unseen/`, a file a kind."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Equivalent:
    """Mutants that change nothing that a law could ask for.

    Args:
        mutants: their ids, where `*` stands for any text.
        because: why no law can see them.
    """

    mutants: str
    because: str

    def covers(self, mutant: str) -> bool:
        """Whether this is one of them."""
        return re.fullmatch(".*".join(map(re.escape, self.mutants.split("*"))), mutant, re.DOTALL) is not None


@functools.cache
def listed() -> tuple[Equivalent, ...]:
    """What the tables say."""
    tables = sorted(Path(__file__).with_name("unseen").glob("*.toml"))
    return tuple(
        Equivalent(pattern, entry["because"])
        for table in tables
        for entry in tomllib.loads(table.read_text(encoding="utf-8"))["equivalent"]
        for pattern in entry["mutants"]
    )


def argument(mutant: str, table: Iterable[Equivalent] | None = None) -> str:
    """Why a mutant cannot be seen; "" where it is not listed."""
    return next((item.because for item in (listed() if table is None else table) if item.covers(mutant)), "")


def unmatched(mutants: Iterable[str], table: Iterable[Equivalent] | None = None) -> list[str]:
    """What is listed, but is no mutant any more."""
    everyone = list(mutants)
    return [
        item.mutants for item in (listed() if table is None else table) if not any(map(item.covers, everyone))
    ]  # fmt: skip
