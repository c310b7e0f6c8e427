"""A line search for the strong Wolfe conditions.

Jorge Nocedal, Stephen Wright: Numerical Optimization, 2006, algorithms 3.5 and 3.6, with cubic interpolation and the
constants and safeguards of torch.optim.LBFGS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

# Sufficient decrease, curvature, and the length of a bracket below which it is no use to search on.
_C1, _C2, _TOLERANCE = 1e-4, 0.9, 1e-9


class Point(NamedTuple):
    """A point on the line: how far, and what was found there. `slope` is the loss's derivative along the line."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, direction_size: float, limit: int
) -> tuple[Point, int]:
    """Search from `start`, beginning at t, with at most `limit` evaluations after the first.

    Args:
        direction_size: the direction's largest magnitude.

    Returns:
        The best point, and how many evaluations there were.
    """
    bracket, count = _bracket(evaluate, start, t, limit)
    if len(bracket) > 1:
        return _zoom(evaluate, start, bracket, direction_size, count, limit)
    return bracket[0], count


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + _C1 * point.t * start.slope


def _flat_enough(point: Point, start: Point) -> bool:
    return abs(point.slope) <= -_C2 * start.slope


def _bracket(evaluate: Callable[[float], Point], start: Point, t: float, limit: int) -> tuple[list[Point], int]:
    """Go further until a point is good, which comes alone, or two points have one between them."""
    before, point, count = start, evaluate(t), 1
    while count <= limit:
        if _too_high(point, start) or (count > 2 and point.loss >= before.loss):
            return [before, point], count
        if _flat_enough(point, start):
            return [point], count
        if point.slope >= 0:
            return [before, point], count
        bounds = (point.t + 0.01 * (point.t - before.t), 10 * point.t)
        before, point = point, evaluate(_cubic_minimum(before, point, bounds))
        count += 1
    return [start, point], count


def _zoom(
    evaluate: Callable[[float], Point],
    start: Point,
    bracket: list[Point],
    direction_size: float,
    count: int,
    limit: int,
) -> tuple[Point, int]:
    """Shrink the bracket until its lower end is good."""
    stuck = False
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    while count <= limit:
        if abs(bracket[1].t - bracket[0].t) * direction_size < _TOLERANCE:
            break
        t, stuck = _inside(_cubic_minimum(bracket[0], bracket[1]), bracket, stuck)
        point = evaluate(t)
        count += 1
        high = 1 - low
        if _too_high(point, start) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        done = _flat_enough(point, start)
        if point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
        if done:
            break
    return bracket[low], count


def _inside(t: float, bracket: list[Point], stuck: bool) -> tuple[float, bool]:
    """Keep a trial away from the bracket's ends if it is near one for the second time, or outside."""
    left, right = sorted(point.t for point in bracket)
    margin = 0.1 * (right - left)
    if not min(right - t, t - left) < margin:
        return t, False
    if stuck or t >= right or t <= left:
        return (right - margin if abs(t - right) < abs(t - left) else left + margin), False
    return t, True


def _cubic_minimum(first: Point, second: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with these slopes is lowest, within the bounds or the points."""
    left, right = sorted((first, second), key=lambda point: point.t)
    low, high = bounds or (left.t, right.t)
    if left.t == right.t:
        # with a rate of 0
        return low
    bend = left.slope + right.slope - 3.0 * (left.loss - right.loss) / (left.t - right.t)
    square = bend * bend - left.slope * right.slope
    # also where the losses are no numbers
    if not square >= 0.0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    width, shift = right.slope - left.slope + 2.0 * root, right.slope + root - bend
    # straight from one to the other it is lowest beyond an end
    share = shift / width if width else math.copysign(math.inf, shift)
    return min(max(right.t - (right.t - left.t) * share, low), high)
