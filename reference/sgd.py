"""SGD: gradient descent with momentum, in Polyak's or Nesterov's way.

Paper: Ilya Sutskever, James Martens, George Dahl and Geoffrey Hinton, "On the importance of initialization and momentum
in deep learning", 2013, https://www.cs.toronto.edu/~hinton/absps/momentum.pdf, equations 1 and 2 (momentum), 3 and 4
(Nesterov); it states no numbered algorithm.

Update rule of one element; momentum_buffer b does not exist before the first step:

    g = g + weight_decay*p
    b = g                                     at the first step
    b = momentum*b + (1 - dampening)*g        afterwards
    p = p - lr*b                              or, with nesterov, p - lr*(g + momentum*b)

Where PyTorch departs from the paper:
- The paper's velocity is -lr*b: it keeps the lr of each past step, while a change of lr here rescales all of b at once.
- The paper's Nesterov takes the gradient at p + momentum*velocity. Here p stands for that point, where g was taken.
- The first step copies the gradient into b, without dampening. A b of zeros would give (1 - dampening)*g.
- dampening, weight_decay (added to the gradient) and maximize (g replaced by -g) are not in the paper.
- "First" counts per parameter: one whose gradient comes late starts its buffer then.
- A complex parameter is a pair of real ones, which changes nothing, because the rule is linear.

Where this departs from PyTorch's code: with differentiable=True, PyTorch detaches the first step's buffer, so that no
derivative with respect to that gradient passes through the momentum; here it passes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer
from ._checks import check_tensor
from ._ops import Scalar, add, add_


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, momentum: Scalar, dampening: Scalar,
    weight_decay: Scalar, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p and b of each parameter in place. g is the caller's and stays as it is."""
    for param, grad, momentum_buffer, first_step in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0:
            grad = add(grad, param, weight_decay)

        if momentum != 0:
            # momentum buffer: the first step copies the gradient, without dampening
            #   b = g at the first step, then b = momentum*b + (1 - dampening)*g
            if first_step:
                momentum_buffer.copy_(grad)
            else:
                add_(momentum_buffer.mul_(momentum), grad, 1 - dampening)

            # Nesterov: look ahead along the buffer
            #   g = g + momentum*b, or g = b without nesterov
            grad = add(grad, momentum_buffer, momentum) if nesterov else momentum_buffer

        # step
        #   p = p - lr*g
        add_(param, grad, -lr)


class SGD(ReferenceOptimizer):
    """SGD, drop-in for torch.optim.SGD. The update rule and its source stand at the top of this module.

    Args: as torch.optim.SGD. lr >= 0 is in units of the parameter over the gradient's; momentum >= 0, dampening and
        weight_decay >= 0 have none. lr may be a 1-element tensor. foreach and fused are kept and select nothing.
    State: momentum_buffer, of the parameter's shape and dtype, once momentum is not 0.
    Raises: ValueError for a value out of its range; RuntimeError for flags that exclude each other.
    Example: `SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True).step()`
    """

    _absent_options: ClassVar = {"nesterov": False, "fused": False}
    _sparse_refusal = "weight_decay option is not compatible with sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float | Tensor = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        for name, value in (("learning rate", lr), ("momentum value", momentum), ("weight_decay value", weight_decay)):
            if value < 0.0:
                raise ValueError(f"Invalid {name}: {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"Nesterov momentum requires a momentum, not {momentum}, and zero dampening, not {dampening}"
            )
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        if group["momentum"] == 0:
            return None, False
        state = self.state[param]
        first_step = state.get("momentum_buffer") is None
        if first_step:
            state["momentum_buffer"] = torch.empty_like(grad)
        elif state["momentum_buffer"].is_sparse and not grad.is_sparse:
            state["momentum_buffer"] = state["momentum_buffer"].to_dense()
        return state["momentum_buffer"], first_step

    def _live(self, group: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        """As for every optimizer; but beside a dense buffer a sparse gradient is taken as a dense one."""
        for param, grad, momentum_buffer, first_step in super()._live(group):
            dense = momentum_buffer is not None and not momentum_buffer.is_sparse
            yield param, grad.to_dense() if dense and grad.is_sparse else grad, momentum_buffer, first_step

    def _refuse_sparse(self, group: dict[str, Any]) -> None:
        if group["weight_decay"] != 0:
            super()._refuse_sparse(group)
