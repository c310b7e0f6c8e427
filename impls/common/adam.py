"""Constructor, checks and state of Adam: everything but its arithmetic."""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, as_scalar, check_fused


class AdamBase(OptimizerBase):
    """Adam without its arithmetic.

    State of each parameter: `step` (0-d, of this tensor's own count), `exp_avg`, `exp_avg_sq` and, with amsgrad,
    `max_exp_avg_sq` (shape, strides and dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value.
        RuntimeError: for flags that exclude each other.

    Source: the constructor of torch.optim.Adam.
    """

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
        # `not x >= 0` refuses NaN as well
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for index in range(2):
            if not 0.0 <= betas[index] < 1.0:
                raise ValueError(f"Invalid beta parameter at index {index}: {betas[index]}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not any(all(isinstance(beta, kind) for beta in betas[:2]) for kind in (float, Tensor)):
            raise ValueError(f"betas must be either both floats or both Tensors, got {betas}")
        for index in range(2):
            _check_tensor(f"betas[{index}]", betas[index], refused=check_tensors)

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("amsgrad", False)
            group.setdefault("maximize", False)
            group.setdefault("foreach", None)
            group.setdefault("capturable", False)
            group.setdefault("differentiable", False)
            group.setdefault("decoupled_weight_decay", False)
            group.setdefault("fused", None)
            for param in group["params"]:
                # old checkpoints kept the step as a Python number
                param_state = self.state.get(param, {})
                if param_state and not isinstance(param_state["step"], Tensor):
                    param_state["step"] = new_step(param, group, float(param_state["step"]))

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        check_fused(param, group)
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        moments = {name: torch.zeros_like(param, memory_format=torch.preserve_format) for name in names}
        return {"step": new_step(param, group, 0.0)} | moments


def new_step(param: Tensor, group: dict[str, Any], value: float) -> Tensor:
    """A step count where torch keeps it: on the CPU, as kernels for one number are dear, unless asked otherwise."""
    dtype = torch.float64 if torch.get_default_dtype() == torch.float64 and not group["fused"] else torch.float32
    device = param.device if group["capturable"] or group["fused"] else "cpu"
    return torch.tensor(value, dtype=dtype, device=device)


def _check_tensor(name: str, value: Any, *, refused: bool) -> None:
    if not isinstance(value, Tensor):
        return
    if refused:
        raise ValueError(f"{name} as a Tensor is not supported for capturable=False and foreach=True")
    if value.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element, got shape {tuple(value.shape)}")
