"""Constructor, checks and state of ReduceLROnPlateau: everything but its arithmetic."""

import warnings
from math import inf
from typing import Any, Literal, SupportsFloat

from torch.optim import lr_scheduler
from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase, check, check_optimizer
from .groups import standing, write


class ReduceLROnPlateauBase(LRSchedulerBase, lr_scheduler.ReduceLROnPlateau):
    """ReduceLROnPlateau without its arithmetic: a tier implements `_is_better` and `_reduced`.

    A subclass of torch's, so that what tells it from other schedulers by its class goes on doing so.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a factor that is 1 or more, an unknown mode or threshold_mode, or min_lr of another length than
            the groups.

    Source: the constructor of torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        check(factor < 1.0, "factor", factor, "less than 1")
        check_optimizer(optimizer)
        check(mode in ("min", "max"), "mode", mode, "'min' or 'max'")
        check(threshold_mode in ("rel", "abs"), "threshold_mode", threshold_mode, "'rel' or 'abs'")
        count = len(optimizer.param_groups)
        self.factor = factor
        self.optimizer = optimizer
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = [*min_lr] if isinstance(min_lr, list | tuple) else [min_lr] * count
        check(len(self.min_lrs) == count, "min_lr", min_lr, f"{count} values, one a parameter group")
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.mode_worse = inf if mode == "min" else -inf
        self._last_lr = standing(optimizer.param_groups)
        self._reset()

    def _is_better(self, a: float, best: float) -> bool:
        """Whether `a` is better than the best so far, by more than the threshold."""
        raise NotImplementedError(f"{type(self).__name__} must implement _is_better")

    def _reduced(self, rates: list[float]) -> list[float]:
        """The rate of each group after a reduction that is worth its while."""
        raise NotImplementedError(f"{type(self).__name__} must implement _reduced")

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take in the metric of an epoch, a number or a 1-element tensor; NaN is no improvement."""
        current = float(metrics)
        if epoch is None:
            epoch = self.last_epoch + 1
        else:
            warnings.warn(lr_scheduler.EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(epoch)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = standing(self.optimizer.param_groups)

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(self.min_lrs) != len(groups):
            if self.default_min_lr is None:
                raise RuntimeError(f"min_lrs has {len(self.min_lrs)} values for {len(groups)} parameter groups")
            self.min_lrs = [self.default_min_lr] * len(groups)
        standing = [float(group["lr"]) for group in groups]
        write(groups, self._reduced(standing))

    def get_lr(self) -> Any:
        """Not for this scheduler, whose rates depend on the metrics."""
        raise NotImplementedError("the rates of ReduceLROnPlateau depend on metrics: see get_last_lr()")

