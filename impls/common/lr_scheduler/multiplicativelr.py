"""Constructor, checks and state of MultiplicativeLR: everything but its arithmetic."""

from typing import ClassVar

from .lambdas import LambdasBase


class MultiplicativeLRBase(LambdasBase):
    """MultiplicativeLR without its arithmetic: each step, rates times `lr_lambdas`, functions of the epoch.

    Raises:
        ValueError: for fewer or more functions than parameter groups.
        TypeError: for a function that is none.

    Source: the constructor of torch.optim.lr_scheduler.MultiplicativeLR.
    """

    closed: ClassVar = False
    jumps: ClassVar = False
