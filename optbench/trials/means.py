"""What an average has to be: explicit float64 sums over all models so far, unlike the recurrences that are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from optbench.trials.error import Quantity, quantity, real, real_dtype
from optbench.trials.oracle import CHANGES, moved

# (models [updates, ...], the average before them, how many models are in that) -> the average after them
Average = Callable[[Tensor, Tensor, int], Tensor]


def mean(models: Tensor, start: Tensor, counted: int) -> Tensor:
    """The equally weighted mean.

    Example:
        >>> mean(torch.tensor([4.0, 9.0]), torch.tensor(2.0), 1).item()
        5.0
    """
    return (start * counted + models.sum(0)) / (counted + len(models))


@dataclass(frozen=True)
class Exponential:
    """The mean whose weights decay from the latest model back.

    Example:
        >>> Exponential(0.5)(torch.tensor([4.0, 9.0]), torch.tensor(2.0), 1).item()
        6.0
    """

    decay: float

    def __call__(self, models: Tensor, start: Tensor, counted: int) -> Tensor:
        ages = torch.arange(len(models) - 1, -1, -1, dtype=torch.float64)
        weights = (1 - self.decay) * self.decay**ages
        return self.decay ** len(models) * start + (weights.view(-1, *[1] * start.dim()) * models).sum(0)


def numbered_sum(models: Tensor, start: Tensor, counted: int) -> Tensor:
    """The sum of all models, each times its number; what the caller's own function computes in these laws.

    Example:
        >>> numbered_sum(torch.tensor([4.0, 9.0]), torch.tensor(2.0), 1).item()
        24.0
    """
    numbers = torch.arange(counted, counted + len(models), dtype=torch.float64)
    return start + (numbers.view(-1, *[1] * start.dim()) * models).sum(0)


def expected(
    average: Average, models: Tensor, start: Tensor | None, counted: int, dtype: torch.dtype, rng: torch.Generator
) -> Quantity:
    """The average after these models, and how far half a spacing of change of each of them moves it.

    Args:
        models: [updates, ...] in float64 or complex128, representable in `dtype`; one at least.
        start: the average before them; None: there is none, the first model is copied.
        counted: how many models are in `start`.
        dtype: the tested storage dtype.
        rng: makes the changes.
    """
    everything = models if start is None else torch.cat([start[None], models])
    changed = moved(everything[:, None].expand(-1, CHANGES, *everything.shape[1:]), dtype, rng)
    begun = max(counted, 1)
    value, before = (fold(average, some, begun) for some in (everything, everything[: len(everything) - 1]))
    others = fold(average, changed, begun)
    move = (real(others) - real(value)).abs().amax(0).nan_to_num(nan=0.0, posinf=0.0)
    return quantity(real(value), move, real(before), real_dtype(dtype))


def fold(average: Average, everything: Tensor, begun: int) -> Tensor:
    """The average of a start, which stands for so many models, and those behind it; zero without even a start."""
    if not len(everything):
        return torch.zeros(everything.shape[1:], dtype=everything.dtype)
    return average(everything[1:], everything[0], begun)
