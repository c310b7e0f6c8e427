"""Averaged SGD on torch._foreach_* ops.

Paper: Boris T. Polyak, Anatoli B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992,
https://doi.org/10.1137/0330046; the rates are those of Leon Bottou's implementation.
"""

from typing import Any

import torch
from torch import Tensor

from ..common.asgd import ASGDBase
from .buckets import buckets
from .lists import Tensors, add, constant, foreach_lists, read
from .scalars import add_scaled_, count, factors, gather, select


class ASGD(ASGDBase):
    """Averaged SGD, each operation over all tensors of one device and dtype at once.

        p = p - lambd*eta*p
        p = p - eta*g
        a = a + mu*(p - a)
        eta = lr / (1 + lambd*lr*t)**alpha
        mu = 1 / max(1, t - t0)

    t counts each parameter's own gradients. Sixteen-bit tensors are updated in their own dtype. The average a is the
    caller's to use: it is `state[p]["ax"]`.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        lambd: shrinkage of the parameter, in units of eta, at each step.
        alpha: power of the rate's decay.
        t0: step at which averaging starts.
        weight_decay: coefficient of the L2 penalty.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.
        differentiable: refused.
        capturable: never wait for the device.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = ASGD(model.parameters(), lr=0.01, t0=1000)
        >>> loss.backward()
        >>> optimizer.step()

    Source: https://doi.org/10.1137/0330046, arguments of torch.optim.ASGD.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, etas, mus, *columns in buckets(self, group, ("ax",)):
                with foreach_lists(columns) as lists:
                    _asgd(steps, etas, mus, *lists, group=group)


def _asgd(
    steps: Tensors, etas: Tensors, mus: Tensors, params: Tensors, grads: Tensors, axs: Tensors, *, group: dict[str, Any]
) -> None:
    first = params[0]
    device = first.device if group["capturable"] else None
    lr, lambd = read(group["lr"], device), group["lambd"]
    step, eta, mu = count(steps, device), gather(etas, device), gather(mus, device)
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # coupled weight decay: add weight_decay*p to the gradient
    if group["weight_decay"] != 0:
        grads = add(grads, params, group["weight_decay"], in_place=group["maximize"])
    # decay: shrink the parameter by lambd*eta
    torch._foreach_mul_(params, constant(factors(1 - lambd * eta, first, device), first))
    # step
    add_scaled_(params, grads, factors(-eta, first, device))
    del grads
    # average: copy the parameter until averaging starts, then move towards it
    _average(axs, params, mu, device)
    # rate and weight of the next step
    _store(etas, lr / (1 + lambd * lr * step) ** group["alpha"])
    new_mu = 1 / (step - group["t0"]).clamp_(min=1)
    if device is not None or not torch.equal(new_mu, mu):
        _store(mus, new_mu)


def _average(axs: Tensors, params: Tensors, mu: Tensor, device: torch.device | None) -> None:
    if device is not None:
        # a copy where mu is one, also in rounding: from zero, the way to the parameter is the parameter
        torch._foreach_mul_(axs, factors((mu != 1).to(mu.dtype), axs[0], device))
        add_scaled_(axs, torch._foreach_sub(params, axs), factors(mu, axs[0], device))
        return
    for _, some_axs, some_params in select(mu == 1, mu, axs, params):
        torch._foreach_copy_(some_axs, some_params)
    for some_mu, some_axs, some_params in select(mu != 1, mu, axs, params):
        torch._foreach_lerp_(some_axs, some_params, factors(some_mu, some_axs[0], None))


def _store(scalars: Tensors, values: Tensor) -> None:
    values = values.to(scalars[0].dtype)
    torch._foreach_copy_(scalars, values.unbind() * (len(scalars) // len(values)))
