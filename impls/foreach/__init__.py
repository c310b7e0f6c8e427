"""Tier 2: the algorithms on torch._foreach_* ops, one op over all tensors of a kind (horizontal fusion).

`lists`: tensors sorted and shaped for foreach ops; `adam`, `adamw`, `sgd`: one algorithm a file.
"""

from .adam import Adam
from .adamw import AdamW
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW"]
