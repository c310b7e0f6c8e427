"""Tier 2: the algorithms on torch._foreach_* ops, one op over all tensors of a kind (horizontal fusion).

`lists`: tensors sorted and shaped for foreach ops; `adam`, `adamw`, `sgd`: one algorithm a file.
"""

from .adafactor import Adafactor
from .adam import Adam
from .adamw import AdamW
from .muon import Muon
from .sgd import SGD
from .sparse_adam import SparseAdam

__all__ = ["SGD", "Adafactor", "Adam", "AdamW", "Muon", "SparseAdam"]
