"""Rprop: one rule, compiled for CPU and GPU.

Martin Riedmiller, Heinrich Braun: A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm,
1993, https://doi.org/10.1109/ICNN.1993.298623, in the form without taking steps back (iRprop-, Christian Igel, Michael
Huesken: Empirical Evaluation of the Improved Rprop Learning Algorithms, 2003,
https://doi.org/10.1016/S0925-2312(01)00700-7), as in PyTorch.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.rprop import RpropBase
from .lang import Rule, constexpr, maximum, minimum, rule, sign, where
from .optimizer import FusedOptimizer


@rule
def prepare(step, eta_minus, eta_plus, smallest, largest, MAXIMIZE: constexpr):
    """Scalars of one tensor and step, in float64."""
    return eta_minus, eta_plus, smallest, largest


@rule
def update(param, grad, prev, step_size, eta_minus, eta_plus, smallest, largest, MAXIMIZE: constexpr):
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # The signs' product, because that of the gradients can underflow.
    held = sign(grad) * sign(prev)
    # grow the step size where the sign held, shrink it where it changed
    factor = where(held > 0.0, eta_plus, where(held < 0.0, eta_minus, 1.0))
    step_size = minimum(maximum(step_size * factor, smallest), largest)
    # forget a gradient whose sign changed
    grad = where(held < 0.0, 0.0, grad)
    # step
    param = param - sign(grad) * step_size
    # remember the gradient
    prev = grad
    return param, prev, step_size


RULE = Rule(
    "rprop",
    prepare,
    update,
    state=("prev", "step_size"),
    hyper=("eta_minus", "eta_plus", "smallest", "largest"),
    scalars=("eta_minus", "eta_plus", "smallest", "largest"),
    flags=("MAXIMIZE",),
)


class Rprop(RpropBase, FusedOptimizer):
    """Rprop, all parameters in one launch.

    The step size of an element grows by etas[1] where the gradient's sign is that of the step before, shrinks by
    etas[0] where it is the other, and stays within step_sizes; p = p - sign(g)*step_size, but an element whose sign
    changed stands still.

    Args: those of torch.optim.Rprop.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Rprop(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Riedmiller and Braun, 1993, https://doi.org/10.1109/ICNN.1993.298623, as in torch.optim.Rprop.
    """

    rule = RULE
    options = ("etas", "step_sizes", "maximize")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(map(float, (*group["etas"], *group["step_sizes"])))

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return (int(bool(group["maximize"])),)
