"""Adafactor on torch._foreach_* ops.

Paper: Noam Shazeer, Mitchell Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
https://arxiv.org/abs/1804.04235, algorithms 4 and 5, without momentum; eps1 bounds the estimate of the second moment
from below instead of being added to the squared gradients, and weight decay is torch's addition.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ..common.adafactor import AdafactorBase
from .lists import Tensors, add_number_, constant, foreach_lists, read, same_or_list


class Adafactor(AdafactorBase):
    """Adafactor, each elementwise operation over all tensors of one device, dtype and kind at once.

        alpha = max(eps2, rms(p)) * min(lr, 1/sqrt(t))
        r = (1 - t**beta2_decay)*r + t**beta2_decay * mean(g*g, last dimension)
        c = (1 - t**beta2_decay)*c + t**beta2_decay * mean(g*g, last but one)
        v = r*c / max(mean(r), eps1)        (vectors: v is the moving average of g*g itself)
        u = g / sqrt(max(v, eps1**2))
        p = p - lr*weight_decay*p - alpha * u/max(1, rms(u)/d)

    t counts each parameter's own gradients. A parameter of more than two dimensions is a batch of matrices. Means and
    norms of 16-bit tensors are taken in float32, where float16 would overflow.

    Args:
        params: real parameters, or groups of them.
        lr: largest relative step size, and unit of weight_decay; a 1-element tensor is read at each step.
        beta2_decay: exponent of the decay rate, not above 0.
        eps: eps1, least root of the second moment (None: the parameter's dtype's eps), and eps2, least size that a
            parameter is taken to have.
        d: root mean square above which the update is clipped, at least 1.
        weight_decay: shrinkage of the parameter, in units of lr, at each step.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.

    Raises:
        ValueError: for a hyperparameter out of range, with its value.
        RuntimeError: at a step, for a complex parameter or a sparse gradient.

    Example:
        >>> optimizer = Adafactor(model.parameters())
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithms 4 and 5 of https://arxiv.org/abs/1804.04235, arguments of torch.optim.Adafactor.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            buckets: dict[tuple[Any, ...], list[tuple[Tensor, ...]]] = defaultdict(list)
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if grad.is_sparse:
                    raise RuntimeError(self.sparse_refusal)
                state = self.state[param]
                if not state:
                    state.update(self._init_state(param, group))
                moments = [state[name] for name in ("row_var", "col_var", "variance") if name in state]
                key = (param.dtype, param.device, grad.dtype, *[moment.dtype for moment in moments])
                buckets[key].append((state["step"], param, grad, *moments))
            for (dtype, *_), rows in buckets.items():
                steps, *columns = zip(*rows, strict=True)
                eps1 = torch.finfo(dtype).eps if group["eps"][0] is None else group["eps"][0]
                with foreach_lists(columns) as lists:
                    _adafactor(steps, *lists, eps1=eps1, group=group)


def _adafactor(
    steps: Tensors, params: Tensors, grads: Tensors, *moments: Tensors, eps1: float, group: dict[str, Any]
) -> None:
    lr, weight_decay = read(group["lr"], None), group["weight_decay"]
    add_number_(steps, 1.0)
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # decay rate of the second moment
    counts = [step.item() for step in steps]
    weight = same_or_list([count ** group["beta2_decay"] for count in counts])
    # the sizes that the steps are relative to are those before the decay
    sizes = _root_mean_squares(params)
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    if weight_decay != 0:
        torch._foreach_mul_(params, constant(1 - lr * weight_decay, params[0]))
    # step size
    step_sizes = [
        max(group["eps"][1], size) * min(lr, 1 / count**0.5) for size, count in zip(sizes, counts, strict=True)
    ]
    _descend(params, grads, moments, weight, step_sizes, eps1, group["d"])


def _descend(
    params: Tensors,
    grads: Tensors,
    moments: tuple[Tensors, ...],
    weight: Any,
    step_sizes: list[float],
    eps1: float,
    d: float,
) -> None:
    if len(moments) == 2:
        # row and column means of the squared gradient
        row_vars, col_vars = moments
        torch._foreach_lerp_(row_vars, _mean_squares(grads, -1), weight)
        torch._foreach_lerp_(col_vars, _mean_squares(grads, -2), weight)
        # rank-one estimate of the second moment
        means = [row_var.mean(dim=-2, keepdim=True) for row_var in row_vars]
        torch._foreach_clamp_min_(means, eps1)
        shares = torch._foreach_div(row_vars, means)
        updates: Tensors = [share @ col_var for share, col_var in zip(shares, col_vars, strict=True)]
        torch._foreach_clamp_min_(updates, eps1 * eps1)
    else:
        # second moment
        (variances,) = moments
        torch._foreach_lerp_(variances, torch._foreach_mul(grads, grads), weight)
        updates = torch._foreach_clamp_min(variances, eps1 * eps1)
    torch._foreach_rsqrt_(updates)
    torch._foreach_mul_(updates, grads)
    # clip the update by its root mean square
    sizes = _root_mean_squares(updates)
    clipped = [-step_size / max(1.0, size / d) for step_size, size in zip(step_sizes, sizes, strict=True)]
    # step
    if clipped.count(clipped[0]) == len(clipped):
        torch._foreach_add_(params, updates, alpha=clipped[0])
    else:
        torch._foreach_mul_(updates, clipped)
        torch._foreach_add_(params, updates)


def _mean_squares(tensors: Tensors, dim: int) -> list[Tensor]:
    """mean(tensor**2) over one dimension, kept, without a square of the tensor's size."""
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    means = [torch.linalg.vector_norm(tensor, dim=dim, keepdim=True, dtype=dtype) for tensor in tensors]
    torch._foreach_mul_(means, means)
    torch._foreach_div_(means, same_or_list([float(max(1, tensor.shape[dim])) for tensor in tensors]))
    return [mean.to(tensors[0].dtype) for mean in means]


def _root_mean_squares(tensors: Tensors) -> list[float]:
    norms = torch._foreach_norm(tensors, 2, dtype=torch.promote_types(tensors[0].dtype, torch.float32))
    # one wait for the device for all of them
    values: list[float] = torch.stack(norms).tolist()
    return [value / max(1, tensor.numel()) ** 0.5 for value, tensor in zip(values, tensors, strict=True)]
