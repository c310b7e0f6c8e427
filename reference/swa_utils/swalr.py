"""SWALR: from the rate that is there to a constant one, at which weights are averaged.

Paper: Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov and Andrew Gordon Wilson, "Averaging Weights
Leads to Wider Optima and Better Generalization", 2018, https://arxiv.org/abs/1803.05407, section 3.2, whose constant
rate this reaches; the annealing is PyTorch's.

Rate of a group at epoch t = 0, 1, 2, ..., with N = anneal_epochs:

    f(t) = (1 + cos(pi * t/N))/2 (cos) or (N - t)/N (linear)        1 at 0, and 0 for t >= N
    lr(t) = swa_lr + (base - swa_lr) * f(t)                         closed
    lr(t) = swa_lr + (lr(t - 1) - swa_lr) * f(t)/f(t - 1)           recursive; swa_lr where f(t - 1) = 0

Another scheduler may run first: the recursive form then goes on from the rate that it has left.

Where this departs from PyTorch's code:
- Built with a last_epoch, it goes on at that epoch; PyTorch begins to anneal anew.
- A group that is added later gets the common swa_lr, where there is one; PyTorch raises at the next step.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from ..lr_scheduler._base import Schedule, check_resumed, copied, per_group
from ..lr_scheduler._ops import blend, half_cosine


def ways(epoch: float, anneal_epochs: int, strategy: str) -> tuple[float, float]:
    """f(t), and 1 - f(t) with all its digits."""
    done, left = max(epoch, 0), anneal_epochs - max(epoch, 0)
    # no way, or none left
    #   f = 0
    if left <= 0:
        return 0.0, 1.0
    # the way that is left
    #   f = (1 + cos(pi * t/N))/2, or (N - t)/N
    if strategy == "cos":
        return half_cosine(done, left), half_cosine(left, done)
    return left / anneal_epochs, done / anneal_epochs


def rate(epoch: float, base: float, *, swa_lr: float, anneal_epochs: int, strategy: str) -> float:
    """The rate at an epoch."""
    # closed form, both ends exactly
    #   lr = base * f(t) + swa_lr * (1 - f(t))
    return blend(base, swa_lr, *ways(epoch, anneal_epochs, strategy))


def next_rate(epoch: float, lr: float, base: float, *, swa_lr: float, anneal_epochs: int, strategy: str) -> float:
    """The rate at an epoch, from the last one."""
    now, before = ways(epoch, anneal_epochs, strategy)[0], ways(epoch - 1, anneal_epochs, strategy)[0]
    # recursive form
    #   lr = swa_lr + (lr - swa_lr) * f(t)/f(t - 1)
    kept = now / before if before else 0.0
    return blend(lr, swa_lr, kept, 1 - kept)


class SWALR(Schedule):
    """Anneal to a constant rate, drop-in for torch.optim.swa_utils.SWALR.

    Args: as torch's. swa_lr is a number, or a list with one for each group, which keep it; anneal_epochs >= 0.
    Raises: ValueError for a value out of its range, or a list of the wrong length.
    Example: `SWALR(optimizer, swa_lr=0.05, anneal_epochs=5).step()`
    """

    _rate = staticmethod(rate)
    _next_rate = staticmethod(next_rate)

    def __init__(
        self, optimizer: Optimizer, swa_lr: float | list[float], anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos", last_epoch: int = -1,
    ) -> None:  # fmt: skip
        swa_lrs = per_group("swa_lr", optimizer, swa_lr)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be cos or linear, not {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be an integer of 0 or more, not {anneal_epochs}")
        check_resumed(optimizer, last_epoch)
        for group, value in zip(optimizer.param_groups, swa_lrs, strict=True):
            group["swa_lr"] = value
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _adopt_group(self, index: int, group: dict[str, Any]) -> None:
        common = self.optimizer.param_groups[0]["swa_lr"]
        if "swa_lr" not in group and any(other["swa_lr"] != common for other in self.optimizer.param_groups[:index]):
            raise ValueError(f"param_groups[{index}] was added later: give it an swa_lr of its own")
        group.setdefault("swa_lr", copied(common))

    def _get_closed_form_lr(self) -> list[float | Tensor]:
        # Which epoch ever a sequence names: it begins at the rate that is there.
        return self.get_lr()

    def _constants(self, index: int) -> dict[str, Any]:
        swa_lr = float(self.optimizer.param_groups[index]["swa_lr"])
        return {"swa_lr": swa_lr, "anneal_epochs": self.anneal_epochs, "strategy": self._anneal_strategy}
