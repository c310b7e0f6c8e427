"""SGD with momentum: one rule, compiled for CPU and GPU.

Nesterov's form is that of Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning,
2013, https://proceedings.mlr.press/v28/sutskever13.html, as PyTorch writes it: the velocity holds no learning rate.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

from .lang import Rule, constexpr, rule, where


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
