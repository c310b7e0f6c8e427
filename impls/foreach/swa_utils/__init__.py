"""torch.optim.swa_utils on torch._foreach_* ops.

`averagedmodel`: the averaged model; `averages`: what is averaged how; `memory`: digits beyond a tensor's; `swalr`: a
scheduler; update_bn moves no weights, and is shared.
"""

from ...common.swa_utils.update_bn import update_bn
from .averagedmodel import AveragedModel
from .averages import get_ema_avg_fn, get_ema_multi_avg_fn, get_swa_avg_fn, get_swa_multi_avg_fn
from .swalr import SWALR

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]
