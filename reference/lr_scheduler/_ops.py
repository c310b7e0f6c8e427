"""Arithmetic that keeps its ends: powers that overflow, a cosine that is small, and what is between two numbers."""

import math


def power(base: float, exponent: float) -> float:
    """base**exponent, infinite where float64 ends; 0**0 is 1."""
    try:
        return float(float(base) ** exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


def remaining(epoch: float, length: float) -> float:
    """The share of a way that is left, which is all of it where it has no end."""
    if epoch >= length:
        return 0.0
    return (length - epoch) / length if length < math.inf else 1.0


def half_cosine(done: float, left: float) -> float:
    """(1 + cos(pi*x))/2 with x = done/(done + left): 1 where nothing is done, 0 where nothing is left.

    The formula as it stands cancels near 0. Both numbers must be 0 or more, and one of them more.
    """
    # cos(pi*x/2)**2 = sin(pi*(1 - x)/2)**2, each where its argument is the smaller one.
    if done <= left:
        return math.cos(math.pi / 2 * (done / (done + left))) ** 2
    return math.sin(math.pi / 2 * (left / (done + left))) ** 2


def blend(start: float, finish: float, share: float, rest: float) -> float:
    """start*share + finish*rest, where share + rest is 1 but for rounding, which does not leave their range."""
    value = start * share + finish * rest
    if share < 0 or rest < 0:
        return value
    return min(max(value, min(start, finish)), max(start, finish))
