"""Constructor, checks and state of Adam: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, as_scalar, check, check_betas, check_fused, check_one_element, zeros


class AdamBase(OptimizerBase):
    """Adam without its arithmetic.

    State of each parameter: `step` (0-d, of this tensor's own count), `exp_avg`, `exp_avg_sq` and, with amsgrad,
    `max_exp_avg_sq` (shape, strides and dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value.
        RuntimeError: for flags that exclude each other.

    Source: the constructor of torch.optim.Adam.
    """

    absent_options: ClassVar = {
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_tensors = bool(foreach) and not capturable
        _check_tensor("lr", lr, refused=check_tensors)
        check(lr >= 0.0, "learning rate", lr)
        check(eps >= 0.0, "epsilon value", eps)
        check_betas(betas)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        if not any(all(isinstance(beta, kind) for beta in betas[:2]) for kind in (float, Tensor)):
            raise ValueError(f"betas must be either both floats or both Tensors, got {betas}")
        # both are tensors, or none is
        _check_tensor("betas[0]", betas[0], refused=check_tensors)

        defaults = {
            "lr": lr,
            "betas": tuple(map(as_scalar, betas)),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        self._check_flags(foreach=foreach, fused=fused, differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        check_fused(param, group)
        largest = ["max_exp_avg_sq"] * bool(group["amsgrad"])
        return {"step": self._scalar(param, group, 0.0)} | zeros(param, "exp_avg", "exp_avg_sq", *largest)


def _check_tensor(name: str, value: Any, *, refused: bool) -> None:
    if isinstance(value, Tensor) and refused:
        raise ValueError(f"{name} as a Tensor is not supported for capturable=False and foreach=True")
    check_one_element(name, value)
