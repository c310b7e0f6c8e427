"""SparseAdam: one rule over the rows that a sparse gradient touches, compiled for CPU and GPU.

A lazy form of Adam (Diederik P. Kingma, Jimmy Ba: Adam: A Method for Stochastic Optimization, 2014,
https://arxiv.org/abs/1412.6980) that leaves moments alone where the gradient has no value.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import torch

from ..common.sparse_adam import SparseAdamBase
from .lang import Rule, constexpr, div, expm1, log, rule, sqrt, where
from .rows import RowStep, update_rows


@rule
def prepare(step, lr, beta1, beta2, eps, MAXIMIZE: constexpr):
    """Scalars of one tensor and step, in float64."""
    # bias corrections
    bias_correction1 = -expm1(step * log(beta1))
    bias_correction2 = -expm1(step * log(beta2))
    one_minus_beta1 = 1.0 - beta1
    one_minus_beta2 = 1.0 - beta2
    step_size = lr * sqrt(bias_correction2) / bias_correction1
    return one_minus_beta1, beta2, one_minus_beta2, eps, step_size


@rule
def update(
    param, grad, exp_avg, exp_avg_sq, one_minus_beta1, beta2, one_minus_beta2, eps, step_size, MAXIMIZE: constexpr,
):  # fmt: skip
    """One element of a touched row."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # first moment
    # from the nearer end, so that a beta1 of 0 leaves no rounding of the mean
    exp_avg = where(
        one_minus_beta1 < 0.5,
        exp_avg + one_minus_beta1 * (grad - exp_avg),
        grad - (1.0 - one_minus_beta1) * (grad - exp_avg),
    )
    # second moment
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (grad * grad)
    # denominator
    denominator = sqrt(exp_avg_sq) + eps
    # step
    param = param - step_size * div(exp_avg, denominator)
    return param, exp_avg, exp_avg_sq


RULE = Rule(
    "sparse_adam",
    prepare,
    update,
    state=("exp_avg", "exp_avg_sq"),
    hyper=("lr", "beta1", "beta2", "eps"),
    scalars=("one_minus_beta1", "beta2", "one_minus_beta2", "eps", "step_size"),
    flags=("MAXIMIZE",),
    stores_step=False,
)


class SparseAdam(SparseAdamBase):
    """Adam for sparse gradients: coalesced once, then one launch gathers the touched rows, updates and scatters them.

    For the touched rows: m = beta1*m + (1 - beta1)*g, v = beta2*v + (1 - beta2)*g*g,
    p = p - lr*sqrt(1 - beta2^t)/(1 - beta1^t) * m/(sqrt(v) + eps). t counts the parameter's steps, whatever their rows.

    Args: those of torch.optim.SparseAdam.

    Raises:
        ValueError: for a hyperparameter out of range, and for sparse or complex parameters.
        RuntimeError: for dense gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> table = torch.nn.Embedding(10, 3, sparse=True)
        >>> optimizer = SparseAdam(table.parameters(), lr=0.01)
        >>> table(torch.tensor([1, 4])).sum().backward()
        >>> optimizer.step()

    Source: Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980, as in torch.optim.SparseAdam.
    """

    _backends: tuple[str, ...] = ()

    @property
    def backend(self) -> str | None:
        """What ran the last step: "numba", "triton" or "triton-interpreter", joined by "+"; None before the first."""
        return "+".join(self._backends) or None

    def _update(self) -> None:
        steps = []
        for group in self.param_groups:
            beta1, beta2 = map(float, group["betas"])
            hyper = (float(group["lr"]), beta1, beta2, float(group["eps"]))
            live = [(param, param.grad) for param in group["params"] if param.grad is not None]
            # Before the first step is counted.
            if not all(grad.is_sparse for _, grad in live):
                raise RuntimeError(self.dense_refusal)
            for param, grad in live:
                state = self.state[param]
                if not state:
                    state.update(self._init_state(param, group))
                state["step"] += 1
                moments = [state[name] for name in RULE.state]
                steps.append(
                    RowStep(param, grad, moments, (int(bool(group["maximize"])),), hyper, number=state["step"])
                )
        self._backends = update_rows(RULE, steps)
        torch.autograd.graph.increment_version([step.param for step in steps if not step.param.is_inference()])
