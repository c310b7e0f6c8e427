"""Constructor, checks and state of Muon: everything but its arithmetic."""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, check_one_element, zeros


class MuonBase(OptimizerBase):
    """Muon without its arithmetic.

    State of each parameter: `momentum_buffer` (shape and dtype of the gradient).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, and for a parameter that is no matrix, with its
            shape.
        RuntimeError: at the first step of a complex parameter.

    Source: the constructor of torch.optim.Muon.
    """

    scalar_state = ()
    sparse_refusal = "Muon does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_one_element("lr", lr)
        # each states what must hold, so that NaN is refused as well
        for holds, message in (
            (lr >= 0.0, f"Learning rate should be >= 0 but is: {lr}"),
            (momentum >= 0.0, f"momentum should be >= 0 but is: {momentum}"),
            (weight_decay >= 0.0, f"weight decay should be >= 0 but is: {weight_decay}"),
            (
                adjust_lr_fn in (None, "original", "match_rms_adamw"),
                f"Adjust learning rate function {adjust_lr_fn} is not supported",
            ),
            (ns_steps < 100, f"Number of steps must be less than 100 for computational efficiency, got {ns_steps}"),
            (len(ns_coefficients) == 3, f"Coefficients must be a tuple of exactly 3 values, got {ns_coefficients}"),
        ):
            if not holds:
                raise ValueError(message)
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add matrices with options of their own; see torch.optim.Optimizer.

        Raises:
            ValueError: for a parameter that is no matrix, with its shape.
        """
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if param.dim() != 2:
                self.param_groups.pop()
                raise ValueError(
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {param.shape}"
                )

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        if param.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        assert param.grad is not None
        return zeros(param.grad, "momentum_buffer")
