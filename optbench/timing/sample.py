"""Which elements of a large problem the oracle judges, and how they are read and written."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.trials.problem import generator

SAMPLE = 1 << 16
# Kernels work in blocks of these sizes; what is wrong at the last block's end is wrong there.
_BLOCKS = (8, 64, 1024, 4096, 65536)


class Sample:
    """A seeded choice of elements of some tensors: all of them where they are few.

    Otherwise the first and last elements of every tensor, both sides of the last full block of the usual block sizes,
    and random ones.

    Args:
        tensors: the tensors, of any layout; only their shapes count.
        limit: number of elements in all, roughly.
        seed: seeds the random ones.
    """

    def __init__(self, tensors: Sequence[Tensor], limit: int = SAMPLE, seed: int = 0) -> None:
        self.shapes = [tensor.shape for tensor in tensors]
        total = sum(tensor.numel() for tensor in tensors)
        self.indices: list[tuple[Tensor, ...] | None] = []
        for i, tensor in enumerate(tensors):
            count = tensor.numel()
            if total <= limit or count <= 2:
                self.indices.append(None)
                continue
            flat = _choose(count, max(2, limit * count // total), seed, i)
            self.indices.append(torch.unravel_index(flat, tensor.shape))
        self.whole = all(indices is None for indices in self.indices)

    def read(self, tensors: Sequence[Tensor]) -> Tensor:
        """The chosen elements, one after the other, in float64 (complex128) on the CPU."""
        chosen = [
            tensor.detach().reshape(-1) if indices is None else tensor.detach()[indices]
            for tensor, indices in zip(tensors, self.indices, strict=True)
        ]
        values = torch.cat(chosen)
        return values.to("cpu", torch.complex128 if values.is_complex() else torch.float64)

    def write(self, tensors: Sequence[Tensor], values: Tensor) -> None:
        """Overwrite the chosen elements in place."""
        counts = [
            shape.numel() if indices is None else len(indices[0])
            for shape, indices in zip(self.shapes, self.indices, strict=True)
        ]
        parts = values.to(tensors[0].device, tensors[0].dtype).split(counts)
        with torch.no_grad():
            if self.whole:
                shaped = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
                torch._foreach_copy_([tensor.detach() for tensor in tensors], shaped)
                return
            for tensor, indices, part in zip(tensors, self.indices, parts, strict=True):
                if indices is None:
                    tensor.copy_(part.view(tensor.shape))
                else:
                    tensor.index_put_(indices, part)


class Whole:
    """One tensor with all its elements, in its own shape; sparse gradients with the rows that they hold.

    For algorithms whose update of an element sees more than that element.
    """

    def read(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensor in float64 (complex128) on the CPU."""
        (tensor,) = tensors
        values = tensor.detach().to("cpu", torch.complex128 if tensor.is_complex() else torch.float64, copy=True)
        return values.coalesce() if values.is_sparse else values

    def write(self, tensors: Sequence[Tensor], values: Tensor) -> None:
        """Overwrite the tensor in place."""
        (tensor,) = tensors
        with torch.no_grad():
            if tensor.is_sparse:
                tensor._values().copy_(values._values())
            else:
                tensor.copy_(values)


def _choose(count: int, budget: int, seed: int, label: int) -> Tensor:
    edges = [0, 1, count - 2, count - 1]
    for block in _BLOCKS:
        tail = count - count % block
        edges += [block - 1, block, tail - 1, tail]
    known = torch.tensor(sorted({edge for edge in edges if 0 <= edge < count}))[:budget]
    rest = torch.randint(0, count, (max(0, budget - len(known)),), generator=generator(seed, "sample", label))
    # Twice the same element would be written twice, which index_put_ leaves undefined.
    return torch.cat([known, rest]).unique()
