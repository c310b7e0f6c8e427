"""What paired samples say: the median of ratios, its interval, and a verdict. Needs no torch."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

TimingVerdict = Literal["faster", "slower", "same", "unsure"]

# Two sides of the same code, interleaved, differ by this much: nothing smaller is called a difference.
SAME = 0.03
CONFIDENCE = 0.95
RESAMPLES = 2000
# Fewer pairs than this give an interval that is too narrow to believe.
FEWEST_PAIRS = 5


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios and its bootstrap interval."""

    median: float
    low: float
    high: float
    pairs: int

    @property
    def noise(self) -> float:
        """How far from 1 the interval reaches: the noise floor, when both sides are the same code."""
        return max(abs(self.low - 1), abs(self.high - 1))


@dataclass(frozen=True)
class Spread:
    """Robust summary of one contestant's samples, in seconds a step."""

    median: float
    least: float
    iqr: float
    count: int


def spread(samples: Sequence[float]) -> Spread:
    """Median, least and interquartile range; outliers of a busy machine move none of them."""
    values = np.asarray(samples, dtype=np.float64)
    quarter, median, three_quarters = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(median), float(values.min()), float(three_quarters - quarter), len(values))


def paired_ratio(baseline: Mapping[int, float], other: Mapping[int, float], seed: int, label: str = "") -> Ratio | None:
    """The median of baseline/other over the rounds that hold both, with its interval.

    Args:
        baseline: seconds by round.
        other: seconds by round.
        seed: seeds the resampling.
        label: what is compared, so that two comparisons do not share their draws.

    Returns:
        Above 1 where `other` is faster; None where fewer than `FEWEST_PAIRS` rounds hold both.

    Example:
        >>> paired_ratio(dict.fromkeys(range(9), 2.0), dict.fromkeys(range(9), 1.0), seed=0)
        Ratio(median=2.0, low=2.0, high=2.0, pairs=9)
    """
    rounds = sorted(baseline.keys() & other.keys())
    if len(rounds) < FEWEST_PAIRS:
        return None
    ratios = np.array([baseline[r] / other[r] for r in rounds])
    rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
    draws = rng.integers(0, len(ratios), size=(RESAMPLES, len(ratios)))
    medians = np.median(ratios[draws], axis=1)
    low, high = np.quantile(medians, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Ratio(float(np.median(ratios)), float(low), float(high), len(rounds))


def verdict(ratio: Ratio, noise_floor: float | None) -> TimingVerdict:
    """What a ratio allows to say.

    Args:
        ratio: baseline/this.
        noise_floor: how far the same code strayed from 1 in the same run (`Ratio.noise` of the A/A pair), None where it
            was not measured.

    Returns:
        "same": the interval lies within 3% of 1. "faster", "slower": it lies on one side of 1, and the median is
        further from 1 than the noise floor. "unsure": everything else; more rounds or a quieter machine would tell.
    """
    if ratio.low >= 1 - SAME and ratio.high <= 1 + SAME:
        return "same"
    floor = noise_floor or 0.0
    if ratio.low > 1 and ratio.median > 1 + floor:
        return "faster"
    if ratio.high < 1 and 1 / ratio.median > 1 + floor:
        return "slower"
    return "unsure"
