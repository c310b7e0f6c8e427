"""torch.optim.swa_utils on torch._foreach_* ops.

`swalr`: one scheduler.
"""

from .swalr import SWALR

__all__ = ["SWALR"]
