"""Constructor, checks and state of LambdaLR: everything but its arithmetic."""

from typing import ClassVar

from .lambdas import LambdasBase


class LambdaLRBase(LambdasBase):
    """LambdaLR without its arithmetic: base rates times `lr_lambdas`, functions of the epoch.

    Raises:
        ValueError: for fewer or more functions than parameter groups.
        TypeError: for a function that is none.

    Source: the constructor of torch.optim.lr_scheduler.LambdaLR.
    """

    absolute: ClassVar = True
