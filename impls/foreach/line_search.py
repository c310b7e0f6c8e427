"""A line search for the strong Wolfe conditions, on losses and slopes alone.

Source: Jorge Nocedal, Stephen Wright, "Numerical Optimization", second edition, 2006, algorithms 3.5 and 3.6, with
cubic interpolation (equation 3.59); the trial steps, and when the search gives up, are torch.optim.LBFGS's choice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

# sufficient decrease, and curvature; and the bracket, in units of the parameters, that is not worth dividing
C1, C2 = 1e-4, 0.9
SHORTEST = 1e-9


class Point(NamedTuple):
    """A point x + t*d on the line: t, the loss, the flat gradient [n], and the slope (gradient times d, 0-d).

    Step sizes and slopes are 0-d tensors, or numbers where torch has numbers: both end up in checkpoints, and rounding
    as torch does makes the two take the same decisions.
    """

    t: Any
    loss: float
    grad: Tensor
    slope: Tensor


def strong_wolfe(
    evaluate: Callable[[Any], Point], start: Point, t: Any, length: Tensor, max_trials: int
) -> tuple[Point, int]:
    """Look for a step that decreases the loss sufficiently and flattens the slope.

    Args:
        evaluate: makes a Point of a step size.
        start: the point at t = 0.
        t: first step size to try.
        length: largest magnitude in the direction.
        max_trials: number of evaluations after the first.

    Returns:
        The best point found, and the number of evaluations.
    """
    bracket, done, trials = _bracket(evaluate, start, t, max_trials)
    low = 0 if bracket[0].loss <= bracket[-1].loss else 1
    stuck = False
    while not done and trials < max_trials:
        if abs(bracket[1].t - bracket[0].t) * length < SHORTEST:
            break
        t, stuck = _next_trial(bracket[0], bracket[1], stuck)
        point = evaluate(t)
        trials += 1
        if _is_too_high(point, start) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if _is_flat(point, start):
            done = True
        elif point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return bracket[low], trials + 1


def _bracket(evaluate: Callable[[Any], Point], start: Point, t: Any, max_trials: int) -> tuple[list[Point], bool, int]:
    """Lengthen the step until it ends in a point that will do, or beyond one.

    Returns:
        That point alone, or the two ends of an interval that holds one; whether it is the former; trials made.
    """
    previous, point = start, evaluate(t)
    for trials in range(max_trials):
        if _is_too_high(point, start) or (trials > 1 and point.loss >= previous.loss):
            return [previous, point], False, trials
        if _is_flat(point, start):
            return [point], True, trials
        if point.slope >= 0:
            return [previous, point], False, trials
        bounds = point.t + 0.01 * (point.t - previous.t), point.t * 10
        previous, point = point, evaluate(_cubic_minimum(previous, point, *bounds))
    return [start, point], False, max_trials


def _is_too_high(point: Point, start: Point) -> bool:
    return bool(point.loss > start.loss + C1 * point.t * start.slope)


def _is_flat(point: Point, start: Point) -> bool:
    return bool(abs(point.slope) <= -C2 * start.slope)


def _next_trial(left: Point, right: Point, stuck: bool) -> tuple[Any, bool]:
    """A step size inside an interval, and whether it is near an end for the first time in a row."""
    least, most = min(left.t, right.t), max(left.t, right.t)
    t = _cubic_minimum(left, right, least, most)
    margin = 0.1 * (most - least)
    if not min(most - t, t - least) < margin:
        return t, False
    # near an end once is left to chance; twice in a row, or at the very end, would not shrink the interval
    if not (stuck or t >= most or t <= least):
        return t, True
    return (most - margin if abs(t - most) < abs(t - least) else least + margin), False


def _cubic_minimum(left: Point, right: Point, least: Any, most: Any) -> Any:
    """Where the cubic through two points, with their slopes, is least, kept within bounds."""
    width = abs(right.t - left.t)
    if width == 0:
        # a rate of 0 does not get anywhere
        return least
    if left.t > right.t:
        left, right = right, left
    secant = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.t - right.t)
    square = secant**2 - left.slope * right.slope
    if not square >= 0:
        return (least + most) / 2.0
    root = square.sqrt()
    t = right.t - width * ((right.slope + root - secant) / (right.slope - left.slope + 2 * root))
    return min(max(t, least), most)
