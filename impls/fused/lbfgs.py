"""L-BFGS: the host decides, and fused passes over flat vectors do what touches memory.

Jorge Nocedal: Updating Quasi-Newton Matrices with Limited Storage, 1980, https://doi.org/10.2307/2006193; the two-loop
recursion and the line search are algorithms 7.4, 3.5 and 3.6 of Jorge Nocedal, Stephen Wright: Numerical Optimization,
2006, https://doi.org/10.1007/978-0-387-40065-5, with the constants and bounds of torch.optim.LBFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..common.lbfgs import LBFGSBase
from .layout import STORAGE_DTYPES
from .vectors import History, backend_name, recur, remember
from .wolfe import Point, strong_wolfe


class LBFGS(LBFGSBase):
    """L-BFGS over all parameters as one vector, with an optional strong-Wolfe line search.

    d = -H*g by the two-loop recursion over the last `history_size` pairs s = t*d and y = g_new - g, with
    H = (y.s)/(y.y) of the newest pair to begin with; p = p + t*d. A pair is kept if y.s > 1e-10.

    Args: those of torch.optim.LBFGS.

    Raises:
        ValueError: for a learning rate out of range and for more than one parameter group.
        RuntimeError: for another line search than "strong_wolfe", and on a GPU without Triton.

    Example:
        >>> import torch
        >>> weight = torch.ones(2, requires_grad=True)
        >>> optimizer = LBFGS([weight], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (weight**2).sum()
        ...     loss.backward()
        ...     return loss
        >>> _ = optimizer.step(closure)

    Source: Nocedal, 1980, https://doi.org/10.2307/2006193. Sums are taken in float64. The recursion takes 2*history + 1
        passes, each of which reads three vectors and writes one, and the host waits for none of them.
    """

    _backend: str | None = None

    @property
    def backend(self) -> str | None:
        """What ran the last recursion: "numba", "triton" or "triton-interpreter"; None before the first."""
        return self._backend

    def _minimize(self, closure: Callable[[], Any], group: dict[str, Any], state: dict[str, Any]) -> Any:
        first_loss = closure()
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if not grad.numel() or _size(grad) <= group["tolerance_grad"]:
            return first_loss
        lr, iterations = float(group["lr"]), 0
        memory: dict[str, Any] = {name: state.get(name) for name in _MEMORY}
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            slope = self._find_direction(grad, group, state, memory)
            d = memory["d"]
            memory["prev_loss"] = loss
            t = min(1.0, 1.0 / float(grad.abs().sum())) * lr if state["n_iter"] == 1 else lr
            memory["t"] = _rate(t, lr, grad)
            # the move and what is remembered of it must be of the same length
            t = float(memory["t"])
            if slope > -group["tolerance_change"]:
                break
            spent = 0
            if group["line_search_fn"] is not None:
                limit = group["max_eval"] - evaluations
                point, spent = self._search(closure, Point(0.0, loss, grad, slope), t, d, group, limit)
                t, loss, grad = point.t, point.loss, point.grad
                self._move(d, t)
            else:
                self._move(d, t)
                if iterations != group["max_iter"]:
                    loss, grad, spent = float(closure()), self._flat_grad(), 1
            memory["t"] = _rate(t, lr, grad)
            evaluations += spent
            state["func_evals"] += spent
            if (
                iterations == group["max_iter"]
                or evaluations >= group["max_eval"]
                or _size(grad) <= group["tolerance_grad"]
                or _size(d) * abs(t) <= group["tolerance_change"]
                or abs(loss - memory["prev_loss"]) < group["tolerance_change"]
            ):
                break
        state.update(memory)
        return first_loss

    def _find_direction(
        self, grad: Tensor, group: dict[str, Any], state: dict[str, Any], memory: dict[str, Any]
    ) -> float:
        """Put the direction into the memory, which learns the last move; the slope along it."""
        if state["n_iter"] == 1:
            memory |= {"d": -grad, "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1, "prev_flat_grad": grad}
            return float(torch.dot(grad, memory["d"]))
        self._learn(grad, group["history_size"], memory)
        al = state.setdefault("al", [None] * group["history_size"])
        pairs = len(memory["old_dirs"])
        if not pairs:
            memory["d"] = -grad
            return float(torch.dot(grad, memory["d"]))
        multiples = list(grad.new_empty(pairs).unbind())
        al[:pairs] = multiples
        dirs, stps, ro = ([_like(grad, kept) for kept in memory[name]] for name in ("old_dirs", "old_stps", "ro"))
        h_diag = torch.as_tensor(memory["H_diag"], dtype=grad.dtype, device=grad.device)
        memory["d"], slope = recur(grad, History(dirs, stps, ro, multiples, h_diag))
        self._backend = backend_name(grad.device)
        return float(slope)

    def _learn(self, grad: Tensor, history_size: int, memory: dict[str, Any]) -> None:
        """Take the newest pair of changes into the memory, if the function is convex enough along it."""
        previous = memory["prev_flat_grad"] = _like(grad, memory["prev_flat_grad"])
        change, move, sums = remember(grad, previous, _like(grad, memory["d"]), float(memory["t"]))
        if not sums[0] > 1e-10:
            return
        pair = {"old_dirs": change, "old_stps": move, "ro": (1.0 / sums[0]).to(grad.dtype)}
        for name, value in pair.items():
            if len(memory[name]) == history_size:
                memory[name].pop(0)
            memory[name].append(value)
        memory["H_diag"] = (sums[0] / sums[1]).to(grad.dtype)

    def _search(
        self, closure: Callable[[], Any], start: Point, t: float, d: Tensor, group: dict[str, Any], limit: int
    ) -> tuple[Point, int]:
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, got {group['line_search_fn']!r}")
        params, lr = self._real_params(), float(group["lr"])
        saved = [param.clone() for param in params]

        def evaluate(t: float) -> Point:
            t = float(_rate(t, lr, d))
            self._move(d, t)
            loss, grad = float(closure()), self._flat_grad()
            torch._foreach_copy_(params, saved)
            return Point(t, loss, grad, float(torch.dot(grad, d)))

        return strong_wolfe(evaluate, start, t, _size(d), limit)

    def _real_params(self) -> list[Tensor]:
        """The parameters as they stand in memory, complex ones as pairs of real numbers."""
        plain = (param.conj() if param.is_conj() else param for param in self._params)
        plain = (torch._neg_view(param) if param.is_neg() else param for param in plain)
        return [torch.view_as_real(param) if param.is_complex() else param for param in plain]

    def _flat_grad(self) -> Tensor:
        """All gradients as one vector; zeros where there is none."""
        parts = []
        for param in self._params:
            grad = torch.zeros_like(param) if param.grad is None else param.grad
            grad = grad.to_dense() if grad.is_sparse else grad
            parts.append((torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad).reshape(-1))
        flat = torch.cat(parts)
        if flat.dtype not in STORAGE_DTYPES:
            raise TypeError(f"the fused tier computes on floating point and complex tensors, got {flat.dtype}")
        return flat

    def _move(self, d: Tensor, t: float) -> None:
        """p = p + t*d"""
        params = self._real_params()
        parts = d.split([param.numel() for param in params])
        moves = [part.view(param.shape) for part, param in zip(parts, params, strict=True)]
        for i, param in enumerate(self._params):
            if param.is_conj():
                # what stands in memory moves the other way in its imaginary part
                moves[i] = moves[i] * d.new_tensor([1.0, -1.0])
            if param.is_neg():
                moves[i] = -moves[i]
        torch._foreach_add_(params, moves, alpha=t)


# What is kept under the first parameter from step to step, in torch's order.
_MEMORY = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


def _size(vector: Tensor) -> float:
    """The largest magnitude, NaN where there is one."""
    return float(torch.linalg.vector_norm(vector, float("inf")))


def _rate(t: float, lr: float, grad: Tensor) -> float | Tensor:
    """A rate as it is kept: a computed one as a tensor, as in torch, and the group's own as a number.

    Nothing is lost when a checkpoint is loaded, where torch casts tensors to the parameter's dtype.
    """
    return t if t == lr else grad.new_tensor(t)


def _like(grad: Tensor, tensor: Tensor) -> Tensor:
    """The tensor where the gradient is, in its dtype and in one piece."""
    return tensor.to(grad.device, grad.dtype).contiguous()
