"""torch.optim.swa_utils' averages, of the fastest tier that conforms.

    from optbench.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))

All names but SWALR are those of one tier, so that an AveragedModel knows the functions that come from here: fused, or
foreach where there is an accelerator that Triton is not installed for. It is imported when one of them is first asked
for. SWALR is a scheduler: `lr_scheduler` tells its tier.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import torch

from .. import subjects
from .face import TIERS
from .lr_scheduler import SchedulerFace, face

if TYPE_CHECKING:
    # What type checkers and editors see: the names below have the reference tier's arguments, which are torch's.
    from ..reference.swa_utils import (
        SWALR,
        AveragedModel,
        get_ema_avg_fn,
        get_ema_multi_avg_fn,
        get_swa_avg_fn,
        get_swa_multi_avg_fn,
        update_bn,
    )

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


class _Face(SchedulerFace):
    submodule = "swa_utils"


globals()["SWALR"] = face(subjects.load("swalr"), _Face, __name__)


def choose_tier() -> str:
    """The tier of averages in this process: "fused" or "foreach"."""
    accelerated = torch.accelerator.is_available() and importlib.util.find_spec("triton") is None
    return "foreach" if accelerated else "fused"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{TIERS[choose_tier()]}.swa_utils"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
