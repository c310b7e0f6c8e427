"""ChainedScheduler: schedulers that step together. It drives its parts, and computes nothing itself."""

from __future__ import annotations

from ...common.lr_scheduler.chainedscheduler import ChainedSchedulerBase


class ChainedScheduler(ChainedSchedulerBase):
    """Schedulers that step one after another at each epoch, each from the rate that the one before has set.

    Args: those of torch.optim.lr_scheduler.ChainedScheduler. Parts may be of any tier, and torch's.

    Raises:
        TypeError: for a part that is no scheduler.
        ValueError: for no part, a ReduceLROnPlateau, or parts of several optimizers.

    Example:
        >>> import torch
        >>> from optbench.impls.fused.lr_scheduler import ConstantLR, ExponentialLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> parts = [ConstantLR(optimizer, factor=0.5), ExponentialLR(optimizer, gamma=0.9)]
        >>> ChainedScheduler(parts).get_last_lr()
        [0.25]

    Source: torch.optim.lr_scheduler.ChainedScheduler.
    """
