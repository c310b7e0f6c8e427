"""Is the suite sensitive? Plants faults in our own tiers and looks whether a law catches each and names the right quantity."""

from .run import Outcome, run

__all__ = ["Outcome", "run"]
