"""The faults by hand: bugs that were shipped, as small patches of one of our tiers, and others that reviewers miss."""

from __future__ import annotations

from ..fault import Fault
from . import alone, averages, dropin, lbfgs, math, memory, options, schedules, state

_TOPICS = (math, options, memory, state, dropin, lbfgs, schedules, averages, alone)
FAULTS: tuple[Fault, ...] = tuple(fault for topic in _TOPICS for fault in topic.FAULTS)
