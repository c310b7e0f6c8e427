"""Running averages of weights: one rule, compiled for CPU and GPU.

a = a + w*(p - a), where w is 1 - decay for an exponential average, and 1/(n + 1) for the mean of what came before, n
models, and this one. Where w is small, most of the change lies below the last digit of a; what an addition loses is
kept and added next time.

Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon Wilson: Averaging Weights Leads to
Wider Optima and Better Generalization, 2018, https://arxiv.org/abs/1803.05407, algorithm 1.
The error of a sum: Donald E. Knuth: The Art of Computer Programming, volume 2, 1969, section 4.2.2, theorem B.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from ..lang import Rule, constexpr, rule, where


@rule
def prepare(step, weight, SHADOW: constexpr, COMPENSATED: constexpr):
    """Scalars of one tensor, in float64. A rule's step is not asked for."""
    rest = 1.0 - weight
    return weight, rest


@rule
def update(param, grad, shadow, residual, weight, rest, SHADOW: constexpr, COMPENSATED: constexpr):
    """One element: `param` is the average, `grad` the model's weight."""
    average = param
    # the average in more digits than the parameter holds
    if SHADOW:
        average = shadow
    difference = grad - average
    # from the nearer end: a weight of 1 gives the model's weight to the last digit
    moved = where(weight < 0.5, average + weight * difference, grad - rest * difference)
    if COMPENSATED:
        # the average is the sum of both parts
        change = residual + weight * (difference - residual)
        moved = average + change
        # what the addition has lost, exactly
        taken = moved - average
        residual = (average - (moved - taken)) + (change - taken)
    param = moved
    shadow = moved
    return param, shadow, residual


RULE = Rule(
    "average",
    prepare,
    update,
    state=("shadow", "residual"),
    hyper=("weight",),
    scalars=("weight", "rest"),
    flags=("SHADOW", "COMPENSATED"),
    optional={"shadow": "SHADOW", "residual": "COMPENSATED"},
    wide=("shadow", "residual"),
    stores_step=False,
)
