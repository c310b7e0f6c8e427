"""ChainedScheduler, which leaves all arithmetic of rates to its parts."""

from collections.abc import Sequence

from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from .composite import CompositeBase
from .groups import standing


class ChainedSchedulerBase(CompositeBase):
    """Schedulers that step one after another at each epoch, each from the rate that the one before has set.

    Raises:
        TypeError: for a part that is no scheduler.
        ValueError: for no part, a ReduceLROnPlateau, or parts of several optimizers.

    Source: the constructor of torch.optim.lr_scheduler.ChainedScheduler.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._check_parts(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = schedulers[0].optimizer
        self._last_lr = standing(self.optimizer.param_groups)

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch: every part steps, in order."""
        for part in self._schedulers:
            part.step()
        self._last_lr = standing(self.optimizer.param_groups)
