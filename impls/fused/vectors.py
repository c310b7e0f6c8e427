"""L-BFGS's passes over flat vectors: which there are, in which order, and what each reads and leaves.

In the two-loop recursion every dot product is of the vector that was just changed, so one pass changes the vector and
sums its product with the vector that comes next. The sums stay in memory, where the next pass finds its factor: the
host waits for none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backends import backend_for


class Pass(NamedTuple):
    """One pass: change the vector, then sum its products with `following`.

    Args:
        loop: 0 sets the vector to -grad; 1 takes a multiple of `added` off it; 2 adds one.
        added: what a multiple of is taken.
        following: the other factor of the sum.
        ro: 1/(y.s) of this pair, by which the sum of the pass before is multiplied.
        al: the first loop's multiple, which loop 1 writes and loop 2 reads.
        scale: by what the vector is multiplied last, None for 1.
    """

    loop: int
    added: Tensor | None
    following: Tensor
    ro: Tensor | None
    al: Tensor | None
    scale: Tensor | None


class History(NamedTuple):
    """What the recursion knows of the function: pairs of changes, oldest first. Scalars are 0-d tensors.

    Args:
        dirs: changes of the gradient, y.
        stps: moves of the parameters, s.
        ro: 1/(y.s) of each pair.
        al: the first loop's multiples, overwritten.
        h_diag: the initial inverse Hessian is this times the identity.
    """

    dirs: list[Tensor]
    stps: list[Tensor]
    ro: list[Tensor]
    al: list[Tensor]
    h_diag: Tensor

    def passes(self, grad: Tensor) -> Iterator[Pass]:
        """The recursion, pass by pass. The last pass sums the products with the gradient."""
        last = len(self.dirs) - 1
        yield Pass(0, None, self.stps[last], None, None, None)
        for index in range(last, -1, -1):
            following, scale = (self.stps[index - 1], None) if index else (self.dirs[0], self.h_diag)
            yield Pass(1, self.dirs[index], following, self.ro[index], self.al[index], scale)
        for index in range(last + 1):
            following = self.dirs[index + 1] if index < last else grad
            yield Pass(2, self.stps[index], following, self.ro[index], self.al[index], None)


def chunks_of(length: int, smallest: int, most: int) -> tuple[int, int]:
    """Elements of a chunk, and chunks, of a vector; the last chunk may be shorter.

    Args:
        smallest: fewest elements of a chunk, a multiple of 1024.
        most: chunks that a vector may have.
    """
    size = max(smallest, -(-length // (most * 1024)) * 1024)
    return size, max(-(-length // size), 1)


def remember(grad: Tensor, previous: Tensor, direction: Tensor, t: float) -> tuple[Tensor, Tensor, Tensor]:
    """The changes y = grad - previous and s = t*direction, and float64 [y.s, y.y]; `previous` becomes the gradient."""
    change, move = torch.empty_like(grad), torch.empty_like(grad)
    return change, move, _passes(grad).remember(grad, previous, direction, t, change, move)


def recur(grad: Tensor, history: History) -> tuple[Tensor, Tensor]:
    """The direction, -H*grad by the two-loop recursion, and its product with the gradient, 0-d float64."""
    result = torch.empty_like(grad)
    return result, _passes(grad).recur(grad, history, result)


def backend_name(device: torch.device) -> str:
    """What runs the passes on this device."""
    name: str = backend_for(device).NAME
    return name


def _passes(grad: Tensor) -> Any:
    return importlib.import_module(f"{backend_for(grad.device).__name__.removesuffix('_backend')}_vectors")
