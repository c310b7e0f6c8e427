"""Averages of weights in one launch.

`average`: the update rule. `averagedmodel`: the class and the functions of torch.optim.swa_utils. `passes`: what a
launch goes over; `memory`: the digits that a model's own tensors cannot hold.
"""

from .averagedmodel import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
)

__all__ = ["AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn"]
