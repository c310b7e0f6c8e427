"""Constructor, checks and state of Adafactor: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, check_one_element, zeros


class AdafactorBase(OptimizerBase):
    """Adafactor without its arithmetic.

    State of each parameter: `step` (0-d, on the CPU, of this tensor's own count) and, for a gradient [..., rows, cols],
    `row_var` [..., rows, 1] and `col_var` [..., 1, cols], otherwise `variance` (shape of the gradient); all of the
    gradient's dtype.

    Raises:
        ValueError: for a hyperparameter out of range, with its value.
        RuntimeError: at the first step of a complex parameter.

    Source: the constructor of torch.optim.Adafactor.
    """

    absent_options: ClassVar = {"foreach": None}
    sparse_refusal = "Adafactor does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_one_element("lr", lr)
        # each states what must hold, so that NaN is refused as well
        for holds, message in (
            (lr >= 0.0, f"Learning rate should be >= 0 but is: {lr}"),
            (beta2_decay <= 0.0, f"beta2_decay should be <= 0 but is: {beta2_decay}"),
            (eps[0] is None or eps[0] >= 0.0, f"epsilon1 should be >= 0 but is: {eps[0]}"),
            (eps[1] >= 0.0, f"epsilon2 should be >= 0 but is: {eps[1]}"),
            (d >= 1.0, f"Clipping threshold d should be >= 1 but is: {d}"),
            (weight_decay >= 0.0, f"weight_decay should be >= 0 but is: {weight_decay}"),
        ):
            if not holds:
                raise ValueError(message)
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        if param.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        grad = param.grad
        assert grad is not None
        step = {"step": self._scalar(param, group, 0.0)}
        if grad.dim() < 2:
            return step | zeros(grad, "variance")
        *batch, rows, cols = grad.shape
        return step | {"row_var": grad.new_zeros((*batch, rows, 1)), "col_var": grad.new_zeros((*batch, 1, cols))}
