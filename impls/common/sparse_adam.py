"""Constructor, checks and state of SparseAdam: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, check, check_betas, check_lr, zeros


class SparseAdamBase(OptimizerBase):
    """SparseAdam without its arithmetic.

    State of each parameter: `step` (a Python int, of this tensor's own count), `exp_avg` and `exp_avg_sq` (shape,
    strides and dtype of the parameter; dense).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, and for sparse or complex parameters, with their
            places.

    Source: the constructor of torch.optim.SparseAdam.
    """

    absent_options: ClassVar = {"maximize": False}
    scalar_state = ()
    dense_refusal = "SparseAdam does not support dense gradients, please consider Adam instead"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_lr(lr)
        # unlike in Adam, zero is refused for these two
        check(lr > 0.0, "learning rate", lr)
        check(eps > 0.0, "epsilon value", eps)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [
            (param, [index, place])
            for index, group in enumerate(self.param_groups)
            for place, param in enumerate(group["params"])
        ]
        if found := [place for param, place in places if param.is_sparse]:
            raise ValueError(f"Sparse params at indices {found}: SparseAdam requires dense parameter tensors")
        if found := [place for param, place in places if param.is_complex()]:
            raise ValueError(f"Complex params at indices {found}: SparseAdam does not support complex parameters")

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": 0} | zeros(param, "exp_avg", "exp_avg_sq")
