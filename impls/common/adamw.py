"""Constructor of AdamW: Adam whose weight decay acts on the parameter and not on the gradient."""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .adam import AdamBase


class AdamWBase(AdamBase):
    """AdamW's constructor, to be put before a tier's Adam: `class AdamW(AdamWBase, Adam)`.

    Raises:
        ValueError: for a hyperparameter out of range, with its value.
        RuntimeError: for flags that exclude each other.

    Source: the constructor of torch.optim.AdamW.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # a checkpoint of Adam, or one older than the flag, must not turn AdamW into Adam
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
