"""torch.optim.lr_scheduler, its schedules as closed forms of float64 vectors, an entry a parameter group.

`base`: curve and recursion of a step; `lambdas`, `composite`: what some schedulers share; the others: one scheduler a
file. Every scheduler but ReduceLROnPlateau has `lr_at(step)`.
"""

from .base import LRScheduler
from .chainedscheduler import ChainedScheduler
from .constantlr import ConstantLR
from .cosineannealinglr import CosineAnnealingLR
from .cosineannealingwarmrestarts import CosineAnnealingWarmRestarts
from .cycliclr import CyclicLR
from .exponentiallr import ExponentialLR
from .lambdalr import LambdaLR
from .linearlr import LinearLR
from .multiplicativelr import MultiplicativeLR
from .multisteplr import MultiStepLR
from .onecyclelr import OneCycleLR
from .polynomiallr import PolynomialLR
from .reducelronplateau import ReduceLROnPlateau
from .sequentiallr import SequentialLR
from .steplr import StepLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
