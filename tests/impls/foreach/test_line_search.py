"""The line search, on functions of one variable: what it accepts, when it stops, and where it looks."""

import math

import pytest
import torch
from optbench.impls.foreach.line_search import C1, C2, Point, _next_trial, strong_wolfe

# loss and slope; all fall at t = 0
FUNCTIONS = {
    "bowl": lambda t: ((t - 3) ** 2, 2 * (t - 3)),
    "steep bowl": lambda t: (50 * (t - 0.01) ** 2, 100 * (t - 0.01)),
    "quartic": lambda t: ((t - 7) ** 4, 4 * (t - 7) ** 3),
    "waves": lambda t: (0.1 * t - math.sin(t), 0.1 - math.cos(t)),
    "well": lambda t: (-t / (t**2 + 2), (t**2 - 2) / (t**2 + 2) ** 2),
    "wall": lambda t: (-t + math.exp(min(t * 9 - 9, 500)), -1 + 9 * math.exp(min(t * 9 - 9, 500))),
}


def search(function, t=1.0, max_trials=25, length=1.0):
    """The point found, the number of evaluations reported, and all step sizes tried."""
    tried = []

    def evaluate(t):
        loss, slope = function(float(t))
        return Point(t, loss, torch.tensor([slope]), torch.tensor(slope, dtype=torch.float64))

    def counted(t):
        tried.append(float(t))
        return evaluate(t)

    start = evaluate(0)
    found = strong_wolfe(counted, start, t, torch.tensor(length), max_trials)
    return start, *found, tried


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("t", [1e-6, 0.01, 1.0, 30.0])
def test_both_conditions_hold(name, t):
    start, point, count, tried = search(FUNCTIONS[name], t)
    assert count == len(tried) and tried[0] == t and float(point.t) in tried
    assert point.loss <= start.loss + C1 * point.t * start.slope
    assert abs(point.slope) <= -C2 * start.slope


@pytest.mark.parametrize("max_trials", [0, 1, 2, 5])
def test_trials_are_bounded_and_the_best_is_taken(max_trials):
    # it falls for ever, and more and more steeply
    start, point, count, tried = search(lambda t: (-(t**2) - t, -2 * t - 1), 1.0, max_trials)
    assert count == len(tried) == max_trials + 1
    assert float(point.t) == tried[-1] and point.loss < start.loss


def test_a_direction_that_does_not_help_ends_where_it_began():
    # the slope promises what the loss does not keep
    start, point, count, tried = search(lambda t: (abs(t), 1.0 if t else -1.0))
    assert point is start and count == len(tried) < 40


def test_a_small_bracket_ends_the_search():
    *_, coarse = search(lambda t: (abs(t), 1.0 if t else -1.0), length=1e-6)
    *_, fine = search(lambda t: (abs(t), 1.0 if t else -1.0))
    assert len(coarse) < len(fine)


def test_steps_of_no_length_end_the_search():
    start, point, count, tried = search(FUNCTIONS["bowl"], 0.0, 5)
    assert point.t == 0 and point.loss == start.loss and count == len(tried)


def test_a_loss_that_is_no_number_ends_the_search():
    _, _, count, tried = search(lambda t: (math.nan, math.nan) if t else (1.0, -1.0), 1.0, 5)
    assert count == len(tried) == 6


@pytest.mark.parametrize(("least", "moved"), [(0.05, 0.1), (0.95, 0.9), (0.5, 0.5)])
def test_a_trial_near_an_end_is_moved_inwards_the_second_time(least, moved):
    def at(t):
        slope = torch.tensor(2 * (t - least), dtype=torch.float64)
        return Point(t, (t - least) ** 2, slope[None], slope)

    t, stuck = _next_trial(at(0.0), at(1.0), False)
    assert float(t) == pytest.approx(least) and stuck == (least != moved)
    t, stuck = _next_trial(at(0.0), at(1.0), True)
    assert float(t) == pytest.approx(moved) and not stuck
