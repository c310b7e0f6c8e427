"""RAdam on torch._foreach_* ops.

Paper: Liyuan Liu, Haoming Jiang, Pengcheng He, Weizhu Chen, Xiaodong Liu, Jianfeng Gao, Jiawei Han, "On the Variance of
the Adaptive Learning Rate and Beyond", 2020, https://arxiv.org/abs/1908.03265, algorithm 2, rectified from a length of
five on where the paper says four.
"""

from typing import Any

import torch

from ..common.radam import RAdamBase
from .buckets import buckets
from .lists import Tensors, add, add_number_, constant, foreach_lists, read
from .scalars import add_quotients_, add_scaled_, bias_correction, count, factors, select


class RAdam(RAdamBase):
    """RAdam, each operation over all tensors of one device and dtype at once.

        m = beta1*m + (1 - beta1)*g
        v = beta2*v + (1 - beta2)*g*g
        R = 2/(1 - beta2) - 1,  rho = R - 2*t*beta2**t/(1 - beta2**t)
        p = p - lr * m/(1 - beta1**t)                                   (while rho <= 5)
        r = sqrt((rho - 4)*(rho - 2)*R / ((R - 4)*(R - 2)*rho))
        p = p - lr * r * sqrt(1 - beta2**t) * m/(1 - beta1**t) / (sqrt(v) + eps)

    t counts each parameter's own gradients. Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        betas: decay rates of the first and second moment, in [0, 1).
        eps: added to the root of the second moment.
        weight_decay: coefficient of the L2 penalty, or of the shrinkage if decoupled_weight_decay.
        decoupled_weight_decay: shrink the parameter and not the gradient, as AdamW does.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.
        capturable: keep the steps on the parameters' device, and never wait for it.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = RAdam(model.parameters(), lr=1e-3)
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithm 2 of https://arxiv.org/abs/1908.03265, arguments of torch.optim.RAdam.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, *columns in buckets(self, group, ("exp_avg", "exp_avg_sq")):
                with foreach_lists(columns) as lists:
                    _radam(steps, *lists, group=group)


def _radam(
    steps: Tensors, params: Tensors, grads: Tensors, exp_avgs: Tensors, exp_avg_sqs: Tensors, *, group: dict[str, Any]
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
    # first moment
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    # second moment
    torch._foreach_mul_(exp_avg_sqs, constant(beta2, first))
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    del grads
    # bias corrections
    step = count(steps, device)
    correction1, correction2 = bias_correction(step, beta1), bias_correction(step, beta2)
    # rectification, once the moving average is long enough
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction2
    rectified = length > 5
    rectification = ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)).sqrt_()
    plain_size = -lr / correction1
    rectified_size = plain_size * rectification * correction2.sqrt_()
    # step
    if device is not None:
        denominators = _denominators(exp_avg_sqs, group["eps"])
        one = torch.ones((), dtype=first.dtype, device=device)
        rows = zip(rectified.unbind(), denominators, strict=True)
        denominators = [torch.where(condition, denominator, one) for condition, denominator in rows]
        sizes = torch.where(rectified, rectified_size, plain_size)
        add_quotients_(params, exp_avgs, denominators, factors(sizes, first, device))
        return
    for size, some_params, some_avgs in select(~rectified, plain_size, params, exp_avgs):
        add_scaled_(some_params, some_avgs, factors(size, first, None))
    for size, some_params, some_avgs, some_squares in select(rectified, rectified_size, params, exp_avgs, exp_avg_sqs):
        denominators = _denominators(some_squares, group["eps"])
        add_quotients_(some_params, some_avgs, denominators, factors(size, first, None))


def _denominators(exp_avg_sqs: Tensors, eps: float) -> Tensors:
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    add_number_(denominators, eps)
    return denominators
