"""What every optimizer of the foreach and fused tiers shares: the frame of a step, and the refusals."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer


class OptimizerBase(Optimizer):
    """Frame of a step around a tier's own loop.

    A tier's class implements `_update`, which runs once per `step` without autograd and walks `self.param_groups`.
    Hooks, `state_dict` and parameter groups are `torch.optim.Optimizer`'s.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Perform one optimization step.

        Args:
            closure: re-evaluates the model and returns the loss; it runs with autograd on.

        Returns:
            What the closure returned, or None.

        Raises:
            ValueError: if a parameter group says differentiable=True.
        """
        for group in self.param_groups:
            if group["differentiable"]:
                self._refuse_differentiable()
        self._check_graph_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._update()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint; unlike torch's, it is copied, so that training on leaves it as it is."""
        super().load_state_dict(deepcopy(state_dict))

    def _update(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must implement _update")

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """The state of `param` before its first step."""
        raise NotImplementedError(f"{type(self).__name__} must implement _init_state")

    def _check_flags(self, *, foreach: bool | None, fused: bool | None, differentiable: bool) -> None:
        # torch builds the groups first and looks at these flags last; so do we, so that the same mistake wins
        if fused:
            if differentiable:
                raise RuntimeError("`fused` does not support `differentiable`")
            if foreach:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if differentiable:
            self._refuse_differentiable()

    def _refuse_differentiable(self) -> None:
        name = type(self).__name__
        raise ValueError(
            f"differentiable=True is not supported by {type(self).__module__}.{name}: "
            f"use optbench.reference.{name}, whose step autograd follows"
        )

    def _check_graph_capture(self) -> None:
        if "capturable" not in self.defaults:
            return
        # torch renamed this check, and warns about the old name
        check = getattr(self, "_accelerator_graph_capture_health_check", None)
        if check is None:
            check = self._cuda_graph_capture_health_check
        check()


def check_fused(param: Tensor, group: dict[str, Any]) -> None:
    """Keep torch's refusal of parameters that fused=True cannot mean."""
    if group["fused"] and not param.is_floating_point():
        raise RuntimeError(f"`fused=True` requires all the params to be floating point Tensors but got {param.dtype}")


def as_scalar(value: Any) -> Any:
    """A 1-element tensor as a 0-d view of itself; anything else as it is."""
    return value.squeeze() if isinstance(value, Tensor) and value.dim() else value
