"""ASGD: gradient descent at a falling rate, with the average of the parameters kept beside them.

Papers: Boris T. Polyak and Anatoli B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992,
https://doi.org/10.1137/0330046, equation 2. For the rate: Wei Xu, "Towards Optimal One Pass Large Scale Learning with
Averaged Stochastic Gradient Descent", 2011, https://arxiv.org/abs/1107.2490.

Update rule of one element at its step t = 1, 2, ..., from a = 0, eta = lr and mu = 1:

    p = (1 - lambd*eta)*p - eta*g
    a = p                             while mu = 1
    a = a + mu*(p - a)                afterwards
    eta = lr/(1 + lambd*lr*t)**alpha
    mu = 1/max(1, t - t0)

Where PyTorch departs from the papers:
- Polyak and Juditsky average all p from the beginning. Here a is p until step t0 + 2, and the mean of all from there.
- The optimizer leaves a in its state: it is for the caller to use, and p stays the last iterate.
- Polyak and Juditsky leave the rate open but for its limits; this one is Xu's, where lambd is a curvature of the loss.
- The decay by lambd*eta is the gradient of a penalty lambd/2*p*p, which the papers count as part of the loss.
- eta and mu are computed at the end of the step before, so that a changed lr acts one step late.
- They are kept in the default dtype, and the next step uses what was kept, rounded as it is.
- weight_decay (added to the gradient, before the decay by lambd) and maximize (g replaced by -g) are not in the papers.
- Every parameter counts its own t: a step at which it has no gradient does not count, and leaves its state alone.
- A complex parameter is a pair of real ones, which changes nothing, because the rule is linear.

Where this departs from PyTorch's code: with differentiable=True, PyTorch detaches the first step's rate from lr.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step, scalar
from ._checks import check_non_negative, check_tensor
from ._ops import Scalar, add, add_, at_least


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, lambd: Scalar, alpha: Scalar, t0: Scalar,
    weight_decay: Scalar, maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p and a of each parameter in place, at its step t, and eta and mu for the next."""
    for param, grad, average, next_eta, next_mu, eta, mu, step in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0:
            grad = add(grad, param, weight_decay)

        # decay: shrink the parameter by lambd*eta
        #   p = (1 - lambd*eta)*p
        param.mul_(1 - lambd * eta)

        # step
        #   p = p - eta*g
        add_(param, grad, -eta)

        # average: copy the parameter until averaging starts, then move towards it
        #   a = p while mu = 1, then a = a + mu*(p - a)
        if isinstance(mu, float) and mu == 1:
            average.copy_(param)
        elif isinstance(mu, float):
            add_(average, param - average, mu)
        else:
            average.copy_(torch.where(mu == 1, param, add(average, param - average, mu)))

        # rate and weight of the next step
        #   eta = lr/(1 + lambd*lr*t)**alpha, mu = 1/max(1, t - t0)
        next_eta.fill_(lr / (1 + lambd * lr * step) ** alpha)
        next_mu.fill_(1 / at_least(1.0, step - t0))


class ASGD(ReferenceOptimizer):
    """ASGD, drop-in for torch.optim.ASGD. The update rule and its source stand at the top of this module.

    Args: as torch.optim.ASGD: lr >= 0 in units of the parameter over the gradient's, lambd in units of its inverse,
        alpha without a unit, t0 in steps, weight_decay >= 0. lr may be a 1-element tensor. foreach is kept and selects
        nothing.
    State: step, eta and mu []; ax, shaped as the parameter: the average.
    Raises: ValueError for a value out of its range.
    Example: `ASGD(model.parameters(), lr=1e-2, t0=1000).step()`
    """

    _absent_options: ClassVar = {"capturable": False}
    _scalar_entries = ("step", "eta", "mu")
    _scalars_on_device = True
    _sparse_refusal = "ASGD does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({"learning rate": lr, "weight_decay value": weight_decay})
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in ("lr", "lambd", "alpha", "t0", "weight_decay", "maximize")}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            for name, value in (("step", 0.0), ("eta", scalar(group["lr"], group)), ("mu", 1.0)):
                state[name] = new_scalar(param, group, on_device=True).fill_(value)
            state["ax"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        eta, mu = scalar(state["eta"], group), scalar(state["mu"], group)
        return state["ax"], state["eta"], state["mu"], eta, mu, next_step(state, group)
