"""SequentialLR: one scheduler after another. It drives its parts, and computes nothing itself."""

from __future__ import annotations

from ...common.lr_scheduler.sequentiallr import SequentialLRBase


class SequentialLR(SequentialLRBase):
    """One scheduler after another, each from its own epoch 0 on when its milestone has come.

    Args: those of torch.optim.lr_scheduler.SequentialLR. Parts may be of any tier, and torch's.

    Raises:
        TypeError: for a part that is no scheduler.
        ValueError: for no part, a ReduceLROnPlateau, a part of another optimizer, another number of milestones than one
            less than the parts, or milestones that decrease.

    Example:
        >>> import torch
        >>> from optbench.impls.fused.lr_scheduler import ConstantLR, ExponentialLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> parts = [ConstantLR(optimizer, factor=0.5), ExponentialLR(optimizer, gamma=0.9)]
        >>> SequentialLR(optimizer, parts, milestones=[20]).get_last_lr()
        [0.25]

    Source: torch.optim.lr_scheduler.SequentialLR.
    """
