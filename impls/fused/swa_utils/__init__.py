"""Averages of weights in one launch, and what belongs to them.

`averagedmodel`: the class and the functions of torch.optim.swa_utils; `average`: its update rule; `passes`: what a
launch goes over; `memory`: the digits that a model's own tensors cannot hold; `tree`: a model's tensors, found again.
`swalr`: a scheduler. `update_bn`: statistics of batch normalisation.
"""

from .averagedmodel import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
)
from .swalr import SWALR
from .update_bn import update_bn

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip
