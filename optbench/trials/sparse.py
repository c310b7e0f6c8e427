"""Sparse gradients: some rows of a tensor, in the layouts that autograd and users make them in.

The oracle's are coalesced, with whole rows as values: what `torch.nn.Embedding(sparse=True)` gives, coalesced.
"""

from __future__ import annotations

import torch
from torch import Tensor


def some_rows(values: Tensor, rng: torch.Generator) -> Tensor:
    """About half of the rows, but one at least where there are any, as a coalesced sparse tensor.

    A tensor without dimensions has itself as its only row, under no index.
    """
    if not values.dim():
        return values.to_sparse(0).coalesce()
    chosen = torch.rand(len(values), generator=rng) < 0.5
    if len(values):
        chosen[int(torch.randint(len(values), (), generator=rng))] = True
    rows = chosen.nonzero().t()
    return torch.sparse_coo_tensor(rows, values[chosen], values.shape, is_coalesced=True, check_invariants=False)


def with_values(like: Tensor, values: Tensor, places: Tensor | None = None) -> Tensor:
    """A coalesced tensor with other values in the same places, or in others."""
    indices = like.indices() if places is None else places
    return torch.sparse_coo_tensor(indices, values, like.shape, is_coalesced=True, check_invariants=False)


def placed(grad: Tensor, layout: str) -> Tensor:
    """The same gradient as a case's layout has it: coalesced; with duplicates; expanded; an index for each element."""
    rows, values = grad.indices(), grad.values()
    if layout == "expanded_grad" and values.dim() > 1 and values.numel():
        return torch.sparse_coo_tensor(rows, values[..., :1].clone().expand(values.shape), grad.shape,
                                       check_invariants=False)  # fmt: skip
    if layout in ("grad_unlike", "grad_strided") and grad.dim():
        return grad.to_dense().sparse_mask(_every_element(rows, grad.shape))
    if layout in ("strided", "offset", "param_strided"):
        # Halves add up to the whole without rounding.
        order = torch.arange(2 * rows.shape[1], device=rows.device).flip(0)
        return torch.sparse_coo_tensor(
            torch.cat([rows, rows], 1)[:, order],
            torch.cat([values, values])[order] / 2,
            grad.shape,
            check_invariants=False,
        )
    return torch.sparse_coo_tensor(rows.clone(), values.clone(), grad.shape, is_coalesced=True, check_invariants=False)


def _every_element(rows: Tensor, shape: torch.Size) -> Tensor:
    """The pattern of all elements of these rows."""
    chosen = torch.zeros(shape, device=rows.device)
    chosen[rows[0]] = 1
    return chosen.to_sparse().coalesce()


def share_memory(one: object, other: object) -> bool:
    """Whether two tensors, dense or sparse, have elements in the same memory."""
    return bool(_memory(one) & _memory(other))


def _memory(value: object) -> set[int]:
    if not isinstance(value, Tensor) or not value.numel():
        return set()
    values = value if value.layout is torch.strided else value._values()
    return {values.untyped_storage().data_ptr()} if values.numel() else set()
