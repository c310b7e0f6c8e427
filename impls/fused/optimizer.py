"""The host's side of every fused optimizer: which tensors go into which launch, and what is kept from step to step.

A step first checks that its plan still describes the optimizer, by mapping functions written in C over lists:
parameters, options, state entries, addresses and layouts. Only the gradients' addresses may change without a new
plan.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..common.base import OptimizerBase
from .lang import Rule
from .plan import Plan
from .rows import RowStep, update_rows

Group = dict[str, Any]


class FusedOptimizer(OptimizerBase):
    """Base of the fused optimizers: one launch for all parameters of one dtype and set of flags.

    A subclass names its `rule`, the `options` of a group that the rule depends on, and turns a group into
    hyperparameters and flags. Arithmetic is float32 for 16- and 32-bit storage and float64 for 64-bit storage,
    rounded once when stored. Arrays whose strides or dtypes differ from their parameter's are copied through scratch
    memory of their own size.

    Gradients are not written, nor kept alive between steps. The environment variable OPTBENCH_FUSED_BACKEND=triton
    runs Triton on CPU tensors, in its interpreter (set TRITON_INTERPRET=1).
    """

    rule: ClassVar[Rule]
    options: ClassVar[tuple[str, ...]]
    sparse_refusal: ClassVar[str] = "sparse gradients are not supported"
    # whether gradients may hold rows only
    takes_sparse: ClassVar[bool] = False

    # torch.amp.GradScaler then leaves unscaling to the step
    _step_supports_amp_scaling = True
    _plan: Plan | None = None
    _backends: tuple[str, ...] = ()

    grad_scale: Tensor | None
    found_inf: Tensor | None

    @property
    def backend(self) -> str | None:
        """What ran the last step: "numba", "triton" or "triton-interpreter", joined by "+"; None before the first."""
        return "+".join(self._backends) or None

    def hyper(self, group: Group) -> tuple[float, ...]:
        """Values of `rule.hyper` for a group; a tensor's value is read."""
        raise NotImplementedError

    def flags(self, group: Group) -> tuple[int, ...]:
        """Values of `rule.flags` for a group."""
        raise NotImplementedError

    def state_of(self, param: Tensor, group: Group) -> tuple[dict[str, Tensor], bool]:
        """A parameter's state, made if it has none; and whether this is the first step of a rule that counts none."""
        state = self.state[param]
        if not state:
            state.update(self._init_state(param, group))
        return state, False

    def check_grad(self, param: Tensor) -> None:
        """Refuse gradients that no kernel here can read."""
        assert param.grad is not None
        if param.grad.layout != torch.strided:
            raise RuntimeError(self.sparse_refusal)

    def row_step(self, param: Tensor, grad: Tensor, group: Group) -> RowStep:
        """What a step of a parameter with a sparse gradient consists of."""
        state, _ = self.state_of(param, group)
        flags = self.flags(group)
        names = [name for name, exists in zip(self.rule.state, self.rule.present(flags), strict=True) if exists]
        return RowStep(param, grad, [state[name] for name in names], flags, self.hyper(group), state["step"])

    def update_sparse(
        self, params: list[tuple[Tensor, Group]], grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> tuple[str, ...]:
        """Take a step of parameters with sparse gradients; the names of the backends that did."""
        if found_inf is not None and found_inf.item():
            return ()
        steps = []
        for param, group in params:
            grad = param.grad
            assert grad is not None
            if grad_scale is not None:
                # Unscaled in half precision, small values would be lost.
                grad = grad.to(torch.promote_types(grad.dtype, torch.float32)) * (1.0 / grad_scale).to(grad.device)
            steps.append(self.row_step(param, grad, group))
        return update_rows(self.rule, steps)

    def add_param_group(self, param_group: Group) -> None:
        """See torch.optim.Optimizer."""
        self._plan = None
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plan = None

    def _update(self) -> None:
        found_inf: Tensor | None = getattr(self, "found_inf", None)
        if found_inf is not None and found_inf.device.type == "cpu":
            if found_inf.item():
                return
            found_inf = None
        plan, self._plan = self._plan, None
        if plan is None or not plan.holds(self, found_inf):
            # Let go of the old plan's tensors before others are made; and make no state for a step that is skipped.
            plan = None
            if found_inf is not None and found_inf.item():
                return
            plan = Plan(self, found_inf)
        self._backends = plan.run(self, found_inf)
        # Only a plan that went through is kept.
        self._plan = plan
