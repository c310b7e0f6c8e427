"""Tier 1, to be read: one algorithm a file, a for loop over the parameters, plain torch operations."""

from .adam import Adam
from .adamw import AdamW
from .lion import Lion
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Lion"]
