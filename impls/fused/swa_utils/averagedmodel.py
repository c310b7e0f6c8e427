"""Averages of a model's weights, all in one launch: the mean (SWA), and an exponential average (EMA).

Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon Wilson: Averaging Weights Leads to
Wider Optima and Better Generalization, 2018, https://arxiv.org/abs/1803.05407, algorithm 1.
B. T. Polyak, A. B. Juditsky: Acceleration of Stochastic Approximation by Averaging, 1992,
https://doi.org/10.1137/0330046.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import swa_utils

from .memory import Memory
from .passes import Passes
from .tree import Tree


class _Average:
    """What an average gives to the model that comes next, `weight`, and torch's two calling conventions for it."""

    def __init__(self, decay: float | None) -> None:
        if decay is not None and not 0.0 <= decay <= 1.0:
            raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")
        self.decay = decay

    def weight(self, num_averaged: int) -> float:
        """The model's part of the new average, after so many models."""
        return 1.0 / (num_averaged + 1) if self.decay is None else 1.0 - self.decay


class _MultiAverage(_Average):
    """In place, of lists of tensors."""

    _passes: Passes | None = None

    @torch.no_grad()
    def __call__(
        self, averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int
    ) -> None:
        passes, self._passes = self._passes, None
        if passes is None or not passes.hold(averaged, current):
            passes = Passes(averaged, current)
        passes.run(averaged, current, self.weight(0 if self.decay is not None else int(num_averaged)))
        self._passes = passes

    def __getstate__(self) -> dict[str, Any]:
        return {"decay": self.decay}


class _SingleAverage(_Average):
    """As a new tensor, of one tensor."""

    @torch.no_grad()
    def __call__(self, averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        result = averaged.clone()
        weight = self.weight(0 if self.decay is not None else int(num_averaged))
        Passes([result], [current]).run([result], [current], weight)
        return result


def get_ema_multi_avg_fn(decay: float = 0.999) -> _MultiAverage:
    """Get a function that takes lists of averages one step, in place: average = decay*average + (1 - decay)*current.

    Raises:
        ValueError: for a decay outside [0, 1].
    """
    return _MultiAverage(decay)


def get_swa_multi_avg_fn() -> _MultiAverage:
    """Get a function that brings lists of means up to date, in place: mean = mean + (current - mean)/(n + 1)."""
    return _MultiAverage(None)


def get_ema_avg_fn(decay: float = 0.999) -> _SingleAverage:
    """Get a function that gives decay*average + (1 - decay)*current for one tensor.

    Raises:
        ValueError: for a decay outside [0, 1].
    """
    return _SingleAverage(decay)


def get_swa_avg_fn() -> _SingleAverage:
    """Get a function that gives mean + (current - mean)/(n + 1) for one tensor."""
    return _SingleAverage(None)


class AveragedModel(swa_utils.AveragedModel):
    """An average of a model's weights, all of one dtype updated in one launch.

    average = average + w*(current - average), w = 1/(n + 1) for the mean, 1 - decay for an exponential average. No
    average stands still for want of digits: those of 16-bit tensors are kept in float32 and those of integers in
    float64, `module` holding them rounded; and where w is below 2**-10, what additions to float32 and float64 lose is
    kept and added next time. These digits are not in `state_dict()`: an average that goes on from a checkpoint, or that
    somebody else wrote to, begins with what `module` holds.

    Args: those of torch.optim.swa_utils.AveragedModel. Functions other than this package's are called as torch calls
        them, and average what the tensors hold.

    Raises:
        AssertionError: if both avg_fn and multi_avg_fn are given.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        >>> ema.update_parameters(model)
        >>> int(ema.n_averaged)
        1

    Source: Izmailov et al., 2018, https://arxiv.org/abs/1803.05407.
    """

    _memory: Memory | None = None
    _passes: Passes | None = None
    _trees: list[Tree] | None = None
    _count: tuple[Tensor, int, int] | None = None
    _backends: tuple[str, ...] = ()

    @property
    def backend(self) -> str | None:
        """What ran the last update: "numba", "triton" or "triton-interpreter", joined by "+"; None before the first."""
        return "+".join(self._backends) or None

    @torch.no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's weights into the average. The first are copied.

        Args:
            model: a model with as many parameters and buffers, of the same shapes.
        """
        function = self.avg_fn if self.multi_avg_fn is None else self.multi_avg_fn
        average = get_swa_multi_avg_fn() if function is None else function
        if not isinstance(average, _Average):
            super().update_parameters(model)
            return
        (averages, buffers), (sources, model_buffers) = self._tensors(model)
        if self.use_buffers:
            averages, sources = averages + buffers, sources + model_buffers
        pairs = list(zip(averages, sources, strict=False))
        count = self._models()
        if count == 0:
            _copy(pairs)
        elif pairs:
            self._average(pairs, average.weight(count))
        if not self.use_buffers:
            _copy(list(zip(buffers, model_buffers, strict=True)))
        self.n_averaged += 1
        if not self.n_averaged.is_inference():
            self._count = self.n_averaged, self.n_averaged._version, count + 1

    def _average(self, pairs: list[tuple[Tensor, Tensor]], weight: float) -> None:
        averages, sources = map(list, zip(*pairs, strict=True))
        memory = self._memory = self._memory or Memory()
        before = memory.digits
        digits = memory.digits_for(averages, weight)
        # Only what went through is kept.
        passes, self._passes = self._passes, None
        if passes is None or digits is not before or not passes.hold(averages, sources):
            passes = Passes(averages, sources, digits)
        self._backends = passes.run(averages, sources, weight)
        memory.mark()
        self._passes = passes

    def _tensors(self, model: Module) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Parameters and buffers of both sides."""
        roots = self.module, model
        if self._trees is None or any(tree.root() is not root for tree, root in zip(self._trees, roots, strict=True)):
            self._trees = [Tree(root) for root in roots]
        return [tree.tensors() for tree in self._trees]

    def _models(self) -> int:
        """`n_averaged` as a number; a device is not asked for what is known."""
        if self._count is not None:
            tensor, version, count = self._count
            if tensor is self.n_averaged and tensor._version == version:
                return count
        return int(self.n_averaged)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_passes": None, "_trees": None, "_count": None}


def _copy(pairs: list[tuple[Tensor, Tensor]]) -> None:
    by_kind: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
    for target, source in pairs:
        targets, sources = by_kind.setdefault((target.device, target.dtype, source.device, source.dtype), ([], []))
        targets.append(target)
        sources.append(source)
    for targets, sources in by_kind.values():
        torch._foreach_copy_(targets, sources)
