"""Muon on torch._foreach_* ops, with the Newton-Schulz iterations batched over matrices of one shape.

Source: Keller Jordan, Yuchen Jin, Vlado Boza, Jiacheng You, Franz Cesista, Laker Newhouse, Jeremy Bernstein, "Muon: An
optimizer for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/; match_rms_adamw:
Jingyuan Liu and others, "Muon is Scalable for LLM Training", 2025, https://arxiv.org/abs/2502.16982, section 2.2.
"""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ..common.muon import MuonBase
from .lists import Tensors, constant, foreach_lists, read

# Matrices of one shape are orthogonalized together up to this many elements, beyond which a batch is no faster than
# its parts and only takes memory.
BATCH_ELEMENTS = 2**24


class Muon(MuonBase):
    """Muon, each operation over matrices of one device, dtype and shape at once.

        b = momentum*b + (1 - momentum)*g
        u = momentum*b + (1 - momentum)*g            (u = b without nesterov)
        o = bfloat16(u) / max(norm(u), eps), then ns_steps times: o = a*o + (b*s + c*s*s)*o with s = o*o'
        p = p - lr*weight_decay*p - lr*r*o

    where a, b, c are the ns_coefficients, and r is sqrt(max(1, rows/columns)), or 0.2*sqrt(max(rows, columns)) with
    match_rms_adamw. The iterations run in bfloat16 whatever the dtype of the parameters.

    Args:
        params: real matrices [rows, columns], or groups of them.
        lr: learning rate; a 1-element tensor is read at each step.
        weight_decay: shrinkage of the parameter, in units of lr, at each step.
        momentum: decay rate of the buffer.
        nesterov: look ahead along the buffer.
        ns_coefficients: of the odd polynomial of degree 5 whose iteration brings singular values near 1.
        eps: least norm that a matrix is divided by.
        ns_steps: number of iterations, below 100.
        adjust_lr_fn: "original" (as None), or "match_rms_adamw" for rates tuned for AdamW.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, and for a parameter that is no matrix; at a
            step, for ns_steps and ns_coefficients.
        RuntimeError: at a step, for a complex parameter or a sparse gradient.

    Example:
        >>> optimizer = Muon([p for p in model.parameters() if p.dim() == 2], lr=0.02)
        >>> loss.backward()
        >>> optimizer.step()

    Source: https://kellerjordan.github.io/posts/muon/, arguments of torch.optim.Muon.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            buckets: dict[tuple[Any, ...], list[tuple[Tensor, ...]]] = defaultdict(list)
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if grad.is_sparse:
                    raise RuntimeError(self.sparse_refusal)
                state = self.state[param]
                if not state:
                    state.update(self._init_state(param, group))
                buffer = state["momentum_buffer"]
                key = (param.device, param.dtype, grad.dtype, buffer.dtype, param.shape)
                buckets[key].append((param, grad, buffer))
            for (*_, shape), rows in buckets.items():
                size = max(1, BATCH_ELEMENTS // max(1, shape.numel()))
                for start in range(0, len(rows), size):
                    with foreach_lists(list(zip(*rows[start : start + size], strict=True))) as lists:
                        _muon(*lists, group=group)


def _muon(params: Tensors, grads: Tensors, buffers: Tensors, *, group: dict[str, Any]) -> None:
    first, momentum = params[0], group["momentum"]
    lr, weight_decay = read(group["lr"], None), group["weight_decay"]
    # momentum buffer
    torch._foreach_lerp_(buffers, grads, 1 - momentum)
    # Nesterov: look ahead along the buffer
    updates = torch._foreach_lerp(grads, buffers, momentum) if group["nesterov"] else buffers
    # orthogonalize by Newton-Schulz iterations
    updates = _orthogonalize(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
    # adjust the rate to the shape
    adjusted = lr * _shape_factor(first.shape, group["adjust_lr_fn"])
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    if weight_decay != 0:
        torch._foreach_mul_(params, constant(1 - lr * weight_decay, first))
    # step
    torch._foreach_add_(params, updates, alpha=-adjusted)


def _orthogonalize(
    updates: Tensors, coefficients: tuple[float, float, float], iterations: int, eps: float
) -> tuple[Tensor, ...]:
    """Matrices [rows, columns] with the singular vectors of `updates`, and singular values near 1."""
    if iterations >= 100:
        raise ValueError(f"Number of steps must be less than 100 for computational efficiency, got {iterations}")
    if len(coefficients) != 3:
        raise ValueError(f"Coefficients must be a tuple of exactly 3 values, got {coefficients}")
    a, b, c = coefficients
    first = updates[0]
    # the smaller side's Gram matrix is the cheaper one
    tall = first.shape[0] > first.shape[1]
    batch = torch.empty((len(updates), *first.shape), dtype=torch.bfloat16, device=first.device)
    torch._foreach_copy_(batch.unbind(), updates)
    batch = batch.mT if tall else batch
    batch = batch / torch.linalg.vector_norm(batch, dim=(-2, -1), keepdim=True).clamp_(min=eps)
    for _ in range(iterations):
        gram = batch @ batch.mT
        batch = torch.baddbmm(batch, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), batch, beta=a)
    batch = batch.mT if tall else batch
    return batch.to(first.dtype).unbind()


def _shape_factor(shape: torch.Size, adjust_lr_fn: str | None) -> float:
    rows, columns = shape
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / max(1, columns)))
