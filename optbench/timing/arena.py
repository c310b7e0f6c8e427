"""The memory that all contestants of a workload step on: one set of parameters, gradients and state.

Where 64 MiB tensors happen to lie changes the time of one and the same code by a factor of two (address bits that
collide in the caches, huge pages or not). So contestants do not get memory of their own: every optimizer is built on
the same parameters, and after its first step its state entries are replaced by the shared ones. It also makes a run
small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.timing.workloads import MOVING, ROWS, Workload
from optbench.trials.problem import dtype_of, generator

# Steps after which parameters and state return to where they were, before anything can overflow or become denormal.
RESET_AFTER = 512
# Drawing 16M normal numbers takes as long as several steps; a pattern of this (odd) length repeats instead.
_PATTERN = (1 << 20) + 7
# One row in so many has a gradient, where gradients are sparse.
_TOUCHED = 16


class Arena:
    """Parameters, gradients and state of one workload.

    Args:
        workload: shapes and kind of gradient.
        dtype: storage dtype, "float32"; a user's parameters keep their own.
        device: a torch device.
        seed: seeds the values.
        given: a user's parameters, whose values, dtypes and strides are kept.
    """

    def __init__(
        self, workload: Workload, dtype: str, device: str, seed: int, given: Sequence[Tensor] | None = None
    ) -> None:
        self.moving = workload.gradients == MOVING
        if given is None:
            start = _draw(workload, dtype_of(dtype), device, seed, "param")
            draw = _draw_rows if workload.gradients == ROWS else _draw
            self.grads = draw(workload, dtype_of(dtype), device, seed, "grad")
        else:
            start = [tensor.detach().to(device, copy=True) for tensor in given]
            self.grads = [_draw_like(tensor, seed, i) for i, tensor in enumerate(start)]
        self.params = [tensor.requires_grad_() for tensor in start]
        # By name and parameter; None for parameters that have none of the name.
        self.state: dict[str, list[Any]] = {}
        # What the gradients of a backward pass are multiplied by.
        self.scale = 1.0
        self._old: list[Tensor | None] = []
        self._outputs: list[Tensor] = []
        self._kinds: list[tuple[torch.Size, torch.dtype, torch.device]] = []
        self._saved: list[tuple[Tensor, Tensor]] = []
        self._steps = 0
        self._attach()

    @property
    def elements(self) -> int:
        return sum(param.numel() for param in self.params)

    @property
    def bytes(self) -> int:
        """Bytes of the parameters alone."""
        return sum(param.nbytes for param in self.params)

    @property
    def dtype(self) -> torch.dtype:
        """Of most elements."""
        sizes: dict[torch.dtype, int] = {}
        for param in self.params:
            sizes[param.dtype] = sizes.get(param.dtype, 0) + param.numel()
        return max(sizes, key=lambda dtype: sizes[dtype])

    def renew(self) -> None:
        """Before a step on moving gradients: let autograd make new ones.

        A parameter times a constant, so that each backward pass allocates them anew; the previous ones are kept until
        then, so that no address repeats from one step to the next.
        """
        if not self.moving:
            return
        self._old = [param.grad for param in self.params]
        for param in self.params:
            param.grad = None
        # Outputs of one kind share a seed: making a thousand takes longer than the step.
        seeds = {
            (shape, dtype, device): torch.full((), self.scale, dtype=dtype, device=device).expand(shape)
            for shape, dtype, device in dict.fromkeys(self._kinds)
        }
        torch.autograd.backward(self._outputs, [seeds[kind] for kind in self._kinds], retain_graph=True)
        self._old.clear()

    def save(self) -> None:
        """Remember parameters and state, to return to."""
        kept = [*self.params, *(tensor for tensors in self.state.values() for tensor in tensors if tensor is not None)]
        self._saved = [(tensor.detach(), tensor.detach().clone()) for tensor in kept]

    def before_sample(self, steps: int) -> None:
        """Return to the remembered values when too many steps have been taken since."""
        self._steps += steps
        if not self._saved or self._steps <= RESET_AFTER:
            return
        self._steps = steps
        with torch.no_grad():
            torch._foreach_copy_([tensor for tensor, _ in self._saved], [copy for _, copy in self._saved])

    def close(self) -> None:
        """Let go of all memory."""
        for param in self.params:
            param.grad = None
        for held in (self._outputs, self._old, self._saved, self.state, self.grads, self.params):
            held.clear()

    def _attach(self) -> None:
        if self.moving:
            self._outputs = [param * grad for param, grad in zip(self.params, self.grads, strict=True)]
            self._kinds = [(output.shape, output.dtype, output.device) for output in self._outputs]
            return
        for param, grad in zip(self.params, self.grads, strict=True):
            param.grad = grad


def _draw(workload: Workload, dtype: torch.dtype, device: str, seed: int, what: str) -> list[Tensor]:
    """Tensors of the workload's shapes, each with memory of its own."""
    wide = torch.complex64 if dtype.is_complex else torch.float32
    count = min(workload.elements, _PATTERN)
    pattern = torch.randn(count, generator=generator(seed, what, workload.name), dtype=wide)
    pattern = pattern.to(device=device, dtype=dtype)
    tensors, offset = [], 0
    for shape in workload.shapes:
        tensor = torch.empty(shape, dtype=dtype, device=device)
        offset = _fill(tensor.view(-1), pattern, offset)
        tensors.append(tensor)
    return tensors


def _draw_rows(workload: Workload, dtype: torch.dtype, device: str, seed: int, what: str) -> list[Tensor]:
    """Sparse tensors of the workload's shapes, coalesced, each holding some rows."""
    rng = generator(seed, what, workload.name)
    tensors = []
    for rows, *rest in workload.shapes:
        chosen = torch.randperm(rows, generator=rng)[: -(-rows // _TOUCHED)].sort().values
        values = torch.randn(len(chosen), *rest, generator=rng).to(dtype)
        grad = torch.sparse_coo_tensor(chosen[None], values, (rows, *rest), is_coalesced=True, check_invariants=False)
        tensors.append(grad.to(device))
    return tensors


def _fill(flat: Tensor, pattern: Tensor, offset: int) -> int:
    """Fill from the pattern, going on where the tensor before ended."""
    done = 0
    while done < flat.numel():
        count = min(flat.numel() - done, pattern.numel() - offset)
        flat[done : done + count] = pattern[offset : offset + count]
        done += count
        offset = (offset + count) % pattern.numel()
    return offset


def _draw_like(tensor: Tensor, seed: int, label: int) -> Tensor:
    grad = torch.empty_like(tensor)
    wide = torch.complex64 if tensor.is_complex() else torch.float32
    return grad.copy_(torch.randn(tensor.shape, generator=generator(seed, "grad", label), dtype=wide))
