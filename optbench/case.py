"""A case: everything that decides one check besides the law and the implementation. Plain data, needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AsTensor:
    """An option's value that is passed as a 0-d float32 tensor rather than as a Python number."""

    value: float

    def __str__(self) -> str:
        return f"tensor({self.value:g})"


@dataclass(frozen=True)
class Case:
    """Subject x hyperparameters x layout x dtype x device x moments x gradient stream.

    Args:
        subject: name of the algorithm.
        options: hyperparameters that differ from the defaults.
        dtype: storage dtype of the parameters, "float32".
        layout: name in `optbench.layouts`.
        moment: when gradients are there and what happens between steps, a name in `optbench.trials.problem`.
        shapes: name of a set of shapes in `optbench.trials.problem`, or the shapes themselves: "3x4,0,scalar".
        stream: name of a gradient stream in `optbench.trials.problem`.
        steps: number of optimizer steps.
        device: a torch device.
        seed: seeds parameters, gradients and perturbations.
        variant: what else a law varies, by name.
        drawn: no law lists it: hypothesis drew it, or a failure was reduced to it. Its id tells its steps, too.
    """

    subject: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    layout: str = "contiguous"
    moment: str = "every step"
    shapes: str = "mixed"
    stream: str = "normal"
    steps: int = 3
    device: str = "cpu"
    seed: int = 0
    variant: str = ""
    drawn: bool = False

    @property
    def id(self) -> str:
        """Unique within a law and subject, without blanks, so that `-k` can name it."""
        parts = [self.dtype, self.layout, self.moment, self.shapes, self.stream]
        defaults = ["", "contiguous", "every step", "mixed", "normal"]
        named = [part for part, default in zip(parts, defaults, strict=True) if part != default]
        options = ",".join(f"{name}={format_value(value)}" for name, value in sorted(self.options.items()))
        named += [text for text in (f"{self.steps} steps" if self.drawn else "", self.variant, options) if text]
        return "/".join(named).replace(" ", "_")


def format_value(value: Any) -> str:
    """An option's value as it stands in a case id: short and without blanks or parentheses."""
    if isinstance(value, tuple):
        return ":".join(format_value(item) for item in value)
    if isinstance(value, AsTensor):
        return f"tensor:{value.value:g}"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
