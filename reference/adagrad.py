"""Adagrad: steps along the gradient, over the root of the sum of all its squares.

Paper: John Duchi, Elad Hazan and Yoram Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
Optimization", 2011, https://jmlr.org/papers/v12/duchi11a.html, Figure 1 (diagonal matrices).

Update rule of one element at its step t = 1, 2, ..., from s = initial_accumulator_value:

    s = s + g*g
    p = p - lr/(1 + (t - 1)*lr_decay) * g/(sqrt(s) + eps)

Where PyTorch departs from the paper:
- The paper's composite mirror descent also has a regularizer and projects p onto a set; without both it is this rule.
- lr_decay, initial_accumulator_value, weight_decay (added to the gradient) and maximize are not in the paper.
- Every parameter counts its own t, and has its state from construction on.
- A sparse gradient touches the elements that it names and no others; weight_decay, which touches all, is refused.
- A complex parameter is a pair of real ones: s holds the squares of both parts, not of the modulus.

Where this departs from PyTorch's code: a sparse complex gradient is a pair of real ones as well, where PyTorch adds its
complex square to s; and a group's own initial_accumulator_value holds for it, where PyTorch takes the constructor's.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step, view_as_real
from ._checks import check_non_negative, check_tensor
from ._ops import Scalar, add, addcdiv_, sqrt


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, lr_decay: Scalar, weight_decay: Scalar, eps: float,
    maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p and s of each parameter in place, at its step t. g is the caller's and stays as it is."""
    for param, grad, state_sum, step in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0:
            grad = add(grad, param, weight_decay)

        # decayed learning rate
        #   r = lr/(1 + (t - 1)*lr_decay)
        rate = lr / (1 + (step - 1) * lr_decay)

        # sum of squared gradients
        #   s = s + g*g
        state_sum.addcmul_(grad, grad)

        # denominator
        #   d = sqrt(s) + eps
        denom = sqrt(state_sum).add_(eps)

        # step
        #   p = p - r*g/d
        addcdiv_(param, grad, denom, -rate)


class Adagrad(ReferenceOptimizer):
    """Adagrad, drop-in for torch.optim.Adagrad. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Adagrad: lr >= 0 in units of the parameter, eps >= 0 in units of the gradient,
        initial_accumulator_value >= 0 in those of its square; lr_decay and weight_decay >= 0. lr may be a 1-element
        tensor. foreach and fused are kept and select nothing.
    State: step []; sum, shaped as the parameter. It exists from construction on.
    Raises: ValueError for a value out of its range; RuntimeError for flags that exclude each other.
    Example: `Adagrad(model.parameters(), lr=1e-2).step()`
    """

    _absent_options: ClassVar = {"fused": None}
    _sparse_refusal = "weight_decay option is not compatible with sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({
            "learning rate": lr, "lr_decay value": lr_decay, "weight_decay value": weight_decay,
            "initial_accumulator_value value": initial_accumulator_value, "epsilon value": eps,
        })  # fmt: skip
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for group in self.param_groups:
            for param in group["params"]:
                self._initialize(param, group)

    def share_memory(self) -> None:
        """Move every sum into shared memory, for processes that train one model together."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def _initialize(self, param: Tensor, group: dict[str, Any]) -> None:
        value = group["initial_accumulator_value"]
        value = complex(value, value) if param.is_complex() else value
        state_sum = torch.full_like(param, value, memory_format=torch.preserve_format)
        self.state[param].update(step=new_scalar(param, group), sum=state_sum)

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in ("lr", "lr_decay", "weight_decay", "eps", "maximize")}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            self._initialize(param, group)
        return state["sum"], next_step(state, group)

    def _live(self, group: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        """As for every optimizer; but of a parameter whose gradient is sparse, copies of the elements that it names."""
        for param, grad, state_sum, step in super()._live(group):
            if not grad.is_sparse:
                yield param, grad, state_sum, step
                continue
            # The update is not linear: elements that stand twice must be added up first.
            grad = grad.coalesce()
            index = tuple(grad.indices())
            touched, sums = param[index], state_sum[index]
            yield view_as_real(touched), view_as_real(grad.values()), view_as_real(sums), step
            param[index], state_sum[index] = touched, sums

    def _refuse_sparse(self, group: dict[str, Any]) -> None:
        if group["weight_decay"] != 0:
            super()._refuse_sparse(group)
