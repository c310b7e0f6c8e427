"""SGD with momentum: one rule, compiled for CPU and GPU.

Nesterov's form is that of Ilya Sutskever, James Martens, George Dahl, Geoffrey Hinton: On the importance of
initialization and momentum in deep learning, 2013, https://proceedings.mlr.press/v28/sutskever13.html, as PyTorch
writes it: the velocity holds no learning rate.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..common.base import check_fused
from ..common.sgd import SGDBase
from .lang import Rule, constexpr, rule, where
from .optimizer import FusedOptimizer
from .rows import RowStep


@rule
def prepare(
    step, lr, momentum, dampening, weight_decay, MOMENTUM: constexpr, NESTEROV: constexpr, MAXIMIZE: constexpr,
    DECAY: constexpr,
):  # fmt: skip
    """Scalars of one tensor and step, in float64."""
    one_minus_dampening = 1.0 - dampening
    return step, lr, momentum, one_minus_dampening, weight_decay


@rule
def update(
    param, grad, momentum_buffer, step, lr, momentum, one_minus_dampening, weight_decay, MOMENTUM: constexpr,
    NESTEROV: constexpr, MAXIMIZE: constexpr, DECAY: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY:
        grad = grad + weight_decay * param
    # momentum buffer: the first step copies the gradient, without dampening
    if MOMENTUM:
        momentum_buffer = where(step < 1.5, grad, momentum * momentum_buffer + one_minus_dampening * grad)
    direction = grad
    if MOMENTUM:
        direction = momentum_buffer
    # Nesterov: look ahead along the buffer
    if NESTEROV:
        direction = grad + momentum * momentum_buffer
    # step
    param = param - lr * direction
    return param, momentum_buffer


RULE = Rule(
    "sgd",
    prepare,
    update,
    state=("momentum_buffer",),
    hyper=("lr", "momentum", "dampening", "weight_decay"),
    scalars=("step", "lr", "momentum", "one_minus_dampening", "weight_decay"),
    flags=("MOMENTUM", "NESTEROV", "MAXIMIZE", "DECAY"),
    optional={"momentum_buffer": "MOMENTUM"},
    stores_step=False,
)


class SGD(SGDBase, FusedOptimizer):
    """SGD with momentum and Nesterov's momentum, all parameters in one launch.

    b = momentum*b + (1 - dampening)*g (b = g in the first step), p = p - lr*b, or p - lr*(g + momentum*b) after
    Nesterov.

    Args: those of torch.optim.SGD.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients together with weight decay, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Sutskever, Martens, Dahl and Hinton, 2013, https://proceedings.mlr.press/v28/sutskever13.html, as in
        torch.optim.SGD.
    """

    rule = RULE
    options = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
    takes_sparse = True

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(float(group[name]) for name in self.options[:4])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return tuple(int(bool(group[name])) for name in ("momentum", "nesterov", "maximize", "weight_decay"))

    def state_of(self, param: Tensor, group: dict[str, Any]) -> tuple[dict[str, Tensor], bool]:
        """See FusedOptimizer. Without momentum there is no state, and with it a buffer from the first step on."""
        check_fused(param, group)
        if not group["momentum"]:
            return {}, False
        state = self.state[param]
        fresh = state.get("momentum_buffer") is None
        if fresh:
            state["momentum_buffer"] = torch.zeros_like(param)
        elif state["momentum_buffer"].is_sparse:
            state["momentum_buffer"] = state["momentum_buffer"].to_dense()
        return state, fresh

    def row_step(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> RowStep:
        """See FusedOptimizer. The momentum of sparse gradients is sparse, as in torch, and grows with the rows seen."""
        if group["momentum"]:
            grad = self._sparse_direction(param, -grad if group["maximize"] else grad, group)
            group = group | {"maximize": False}
        return RowStep(param, grad, [], self.flags(group | {"momentum": 0, "nesterov": False}), self.hyper(group))

    def _sparse_direction(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[param]
        momentum_buffer = state.get("momentum_buffer")
        # momentum buffer: the first step copies the gradient, without dampening
        if momentum_buffer is None:
            momentum_buffer = state["momentum_buffer"] = grad.detach().to(param.dtype, copy=True)
        else:
            momentum_buffer.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
        # Nesterov: look ahead along the buffer
        direction = torch.add(momentum_buffer * group["momentum"], grad) if group["nesterov"] else momentum_buffer
        # A buffer from dense gradients touches every row.
        return direction if direction.is_sparse else direction.to_sparse(1)
