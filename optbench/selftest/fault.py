"""What a planted fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A fault and what has to happen to it.

    Args:
        id: stable name.
        what: the fault in a line.
        subject: the algorithm it is planted in.
        tier: the implementation it is planted in.
        caught_by: the law that has to break.
        names: text of that law's message: the first wrong quantity.
        shipped_in: where it was released, "" for a synthetic one.
        patches: (old, new) texts of the tier's source; each old text stands there exactly once.
        wrap: takes the class, or another target, and gives a faulty one.
        file: the module the patches are for, where it is not called as the subject.
        target: what is mutated, where it is not the subject's class: "update_bn".
    """

    id: str
    what: str
    subject: str
    tier: str
    caught_by: str
    names: str
    shipped_in: str = ""
    patches: tuple[tuple[str, str], ...] = ()
    wrap: Callable[[Any], Any] | None = None
    file: str = ""
    target: str = ""
