"""NAdam on torch._foreach_* ops.

Paper: Timothy Dozat, "Incorporating Nesterov Momentum into Adam", 2016,
https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ, algorithm 2, with the momentum schedule of its section 2.
"""

from typing import Any

import torch

from ..common.nadam import NAdamBase
from .buckets import buckets
from .lists import Tensors, add, add_number_, constant, foreach_lists, read
from .scalars import add_quotients_, bias_correction, count, factors, gather


class NAdam(NAdamBase):
    """NAdam, each operation over all tensors of one device and dtype at once.

        mu(t) = beta1 * (1 - 0.96**(t*momentum_decay)/2), and P = P*mu(t) the product of those so far
        m = beta1*m + (1 - beta1)*g
        v = beta2*v + (1 - beta2)*g*g
        d = sqrt(v/(1 - beta2**t)) + eps
        p = p - lr * (1 - mu(t))/(1 - P) * g/d - lr * mu(t + 1)/(1 - P*mu(t + 1)) * m/d

    t counts each parameter's own gradients. Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        betas: decay rates of the first and second moment, in [0, 1).
        eps: added to the denominator.
        weight_decay: coefficient of the L2 penalty, or of the shrinkage if decoupled_weight_decay.
        momentum_decay: speed at which mu rises from about beta1/2 to beta1.
        decoupled_weight_decay: shrink the parameter and not the gradient, as AdamW does.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.
        capturable: keep the steps and products on the parameters' device, and never wait for it.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = NAdam(model.parameters(), lr=2e-3)
        >>> loss.backward()
        >>> optimizer.step()

    Source: the paper above, arguments of torch.optim.NAdam.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, mu_products, *columns in buckets(self, group, ("exp_avg", "exp_avg_sq")):
                with foreach_lists(columns) as lists:
                    _nadam(steps, mu_products, *lists, group=group)


def _nadam(
    steps: Tensors,
    mu_products: Tensors,
    params: Tensors,
    grads: Tensors,
    exp_avgs: Tensors,
    exp_avg_sqs: Tensors,
    *,
    group: dict[str, Any],
) -> None:
    first = params[0]
    device = first.device if group["capturable"] else None
    lr, (beta1, beta2), weight_decay = read(group["lr"], device), group["betas"], group["weight_decay"]
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    if weight_decay != 0 and group["decoupled_weight_decay"]:
        # decoupled weight decay: shrink the parameter by lr*weight_decay
        torch._foreach_mul_(params, constant(1 - lr * weight_decay, first))
    elif weight_decay != 0:
        # coupled weight decay: add weight_decay*p to the gradient
        grads = add(grads, params, weight_decay, in_place=group["maximize"])
    # momentum of this step and the next, and the running product
    step = count(steps, device)
    mu, next_mu = (beta1 * (1 - 0.5 * 0.96 ** (time * group["momentum_decay"])) for time in (step, step + 1))
    torch._foreach_mul_(mu_products, constant(factors(mu, mu_products[0], device), mu_products[0]))
    product = gather(mu_products, device)
    # first moment
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    # second moment
    torch._foreach_mul_(exp_avg_sqs, constant(beta2, first))
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    # bias correction
    root_correction = factors(bias_correction(step, beta2).sqrt_(), first, device)
    # denominator
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    torch._foreach_div_(denominators, constant(root_correction, first))
    add_number_(denominators, group["eps"])
    # step
    add_quotients_(params, grads, denominators, factors(-lr * (1 - mu) / (1 - product), first, device))
    add_quotients_(params, exp_avgs, denominators, factors(-lr * next_mu / (1 - product * next_mu), first, device))
