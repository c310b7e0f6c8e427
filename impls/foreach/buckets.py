"""A group's tensors, sorted into lists that one foreach op can take."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..common.base import OptimizerBase
from .lists import Tensors


def buckets(optimizer: OptimizerBase, group: dict[str, Any], names: Sequence[str]) -> Iterable[list[Tensors]]:
    """Sort what a step of a group needs by device, dtypes and layout of the gradients, and make the state that lacks.

    Args:
        names: the states to fetch, beside the optimizer's `scalar_state`.

    Returns:
        For each bucket one list for each of `scalar_state`, then the parameters, their gradients, and one list for each
        of `names`; each list has one entry for each parameter.

    Raises:
        RuntimeError: for a sparse gradient, where the optimizer `refuses_sparse`.
    """
    scalars, refusal = optimizer.scalar_state, optimizer.refuses_sparse(group)
    on_device = optimizer.scalar_state_on_device or group.get("capturable")
    found: dict[tuple[Any, ...], list[tuple[Tensor, ...]]] = defaultdict(list)
    for param in group["params"]:
        grad = param.grad
        if grad is None:
            continue
        layout = grad.layout
        if refusal is not None and layout is not torch.strided:
            raise RuntimeError(refusal)
        state = optimizer.state[param]
        if not state:
            state.update(optimizer._init_state(param, group))
        if on_device:
            for name in scalars:
                if state[name].device != param.device:
                    state[name] = state[name].to(param.device)
        arrays = [state[name] for name in names]
        key = (param.device, param.dtype, grad.dtype, layout, *[array.dtype for array in arrays])
        found[key].append((*[state[name] for name in scalars], param, grad, *arrays))
    return [list(zip(*rows, strict=True)) for rows in found.values()]
