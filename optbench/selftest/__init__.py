"""Is the suite sensitive? Plants faults in our tiers and looks whether a law catches each and names the quantity."""

from .run import Outcome, run

__all__ = ["Outcome", "run"]
