"""Constructor, checks and frame of a step of L-BFGS: everything but its arithmetic."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, check, check_lr


class LBFGSBase(OptimizerBase):
    """L-BFGS without its arithmetic: a tier's class implements `_minimize`.

    State, all of it under the first parameter, so that checkpoints cast it: `func_evals`, `n_iter` (Python ints), and
    from the first iteration on `d`, `t`, `old_dirs`, `old_stps`, `ro`, `H_diag`, `prev_flat_grad`, `prev_loss`, from
    the second on `al`. Vectors are flat [n], of all parameters, a complex one counting as two real numbers an element.

    Raises:
        ValueError: for an option out of range, with its value, and for more than one parameter group.

    Source: the constructor of torch.optim.LBFGS.
    """

    scalar_state = ()
    scalar_state_on_device = True
    # it has the dtype of a tensor lr
    kept_state = ("t",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        check(history_size >= 1, "history_size has to be at least 1", history_size)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"only 'strong_wolfe' is supported as line_search_fn, not {line_search_fn!r}")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the only group.

        Raises:
            ValueError: for a second one.
        """
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            self.param_groups.pop()
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups): it takes one group")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Perform one optimization step: up to `max_iter` iterations, or `max_eval` evaluations of the closure.

        Args:
            closure: clears the gradients, re-evaluates the model and returns the loss; it runs with autograd on.

        Returns:
            What the closure returned the first time.

        Raises:
            AssertionError: if a parameter group was added.
            RuntimeError: if the line search has a name other than "strong_wolfe".
        """
        if len(self.param_groups) != 1:
            raise AssertionError(f"Expected exactly one param_group, but got {len(self.param_groups)}")
        group = self.param_groups[0]
        if not self._params:
            # the state of a step is kept under the first one
            return torch.enable_grad()(closure)()
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with torch.no_grad():
            return self._minimize(torch.enable_grad()(closure), group, state)

    def _minimize(self, closure: Callable[[], Any], group: dict[str, Any], state: dict[str, Any]) -> Any:
        """Take a step without autograd; the closure turns it on. Returns the first loss as the closure gave it."""
        raise NotImplementedError(f"{type(self).__name__} must implement _minimize")
