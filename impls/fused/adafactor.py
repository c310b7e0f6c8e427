"""Adafactor: three launches for all parameters, whatever their number, on CPU and GPU.

Noam Shazeer, Mitchell Stern: Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018,
https://arxiv.org/abs/1804.04235, algorithms 4 and 5.

The first launch sums squares, the second forms the second moment and sums the squares of the update, the third clips
and steps. `numba_adafactor` and `triton_adafactor` hold them; what is computed once a tensor stands here.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..common.adafactor import AdafactorBase
from .kept import Member
from .lang import Rule, minimum, power, rule, sqrt
from .tiles import TilePlan


@rule
def prepare(step, lr, beta2_decay, eps1, eps2, threshold, weight_decay, direction):
    """Scalars of one tensor and step, in float64."""
    # decay rate of the second moment
    one_minus_beta2 = power(step, beta2_decay)
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    keep = 1.0 - lr * weight_decay
    # step size
    rho = minimum(lr, 1.0 / sqrt(step))
    step_size = direction * rho
    return one_minus_beta2, eps1, eps2, threshold, keep, step_size


RULE = Rule(
    "adafactor",
    prepare,
    prepare,
    state=(),
    hyper=("lr", "beta2_decay", "eps1", "eps2", "threshold", "weight_decay", "direction"),
    scalars=("one_minus_beta2", "eps1", "eps2", "threshold", "keep", "step_size"),
    flags=(),
)


class Adafactor(AdafactorBase):
    """Adafactor without momentum, all parameters in three launches.

    w = t^beta2_decay; for a matrix [rows, cols], r = r + w*(mean over cols of g*g - r), c = c + w*(mean over rows of
    g*g - c), v = r*c/max(mean(r), eps1); for a vector, v = v + w*(g*g - v). u = g/sqrt(max(v, eps1^2)), and
    p = p - lr*weight_decay*p - max(eps2, rms(p)) * min(lr, 1/sqrt(t)) * u/max(1, rms(u)/d), rms(p) taken before the
    decay.

    Args: those of torch.optim.Adafactor. eps1 None is the distance from 1 to the next number of the parameter's dtype.

    Raises:
        ValueError: for a hyperparameter out of range.
        RuntimeError: for sparse gradients and complex parameters, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Adafactor(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Shazeer and Stern, 2018, https://arxiv.org/abs/1804.04235. Sums are taken in float64 on a CPU.
    """

    _plan: TilePlan | None = None
    _backends: tuple[str, ...] = ()

    @property
    def backend(self) -> str | None:
        """What ran the last step: "numba", "triton" or "triton-interpreter", joined by "+"; None before the first."""
        return "+".join(self._backends) or None

    def _update(self) -> None:
        plan, self._plan = self._plan, None
        if plan is None or not plan.kept.holds(self):
            plan = None
            plan = TilePlan(self, self._members(), RULE)
        self._backends = plan.run(self._hyper)
        if plan.steady:
            self._plan = plan

    def _members(self) -> list[Member]:
        members = []
        for index, group in enumerate(self.param_groups):
            for param in group["params"]:
                if param.grad is None:
                    continue
                if param.grad.layout != torch.strided:
                    raise RuntimeError(self.sparse_refusal)
                state = self.state[param]
                if not state:
                    state.update(self._init_state(param, group))
                members.append(Member(param, index, state))
        return members

    def _hyper(self, index: int, dtype: torch.dtype) -> tuple[float, ...]:
        """Values of `RULE.hyper` for parameters of a group and dtype; a tensor's value is read."""
        group: dict[str, Any] = self.param_groups[index]
        eps1, eps2 = group["eps"]
        return (
            _number(group["lr"]),
            group["beta2_decay"],
            torch.finfo(dtype).eps if eps1 is None else eps1,
            eps2,
            group["d"],
            group["weight_decay"],
            -1.0 if group["maximize"] else 1.0,
        )


def _number(value: float | Tensor) -> float:
    return float(value)
