"""SparseAdam on torch._foreach_* ops: Adam on the rows that a sparse gradient names, and on no others.

Paper: Diederik P. Kingma, Jimmy Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980,
in the reordered form at the end of its section 2, where eps is not bias-corrected.
"""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ..common.sparse_adam import SparseAdamBase
from .lists import Tensors, add_number_, foreach_lists, read, same_or_list


class SparseAdam(SparseAdamBase):
    """SparseAdam, each operation over the touched rows of all tensors of one device and dtype at once.

        m = beta1*m + (1 - beta1)*g                  (touched rows only, here and below)
        v = beta2*v + (1 - beta2)*g*g
        p = p - lr*sqrt(1 - beta2**t)/(1 - beta1**t) * m/(sqrt(v) + eps)

    Rows without a gradient keep their moments: these do not decay. t counts each parameter's own gradients, whichever
    rows they touch. Gradients may name a row several times (the values add up), and be sparse in several dimensions.

    Args:
        params: dense real parameters, or groups of them.
        lr: learning rate, above 0; a 1-element tensor is read at each step.
        betas: decay rates of the first and second moment, in [0, 1).
        eps: added to the denominator, above 0.
        maximize: ascend.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, and for sparse or complex parameters.
        RuntimeError: at a step, for a dense gradient.

    Example:
        >>> embedding = torch.nn.Embedding(1000, 64, sparse=True)
        >>> optimizer = SparseAdam(embedding.parameters(), lr=1e-3)
        >>> embedding(words).sum().backward()
        >>> optimizer.step()

    Source: section 2 of https://arxiv.org/abs/1412.6980, arguments of torch.optim.SparseAdam.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            buckets: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
            live = [(param, param.grad) for param in group["params"] if param.grad is not None]
            # before the first step is counted
            if not all(grad.is_sparse for _, grad in live):
                raise RuntimeError(self.dense_refusal)
            for param, grad in live:
                state = self.state[param]
                if not state:
                    state.update(self._init_state(param, group))
                state["step"] += 1
                # coalesce: one row an index
                grad = grad.coalesce()
                if grad.values().numel() == 0:
                    continue
                targets = (param, state["exp_avg"], state["exp_avg_sq"])
                key = (param.device, grad.dtype, *[target.dtype for target in targets])
                buckets[key].append((state["step"], grad.indices(), grad.values(), *targets))
            for rows in buckets.values():
                steps, places, values, *columns = zip(*rows, strict=True)
                params, *moments = [list(map(_gather, column, places)) for column in columns]
                with foreach_lists([params, values, *moments]) as lists:
                    _sparse_adam(steps, *lists, group=group)
                for column, updated in zip(columns, (params, *moments), strict=True):
                    for tensor, place, value in zip(column, places, updated, strict=True):
                        _scatter_(tensor, place, value)


def _sparse_adam(
    steps: tuple[int, ...],
    params: Tensors,
    grads: Tensors,
    exp_avgs: Tensors,
    exp_avg_sqs: Tensors,
    *,
    group: dict[str, Any],
) -> None:
    lr, beta1, beta2 = (read(value, None) for value in (group["lr"], *group["betas"]))
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # first moment
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    # second moment
    torch._foreach_lerp_(exp_avg_sqs, torch._foreach_mul(grads, grads), 1 - beta2)
    # bias corrections
    negative_step_sizes = [lr * math.sqrt(_correction(beta2, t)) / -_correction(beta1, t) for t in steps]
    # denominator
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    add_number_(denominators, group["eps"])
    # step
    torch._foreach_addcdiv_(params, exp_avgs, denominators, same_or_list(negative_step_sizes))


def _correction(beta: float, step: int) -> float:
    """1 - beta**step; as it stands, that loses 250 units of float64 at step 2."""
    return -math.expm1(step * math.log(beta)) if beta > 0 else 1.0


def _gather(tensor: Tensor, places: Tensor) -> Tensor:
    """Copy the rows of `tensor` at the indices `places` [dimensions, rows]."""
    if len(places) == 1:
        return tensor.index_select(0, places[0])
    # with no sparse dimension there is one row, the tensor
    return tensor[tuple(places)] if len(places) else tensor[None].clone()


def _scatter_(tensor: Tensor, places: Tensor, rows: Tensor) -> None:
    if len(places) == 1:
        tensor.index_copy_(0, places[0], rows)
    elif len(places):
        tensor.index_put_(tuple(places), rows)
    else:
        tensor.copy_(rows[0])
