"""Where torch.optim itself breaks a law, a file of rows a topic. Needs no torch."""

from ._row import MEANINGS, Deviation, Effect
from ._table import TABLE, TORCH, command, explain, selection

__all__ = ["MEANINGS", "TABLE", "TORCH", "Deviation", "Effect", "command", "explain", "selection"]
