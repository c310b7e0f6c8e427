"""Learning-rate schedulers whose rates come from one launch for all groups.

A rule and a class each, in modules named after the classes. `schedule`: what a rule's arguments are; `scheduler`: what
the host does; `device`: rates that are kept on a device; `numba_rates`, `triton_rates`: what runs the rules; `lambdas`:
values of users' functions.
"""

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
from .scheduler import FusedScheduler as LRScheduler
from .sequentiallr import SequentialLR
from .steplr import StepLR

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip
