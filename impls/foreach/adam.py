"""Adam on torch._foreach_* ops.

Paper: Diederik P. Kingma, Jimmy Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980,
algorithm 1; AMSGrad: Sashank J. Reddi, Satyen Kale, Sanjiv Kumar, "On the Convergence of Adam and Beyond", 2018.
"""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ..common.adam import AdamBase
from .lists import Tensors, add, add_number_, constant, foreach_lists, read, same_or_list


class Adam(AdamBase):
    """Adam, each operation over all tensors of one device and dtype at once.

        m = beta1*m + (1 - beta1)*g
        v = beta2*v + (1 - beta2)*g*g
        p = p - lr * m/(1 - beta1**t) / (sqrt(v/(1 - beta2**t)) + eps)

    t counts each parameter's own gradients. Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        betas: decay rates of the first and second moment, in [0, 1).
        eps: added to the denominator.
        weight_decay: coefficient of the L2 penalty, or of the shrinkage if decoupled_weight_decay.
        amsgrad: divide by the largest second moment so far.
        maximize: ascend.
        capturable: keep the steps on the parameters' device, and never wait for it.
        foreach, fused: kept for interchange with torch; they do not change what is computed.
        differentiable: refused.
        decoupled_weight_decay: make it AdamW.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other, or, at a step, a sparse gradient.

    Example:
        >>> optimizer = Adam(model.parameters(), lr=1e-3)
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithm 1 of https://arxiv.org/abs/1412.6980, arguments of torch.optim.Adam.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            buckets: dict[tuple[Any, ...], list[tuple[Tensor, ...]]] = defaultdict(list)
            names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if grad.is_sparse:
                    raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead")
                state = self.state[param]
                if not state:
                    state.update(self._init_state(param, group))
                if group["capturable"] and state["step"].device != param.device:
                    state["step"] = state["step"].to(param.device)
                moments = [state[name] for name in names]
                key = (param.device, param.dtype, grad.dtype, *[moment.dtype for moment in moments])
                buckets[key].append((state["step"], param, grad, *moments))
            for rows in buckets.values():
                steps, *columns = zip(*rows, strict=True)
                with foreach_lists(columns) as lists:
                    _adam(steps, *lists, group=group)


def _adam(
    steps: Tensors,
    params: Tensors,
    grads: Tensors,
    exp_avgs: Tensors,
    exp_avg_sqs: Tensors,
    max_exp_avg_sqs: Tensors | None = None,
    *,
    group: dict[str, Any],
) -> None:
    first = params[0]
    device = first.device if group["capturable"] else None
    lr, beta1, beta2 = (read(value, device) for value in (group["lr"], *group["betas"]))
    weight_decay = group["weight_decay"]
    add_number_(steps, 1.0)
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
    weight = [1 - beta1] * len(grads) if isinstance(beta1, Tensor) else 1 - beta1
    torch._foreach_lerp_(exp_avgs, grads, weight)
    # second moment
    torch._foreach_mul_(exp_avg_sqs, constant(beta2, first))
    if isinstance(beta2, Tensor):
        torch._foreach_addcmul_(exp_avg_sqs, torch._foreach_mul(grads, 1 - beta2), grads)
    else:
        torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    del grads
    # AMSGrad: keep the running maximum
    if max_exp_avg_sqs is not None:
        torch._foreach_maximum_(max_exp_avg_sqs, exp_avg_sqs)
        exp_avg_sqs = max_exp_avg_sqs
    # bias corrections
    negative_step_size, bias_correction2_sqrt = _bias_corrections(steps, lr, beta1, beta2, first, device)
    # denominator
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    torch._foreach_div_(denominators, constant(bias_correction2_sqrt, first))
    add_number_(denominators, group["eps"])
    # step
    if device is None:
        torch._foreach_addcdiv_(params, exp_avgs, denominators, negative_step_size)
    else:
        # dividing the denominators by the step size, which needs no second list, overflows float16
        torch._foreach_addcmul_(params, torch._foreach_div(exp_avgs, denominators), negative_step_size)


def _bias_corrections(
    steps: Tensors, lr: Any, beta1: Any, beta2: Any, like: Tensor, device: torch.device | None
) -> tuple[Any, Any]:
    """-lr/(1 - beta1**t) and sqrt(1 - beta2**t): numbers, or 0-d tensors where the steps must stay on a device."""
    # expm1, because 1 - beta**t as it stands loses 250 units of float64 at t = 2
    log1, log2 = _log(beta1), _log(beta2)
    if device is None:
        pairs = ((lr / math.expm1(t * log1), math.sqrt(-math.expm1(t * log2))) for t in (step.item() for step in steps))
        sizes, roots = zip(*pairs, strict=True)
        return same_or_list(sizes), same_or_list(roots)
    # MPS has nothing wider than float32
    count = torch.stack(steps).to(torch.float32 if device.type == "mps" else torch.float64)
    dtype = torch.promote_types(like.dtype, torch.float32)
    negative_step_size = lr / torch.expm1(count * log1)
    return negative_step_size.to(dtype).unbind(), torch.expm1(count * log2).neg_().sqrt_().to(dtype).unbind()


def _log(beta: Any) -> Any:
    if isinstance(beta, Tensor):
        return beta.to(torch.float32 if beta.device.type == "mps" else torch.float64).log()
    return math.log(beta) if beta > 0 else -math.inf
