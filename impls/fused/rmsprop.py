"""RMSprop: one rule, compiled for CPU and GPU.

Geoffrey Hinton, Nitish Srivastava, Kevin Swersky: Neural Networks for Machine Learning, lecture 6, 2012,
https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf, slide 29.
Centered: Alex Graves: Generating Sequences With Recurrent Neural Networks, 2013, https://arxiv.org/abs/1308.0850,
equations 38 to 41, with eps added outside of the root, and momentum without the learning rate in it.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.rmsprop import RMSpropBase
from .lang import Rule, constexpr, div, maximum, rule, sqrt, where
from .optimizer import FusedOptimizer


@rule
def prepare(
    step, lr, alpha, eps, weight_decay, momentum, MOMENTUM: constexpr, CENTERED: constexpr, MAXIMIZE: constexpr,
    DECAY: constexpr,
):  # fmt: skip
    """Scalars of one tensor and step, in float64."""
    one_minus_alpha = 1.0 - alpha
    return lr, alpha, one_minus_alpha, eps, weight_decay, momentum


@rule
def update(
    param, grad, square_avg, momentum_buffer, grad_avg, lr, alpha, one_minus_alpha, eps, weight_decay, momentum,
    MOMENTUM: constexpr, CENTERED: constexpr, MAXIMIZE: constexpr, DECAY: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY:
        grad = grad + weight_decay * param
    # mean of squared gradients
    square_avg = alpha * square_avg + one_minus_alpha * (grad * grad)
    variance = square_avg
    # centered: take the mean gradient's square off
    if CENTERED:
        # from the nearer end, so that an alpha of 0 leaves no rounding of the mean
        grad_avg = where(
            one_minus_alpha < 0.5,
            grad_avg + one_minus_alpha * (grad - grad_avg),
            grad - (1.0 - one_minus_alpha) * (grad - grad_avg),
        )
        # rounding may leave less than nothing
        variance = maximum(square_avg - grad_avg * grad_avg, 0.0)
    # denominator
    denominator = sqrt(variance) + eps
    direction = div(grad, denominator)
    # momentum
    if MOMENTUM:
        momentum_buffer = momentum * momentum_buffer + direction
        direction = momentum_buffer
    # step
    param = param - lr * direction
    return param, square_avg, momentum_buffer, grad_avg


RULE = Rule(
    "rmsprop",
    prepare,
    update,
    state=("square_avg", "momentum_buffer", "grad_avg"),
    hyper=("lr", "alpha", "eps", "weight_decay", "momentum"),
    scalars=("lr", "alpha", "one_minus_alpha", "eps", "weight_decay", "momentum"),
    flags=("MOMENTUM", "CENTERED", "MAXIMIZE", "DECAY"),
    optional={"momentum_buffer": "MOMENTUM", "grad_avg": "CENTERED"},
)


class RMSprop(RMSpropBase, FusedOptimizer):
    """RMSprop, all parameters in one launch.

    v = alpha*v + (1 - alpha)*g*g, p = p - lr*g/(sqrt(v) + eps); centered, with v - (mean of g)^2 in the root; with
    momentum, b = momentum*b + g/(sqrt(v) + eps) and p = p - lr*b.

    Args: those of torch.optim.RMSprop.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = RMSprop(layer.parameters(), lr=0.01, centered=True)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Hinton, Srivastava and Swersky, 2012; Graves, 2013, https://arxiv.org/abs/1308.0850; as in
        torch.optim.RMSprop.
    """

    rule = RULE
    options = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(float(group[name]) for name in self.options[:5])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return tuple(int(bool(group[name])) for name in ("momentum", "centered", "maximize", "weight_decay"))
