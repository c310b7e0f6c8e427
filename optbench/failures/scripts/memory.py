"""A tensor as plain data: how it lies, what it holds, and how autograd sees it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Memory:
    """A tensor as it lies: the memory that it is a view of, its shape, strides and offset; or a sparse tensor.

    `leaf` is what makes a tensor that needs a gradient of one that needs none, as Python. `seed` is what its numbers
    were drawn by, where that is known.
    """

    held: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    leaf: str = ""
    seed: int | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> Memory:
        """A copy of a tensor with all that its memory holds."""
        plain = tensor.detach()
        leaf = ".requires_grad_()" * tensor.requires_grad + " * 1" * (not tensor.is_leaf)
        if plain.layout is not torch.strided:
            return cls(plain.clone(), tuple(plain.shape), (), 0, leaf)
        held = torch.empty(0, dtype=plain.dtype, device=plain.device).set_(plain.untyped_storage())  # type: ignore[call-overload]
        return cls(held.clone(), tuple(plain.shape), plain.stride(), int(plain.storage_offset()), leaf)

    @property
    def sparse(self) -> bool:
        return self.held.layout is not torch.strided

    @property
    def tensor(self) -> Tensor:
        """The tensor, made anew."""
        held = self.held.clone()
        return held if self.sparse else held.as_strided(self.shape, self.stride, self.offset)

    @property
    def plain(self) -> bool:
        """Whether the memory holds nothing but the elements in their order."""
        return not self.sparse and self.tensor.is_contiguous() and self.held.numel() == self.tensor.numel()

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for tensors that hold the same and lie alike."""
        held = self.held
        parts = [held._indices(), held._values()] if self.sparse else [held]
        content = tuple(str(part.tolist()) for part in parts)
        flag = self.sparse and held.is_coalesced()
        return (content, held.dtype, self.shape, self.stride, self.offset, flag, self.seed)
