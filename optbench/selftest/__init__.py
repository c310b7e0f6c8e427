"""Is the suite sensitive? Plants faults in our tiers and looks whether a law catches each and names the quantity."""

from .outcome import Outcome, needed
from .run import run, stale

__all__ = ["Outcome", "needed", "run", "stale"]
