"""What a law is. A law is a named property; `optbench/laws/` holds one file a law. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optbench.case import Case
from optbench.runs.results import Level
from optbench.subjects import Subject


@dataclass(frozen=True)
class Law:
    """A property that every conforming implementation has.

    Args:
        id: stable name, "opt.layouts".
        level: "math" (what it computes), "state" (what it keeps) or "torch" (drop-in).
        statement: one line, printed in reports.
        catches: the kind of defect it exists to catch.
        since: the first release that has it.
        kind: the kind of subject it is about.
        grade: reported as a grade, never broken.
        host: about what the host keeps and passes on, not about kernels. In the quick suite an interpreter, which
            shares the host's code with the compiled path, leaves these to that path, unless it is named.
        formula: it takes the subject's rule to judge by: the oracle, another tier, or torch's own class. A law without
            is asked of optimizers that nobody declared, too. Where it has an oracle, that is then the very class on
            contiguous tensors in float64, unless the user names another.
        device: the kind of device that it is about, "cuda"; elsewhere its cases are skipped. Empty: any.
    """

    id: str
    level: Level
    statement: str
    catches: str
    since: str = "0.1"
    kind: str = "optimizer"
    grade: bool = False
    host: bool = False
    formula: bool = True
    device: str = ""


@dataclass(frozen=True)
class Space:
    """What hypothesis draws a law's cases from, in the full suite. Plain data: a worker process may be given it.

    Args:
        options: option -> its declared values; numbers between them are drawn too.
        forbidden: pairs of (option or "dtype", value) that cannot stand together.
        dtypes, layouts, moments, streams, variants: what `Case` may have, the plainest first.
        shapes: whether shapes are drawn.
        steps: the fewest and the most steps.
    """

    options: Mapping[str, Sequence[Any]]
    forbidden: Sequence[tuple[tuple[str, Any], tuple[str, Any]]]
    dtypes: tuple[str, ...]
    layouts: tuple[str, ...] = ("contiguous",)
    moments: tuple[str, ...] = ("every step",)
    streams: tuple[str, ...] = ("normal",)
    variants: tuple[str, ...] = ("",)
    shapes: bool = True
    steps: tuple[int, int] = (1, 4)


@dataclass(frozen=True)
class Scope:
    """What a law builds its cases for.

    Args:
        suite: "quick" or "full".
        device: a torch device.
        dtypes: storage dtypes under test.
        seed: seeds values and perturbations and, in the full suite, which options meet. The quick suite's cases are the
            same for every seed, so that a verdict that changes with it is about numbers.
    """

    suite: str = "quick"
    device: str = "cpu"
    dtypes: tuple[str, ...] = ("float32", "float64", "bfloat16", "float16", "complex64")
    seed: int = 0

    def limited(self, subject: Subject) -> Scope:
        """The same with the dtypes only that the subject takes."""
        return replace(self, dtypes=tuple(dtype for dtype in self.dtypes if dtype in subject.dtypes))

    def case(self, subject: Subject, options: Mapping[str, Any], dtype: str, **rest: Any) -> Case:
        """A case on this device and seed, with the options that differ from their defaults; `rest` as `Case` has it."""
        return Case(subject.name, subject.changed(options), dtype, **{"device": self.device, "seed": self.seed, **rest})

    def some(self, *wanted: str) -> tuple[str, ...]:
        """The wanted dtypes that are under test, or the first one under test."""
        return tuple(dtype for dtype in wanted if dtype in self.dtypes) or self.dtypes[:1]
