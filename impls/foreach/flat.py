"""Parameters and gradients as one flat vector [n] of real numbers, as LBFGS wants them."""

from typing import Any

import torch
from torch import Tensor


def gather(params: list[Tensor]) -> Tensor:
    """A new flat vector [n] of all gradients, zero where there is none; complex ones as pairs of real numbers."""
    pieces = []
    for param in params:
        grad = torch.zeros_like(param) if param.grad is None else param.grad
        grad = grad.to_dense() if grad.is_sparse else grad
        pieces.append((torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad).reshape(-1))
    return torch.cat(pieces)


def split(flat: Tensor, params: list[Tensor]) -> list[Tensor]:
    """The pieces of a flat vector as tensors to add to the parameters, or to their real views."""
    pieces = []
    sizes = [param.numel() * (2 if param.is_complex() else 1) for param in params]
    for param, piece in zip(params, flat.split(sizes), strict=True):
        shaped = piece.view(*param.shape, 2) if param.is_complex() else piece.view(param.shape)
        # a lazy conjugate has no real view
        pieces.append(torch.complex(*shaped.unbind(-1)) if param.is_conj() else shaped)
    return pieces


def add_(params: list[Tensor], pieces: list[Tensor], t: Any) -> None:
    """params + t*pieces, in place; t is a number or a 0-d tensor."""
    targets = [torch.view_as_real(param) if param.is_complex() and not param.is_conj() else param for param in params]
    if any(map(_is_lazy, params)):
        for target, piece in zip(targets, pieces, strict=True):
            target.add_(piece, alpha=t)
    else:
        torch._foreach_add_(targets, pieces, alpha=t)


def copy_(params: list[Tensor], values: list[Tensor]) -> None:
    """Write values of the parameters' shapes."""
    if any(map(_is_lazy, params)):
        for param, value in zip(params, values, strict=True):
            param.copy_(value)
    else:
        torch._foreach_copy_(params, values)


def largest(flat: Tensor) -> Tensor:
    """max(|flat|), without a temporary of its size; torch's infinity norm is ten times slower on a CPU."""
    least, most = torch.aminmax(flat)
    return torch.maximum(most, least.neg())


def _is_lazy(param: Tensor) -> bool:
    """Whether foreach ops refuse to write to it."""
    return param.is_conj() or param.is_neg()
