"""Tier 2: the algorithms on torch._foreach_* ops, one op over all tensors of a kind (horizontal fusion).

`buckets`: tensors sorted into lists; `lists`: lists shaped for foreach ops; `scalars`: numbers that differ from tensor
to tensor; `flat`, `line_search`: flat vectors and line search of LBFGS; `lr_scheduler`, `swa_utils`: as in
torch.optim; the others: one algorithm a file.
"""

from . import lr_scheduler, swa_utils
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW
from .asgd import ASGD
from .lbfgs import LBFGS
from .lion import Lion
from .muon import Muon
from .nadam import NAdam
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD
from .sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]
