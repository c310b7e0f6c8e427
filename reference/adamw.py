"""AdamW: Adam whose weight decay shrinks the parameter and leaves gradient and moments alone.

Paper: Ilya Loshchilov and Frank Hutter, "Decoupled Weight Decay Regularization", 2019,
https://arxiv.org/abs/1711.05101, Algorithm 2.

Update rule of one element at its step t = 1, 2, ..., from m = v = 0:

    p = (1 - lr*weight_decay) * p
    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g*g
    p = p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

Where PyTorch departs from the paper:
- The paper multiplies the decay by its schedule's factor eta alone, PyTorch by lr, which is eta*alpha. A weight_decay
  from the paper must be divided by the initial lr to mean the same here.
- The paper subtracts decay and step at once. To shrink first gives the same: the step does not depend on p.
- amsgrad, maximize, the count of steps and complex parameters are as in Adam.

The arithmetic is `adam.update` with decoupled_weight_decay=True. That, and the default decay, is all the difference.
"""

from typing import Any

from torch import Tensor

from ._base import ParamsT
from .adam import Adam


class AdamW(Adam):
    """AdamW, drop-in for torch.optim.AdamW. The update rule and its source stand at the top of this module.

    Args: as torch.optim.AdamW; units, ranges, state and errors as in Adam. weight_decay >= 0 has no unit.
    Example: `AdamW(model.parameters(), lr=1e-3, weight_decay=0.1).step()`
    """

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # A checkpoint of Adam, or of an AdamW older than this option, continues as AdamW.
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
