"""Muon: two launches of elementwise rules for all matrices, and between them products batched over matrices of a shape.

Keller Jordan: Muon: An optimizer for hidden layers in neural networks, 2024, https://kellerjordan.github.io/posts/muon/.
The other way to adjust the rate is that of Jingyuan Liu and others: Muon is Scalable for LLM Training, 2025,
https://arxiv.org/abs/2502.16982.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..common.muon import MuonBase
from .lang import Rule, constexpr, rule, where
from .launch import Row, launch
from .layout import STORAGE_DTYPES


@rule
def prepare_direction(step, momentum, NESTEROV: constexpr):
    """Scalars of one tensor, in float64."""
    one_minus_momentum = 1.0 - momentum
    unread = 0.0
    return one_minus_momentum, unread


@rule
def update_direction(param, grad, direction, one_minus_momentum, unread, NESTEROV: constexpr):
    """One element. What the launch updates here, and calls param, is the momentum buffer."""
    # momentum buffer
    # from the nearer end, so that a momentum of 0 leaves no rounding of the buffer
    param = where(
        one_minus_momentum < 0.5,
        param + one_minus_momentum * (grad - param),
        grad - (1.0 - one_minus_momentum) * (grad - param),
    )
    direction = param
    # Nesterov: look ahead along the buffer
    if NESTEROV:
        direction = param + one_minus_momentum * (grad - param)
    return param, direction


@rule
def prepare_step(step, lr, weight_decay, adjusted_lr):
    """Scalars of one tensor, in float64."""
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    keep = 1.0 - lr * weight_decay
    return keep, adjusted_lr


@rule
def update_step(param, grad, keep, adjusted_lr):
    """One element. The orthogonalized update is in the gradient's place."""
    # step
    param = keep * param - adjusted_lr * grad
    return param


DIRECTION = Rule(
    "muon_direction",
    prepare_direction,
    update_direction,
    state=("direction",),
    hyper=("momentum",),
    scalars=("one_minus_momentum", "unread"),
    flags=("NESTEROV",),
    read_if={"direction": "unread"},
    stores_step=False,
)
STEP = Rule(
    "muon_step",
    prepare_step,
    update_step,
    state=(),
    hyper=("lr", "weight_decay", "adjusted_lr"),
    scalars=("keep", "adjusted_lr"),
    flags=(),
    stores_step=False,
)


class _Matrix(NamedTuple):
    param: Tensor
    group: dict[str, Any]
    # param, grad and momentum buffer, in one piece of memory each, row by row
    arrays: tuple[Tensor, Tensor, Tensor]


class Muon(MuonBase):
    """Muon for matrices: two elementwise launches for all, products batched over matrices of one shape.

    b = b + (1 - momentum)*(g - b), u = b, or b + (1 - momentum)*(g - b) after Nesterov; u is orthogonalized by
    Newton-Schulz iterations in bfloat16; p = p - lr*weight_decay*p - lr*ratio*u, where ratio depends on the shape.

    Args: those of torch.optim.Muon.

    Raises:
        ValueError: for a hyperparameter out of range and for parameters that are no matrices.
        RuntimeError: for sparse gradients and complex parameters, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(4, 3, bias=False)
        >>> optimizer = Muon(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(4)).sum().backward()
        >>> optimizer.step()

    Source: Jordan, 2024, https://kellerjordan.github.io/posts/muon/, as in torch.optim.Muon. On a CPU the products are
        of float32 numbers that are rounded to bfloat16 after each, which is what bfloat16 products are, and faster.
    """

    _backends: tuple[str, ...] = ()

    @property
    def backend(self) -> str | None:
        """What ran the last step: "numba", "triton" or "triton-interpreter", joined by "+"; None before the first."""
        return "+".join(self._backends) or None

    def _update(self) -> None:
        matrices = [
            self._arrange(param, group)
            for group in self.param_groups
            for param in group["params"]
            if param.grad is not None
        ]
        by_shape: dict[tuple[Any, ...], list[_Matrix]] = {}
        for matrix in matrices:
            param, group = matrix.arrays[0], matrix.group
            if param.numel():
                options = _iterations(group)
                by_shape.setdefault((param.device, param.dtype, param.shape, options), []).append(matrix)
        batches = {
            key: members[0].arrays[0].new_empty((len(members), *members[0].param.shape))
            for key, members in by_shape.items()
        }
        rows = [
            Row((buffer, grad, direction), (float(group["momentum"]),), (int(bool(group["nesterov"])),))
            for key, members in by_shape.items()
            for (_, group, (_, grad, buffer)), direction in zip(members, batches[key], strict=True)
        ]
        self._backends = launch(DIRECTION, rows)
        for key, batch in batches.items():
            # orthogonalize by Newton-Schulz iterations
            batches[key] = orthogonalize(batch, *key[-1]).to(batch.dtype)
        rows = [
            Row((member.arrays[0], orthogonal), _step_hyper(member))
            for key, members in by_shape.items()
            for member, orthogonal in zip(members, batches[key], strict=True)
        ]
        launch(STEP, rows)
        for param, _, (array, _, buffer) in matrices:
            for target, source in ((param, array), (self.state[param]["momentum_buffer"], buffer)):
                if target is not source:
                    target.copy_(source)
        params = [matrix.param for matrix in matrices]
        torch.autograd.graph.increment_version([param for param in params if not param.is_inference()])

    def _arrange(self, param: Tensor, group: dict[str, Any]) -> _Matrix:
        grad = param.grad
        assert grad is not None
        if grad.layout != torch.strided:
            raise RuntimeError(self.sparse_refusal)
        state = self.state[param]
        if "momentum_buffer" not in state:
            state.update(self._init_state(param, group))
        if grad.dtype not in STORAGE_DTYPES:
            raise TypeError(f"the fused tier computes on floating point tensors, got {grad.dtype}")
        buffer = state["momentum_buffer"]
        dtype = torch.promote_types(torch.promote_types(param.dtype, grad.dtype), buffer.dtype)
        return _Matrix(param, group, (_plain(param, dtype), _plain(grad, dtype), _plain(buffer, dtype)))


def _iterations(group: dict[str, Any]) -> tuple[float, float, float, int, float]:
    """The coefficients, number and eps of a group's iterations; refused, as in torch, before anything has moved."""
    coefficients, steps = tuple(group["ns_coefficients"]), group["ns_steps"]
    if steps >= 100:
        raise ValueError(f"Number of steps must be less than 100 for computational efficiency, got {steps}")
    if len(coefficients) != 3:
        raise ValueError(f"Coefficients must be a tuple of exactly 3 values, got {coefficients}")
    return *coefficients, steps, group["eps"]


def orthogonalize(batch: Tensor, a: float, b: float, c: float, steps: int, eps: float) -> Tensor:
    """Matrices [batch, rows, cols] of about the same singular vectors and singular values near 1."""
    low = torch.bfloat16
    batch = batch.to(low)
    batch = batch.div_(torch.linalg.vector_norm(batch, dim=(1, 2), keepdim=True).clamp_(min=eps))
    tall = batch.shape[1] > batch.shape[2]
    # Products of bfloat16 are slow on most CPUs: there, float32 holds the rounded numbers.
    held = torch.float32 if batch.device.type == "cpu" else low
    matrix = batch.to(held)
    for _ in range(steps):
        # the smaller of the two Gram matrices, so that tall matrices need no transposition
        gram = _product(matrix.mT, matrix) if tall else _product(matrix, matrix.mT)
        gram = _round(gram)
        gram = _round(_product(gram, gram, gram, b, c))
        matrix = _round(_product(matrix, gram, matrix, a) if tall else _product(gram, matrix, matrix, a))
    return matrix


def _product(left: Tensor, right: Tensor, added: Tensor | None = None, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """alpha*left@right + beta*added of matrices [batch, ., .]; a single matrix is not taken for a batch."""
    if len(left) == 1:
        left, right = left[0], right[0]
        result = left @ right if added is None else torch.addmm(added[0], left, right, beta=beta, alpha=alpha)
        return result.unsqueeze(0)
    if added is None:
        return torch.bmm(left, right)
    return torch.baddbmm(added, left, right, beta=beta, alpha=alpha)


def _round(held: Tensor) -> Tensor:
    return held if held.dtype == torch.bfloat16 else held.copy_(held.to(torch.bfloat16))


def _step_hyper(matrix: _Matrix) -> tuple[float, float, float]:
    group, (rows, cols) = matrix.group, matrix.param.shape
    lr = float(group["lr"])
    # adjust the rate to the shape
    if group["adjust_lr_fn"] == "match_rms_adamw":
        ratio = 0.2 * math.sqrt(max(rows, cols))
    else:
        ratio = math.sqrt(max(1.0, rows / cols))
    return lr, float(group["weight_decay"]), lr * ratio


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in one piece of memory, row by row, in this dtype."""
    if tensor.dtype == dtype and tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return torch.empty(tensor.shape, dtype=dtype, device=tensor.device).copy_(tensor)
