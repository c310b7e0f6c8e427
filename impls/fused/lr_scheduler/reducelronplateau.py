"""ReduceLROnPlateau: rates fall where a metric does not get better. It stays on the host, which has the metric."""

from __future__ import annotations

from ...common.lr_scheduler.reducelronplateau import ReduceLROnPlateauBase


class ReduceLROnPlateau(ReduceLROnPlateauBase):
    """lr = max(lr * factor, min_lr) after more than `patience` epochs in a row without an improvement.

    Args: those of torch.optim.lr_scheduler.ReduceLROnPlateau.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a factor that is 1 or more, an unknown mode or threshold_mode, or min_lr of another length than
            the groups.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> scheduler = ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        >>> for loss in (1.0, 2.0):
        ...     scheduler.step(loss)
        >>> scheduler.get_last_lr()
        [0.25]

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    def _is_better(self, a: float, best: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            return sign * a > sign * best * (1.0 + sign * self.threshold)
        return sign * a > sign * best + self.threshold

    def _reduced(self, rates: list[float]) -> list[float]:
        lowered = [max(rate * self.factor, float(low)) for rate, low in zip(rates, self.min_lrs, strict=True)]
        # a change that is not worth its while is none
        return [new if old - new > self.eps else old for old, new in zip(rates, lowered, strict=True)]
