"""Lion: steps of one size, along the sign of an interpolation between momentum and gradient.

Paper: Xiangning Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, https://arxiv.org/abs/2302.06675,
Algorithm 2.

Update rule of one element, from m = 0:

    p = (1 - lr*weight_decay) * p
    p = p - lr*sign(beta1*m + (1 - beta1)*g)
    m = beta2*m + (1 - beta2)*g

torch.optim has no Lion, so there is no departure of PyTorch's to list. Where this departs from the paper:
- The paper subtracts decay and step at once. To shrink first gives the same: the step does not depend on p.
- maximize (g replaced by -g) is not in the paper.
- A complex parameter is a pair of real ones: the sign is that of each part, not z/|z|.
- sign(0) = 0, and so is sign(NaN), as torch.sign has it: a NaN gradient shows in m, and stops the parameter there.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer
from ._checks import check_betas, check_non_negative, check_tensor
from ._ops import Scalar, add_, lerp_


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, beta1: Scalar, beta2: Scalar, weight_decay: Scalar,
    maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p and m of each parameter in place. g is the caller's and stays as it is."""
    for param, grad, exp_avg in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # decoupled weight decay: shrink the parameter by lr*weight_decay
        #   p = (1 - lr*weight_decay) * p
        if weight_decay != 0:
            param.mul_(1 - lr * weight_decay)

        # step: the sign of an interpolation
        #   p = p - lr*sign(beta1*m + (1 - beta1)*g)
        add_(param, lerp_(exp_avg.clone(), grad, 1 - beta1).sign_(), -lr)

        # first moment
        #   m = beta2*m + (1 - beta2)*g = m + (1 - beta2)*(g - m)
        lerp_(exp_avg, grad, 1 - beta2)


class Lion(ReferenceOptimizer):
    """Lion, which torch.optim does not have. The update rule and its source stand at the top of this module.

    Args: lr >= 0 is the size of every step, in units of the parameter. The paper advises a third to a tenth of AdamW's,
        and a weight_decay >= 0 larger in the same proportion. betas in [0, 1). lr and both betas may be 1-element
        tensors. foreach and fused are kept and select nothing.
    State: exp_avg, shaped as the parameter.
    Raises: ValueError for a value out of its range; RuntimeError for flags that exclude each other.
    Example: `Lion(model.parameters(), lr=1e-4, weight_decay=0.1).step()`
    """

    _absent_options: ClassVar = {"capturable": False, "fused": None}
    _sparse_refusal = "Lion does not support sparse gradients, please consider SparseAdam instead"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-4, betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.99),
        weight_decay: float = 0.0, *, maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr, foreach=foreach, capturable=capturable)
        check_non_negative({"learning rate": lr, "weight_decay value": weight_decay})
        betas = check_betas(betas, foreach=foreach, capturable=capturable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "weight_decay", "maximize")
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["exp_avg"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        return (state["exp_avg"],)
