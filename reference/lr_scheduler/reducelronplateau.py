"""ReduceLROnPlateau: multiplies the rate by a factor when a metric has not got better for some time.

There is no paper. At each epoch, with the metric m:

    better = m < best*(1 - threshold)    (min, rel)        m < best - threshold    (min, abs)
             m > best*(1 + threshold)    (max, rel)        m > best + threshold    (max, abs)
    if better: best = m, bad = 0;   else: bad = bad + 1
    if cooling > 0: cooling = cooling - 1, bad = 0
    if bad > patience: lr = max(lr*factor, min_lr) where that is more than eps below lr; cooling = cooldown, bad = 0

A metric of NaN is never better. There is no closed form: the rates depend on the metrics.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, SupportsFloat

import torch
from torch.optim import Optimizer

from ._base import LRScheduler, copied, write


def is_better(metric: float, best: float, *, mode: str, threshold: float, threshold_mode: str) -> bool:
    """Whether a metric is better than the best by more than the threshold."""
    sign = -1.0 if mode == "min" else 1.0
    margin = best + sign * threshold if threshold_mode == "abs" else best * (1 + sign * threshold)
    return metric < margin if mode == "min" else metric > margin


class ReduceLROnPlateau(LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
    """Reduce the rate on a plateau, drop-in for torch.optim.lr_scheduler.ReduceLROnPlateau.

    Args: as torch's. factor < 1; patience and cooldown are in epochs; min_lr is a number, or a list with one for each
        group; eps is in units of the rate.
    Raises: ValueError for a value out of its range, or a list of the wrong length.
    Example: `ReduceLROnPlateau(optimizer, patience=3).step(loss)`
    """

    def __init__(
        self, optimizer: Optimizer, mode: Literal["min", "max"] = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: Literal["rel", "abs"] = "rel", cooldown: int = 0,
        min_lr: list[float] | float = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if factor >= 1.0:
            raise ValueError(f"factor must be below 1, not {factor}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        groups = len(optimizer.param_groups)
        if isinstance(min_lr, list | tuple) and len(min_lr) != groups:
            raise ValueError(f"expected {groups} min_lrs, one for each group, got {len(min_lr)}")
        self.optimizer = optimizer
        self.factor = factor
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = [copied(group["lr"]) for group in optimizer.param_groups]
        self._init_is_better(mode, threshold, threshold_mode)
        self._reset()

    def _init_is_better(self, mode: Any, threshold: float, threshold_mode: Any) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be min or max, not {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be rel or abs, not {threshold_mode!r}")
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Count an epoch with its metric, a number or a tensor with one element; reduce the rates when it is time."""
        metric = float(metrics)
        if epoch is not None:
            warnings.warn(f"step(epoch={epoch}) is deprecated: epochs are counted", UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch

        # count the epochs without progress
        #   best = m, bad = 0, or bad = bad + 1
        if self._is_better(metric, self.best):
            self.best = metric
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1

        # but none while cooling down
        #   cooling = cooling - 1, bad = 0
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0

        # out of patience: reduce, and cool down
        #   cooling = cooldown, bad = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = [copied(group["lr"]) for group in self.optimizer.param_groups]

    def _is_better(self, a: float, best: float) -> bool:
        return is_better(a, best, mode=self.mode, threshold=self.threshold, threshold_mode=self.threshold_mode)

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                counts = f"there are {len(groups)} groups, but {len(self.min_lrs)} min_lrs"
                raise RuntimeError(f"{counts}: append one for each new group")
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, min_lr in zip(groups, self.min_lrs, strict=True):
            # reduce
            #   lr = max(lr*factor, min_lr)
            old = float(group["lr"])
            new = max(old * self.factor, float(min_lr))
            if old - new > self.eps:
                write(group, "lr", new)
