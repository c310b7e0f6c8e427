"""Which module runs buckets on a device."""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

import torch


def backend_for(device: torch.device) -> Any:
    """The module whose `prepare` and `update` run buckets on this device."""
    return _backend("triton" if device.type != "cpu" else os.environ.get("OPTBENCH_FUSED_BACKEND", "numba"))


@functools.cache
def _backend(name: str) -> Any:
    if name not in ("numba", "triton"):
        raise ValueError(f"OPTBENCH_FUSED_BACKEND must be numba or triton, not {name!r}")
    try:
        return importlib.import_module(f".{name}_backend", __package__)
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise RuntimeError(
            "the fused tier needs Triton here: pip install triton, or use optbench.impls.foreach"
        ) from error
