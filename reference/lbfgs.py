"""L-BFGS: a quasi-Newton method, whose curvature is told by the last few steps and changes of the gradient.

Papers: Dong C. Liu and Jorge Nocedal, "On the limited memory BFGS method for large scale optimization", 1989,
https://doi.org/10.1007/BF01589116, Algorithm 2.1. In the form followed here: Jorge Nocedal and Stephen J. Wright,
"Numerical Optimization", second edition, 2006, https://doi.org/10.1007/978-0-387-40065-5, Algorithms 7.4 and 7.5; for
the strong Wolfe line search Algorithms 3.5 and 3.6 with equation 3.59.

Update rule of x, all parameters in one vector, with loss f and gradient g, until a stopping rule holds:

    d = -H*g, where H is given by the last history_size pairs of steps s and changes of the gradient y;
        at the very first iteration, d = -g
    t = lr, or with strong_wolfe a t that starts there and fulfils
        f(x + t*d) <= f(x) + 1e-4*t*g.d  and  |g(x + t*d).d| <= 0.9*|g.d|
    x = x + t*d, s = t*d, y = g(new x) - g(old x)

Where PyTorch departs from book and paper:
- One call of `step` is up to max_iter iterations and max_eval evaluations. The pairs stay for the next call, whose
  closure may compute another loss.
- Without line_search_fn there is no line search: t is lr, and nothing ensures descent.
- The very first t is min(1, 1/|g|_1)*lr, the later ones begin at lr instead of 1.
- A pair is left out unless y.s > 1e-10. The book ensures y.s > 0 by the line search.
- The bracket grows to the cubic's minimum within [t + 0.01*(t - previous t), 10*t]: the book leaves that open.
- That the loss rose since the last trial ends the growth from the third trial on, in the book from the second.
- In the bracket, a minimum within a tenth of an end is moved a tenth inwards if it lies outside, or if the one before
  was as close. The search ends when max|d| times the bracket's length is below 1e-9, whatever tolerance_change is.
- Where both trials are at the same place, as with a rate of 0, so is the next: PyTorch divides by their distance.
- A complex parameter is a pair of real ones; a parameter without a gradient has a gradient of zero.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, view_as_real
from ._checks import check_tensor

ARMIJO, CURVATURE = 1e-4, 0.9
SHORTEST_BRACKET = 1e-9
LEAST_CURVATURE = 1e-10


class Trial(NamedTuple):
    """A place on the line x + t*d: its loss, its gradient [n], and the slope gradient.d there."""

    t: Any
    loss: float
    grad: Tensor
    slope: Tensor


def direction(grad: Tensor, changes: list[Tensor], steps: list[Tensor], ro: list[Any], scale: Any) -> Any:
    """(-H*g [n], the list of a) by the two-loop recursion over the pairs y, s with ro = 1/(y.s), the oldest first."""
    #   q = -g;  from the newest pair to the oldest: a = ro * s.q, q = q - a*y
    q, al = grad.neg(), list[Any]()
    for y, s, inverse in zip(changes[::-1], steps[::-1], ro[::-1], strict=True):
        al.insert(0, s.dot(q) * inverse)
        q.add_(y, alpha=-al[0])
    #   d = scale*q;  from the oldest pair to the newest: b = ro * y.d, d = d + (a - b)*s
    d = torch.mul(q, scale)
    for y, s, inverse, a in zip(changes, steps, ro, al, strict=True):
        d.add_(s, alpha=a - y.dot(d) * inverse)
    return d, al


def remember(state: dict[str, Any], change: Tensor, step: Tensor, history_size: int) -> None:
    """Keep a pair if the curvature along it is positive, and forget those that history_size leaves no place for."""
    curvature = change.dot(step)
    if not curvature > LEAST_CURVATURE:
        return
    for name, value in (("old_dirs", change), ("old_stps", step), ("ro", 1.0 / curvature)):
        state[name].append(value)
        del state[name][: max(0, len(state[name]) - history_size)]
    #   scale of H before its pairs = y.s / y.y
    state["H_diag"] = curvature / change.dot(change)


def strong_wolfe(
    evaluate: Callable[[Any], Trial], start: Trial, t: Any, largest: Tensor, most: int
) -> tuple[Trial, int]:
    """A trial that fulfils both conditions, or the best after `most` more than one; and how many were made."""
    previous, trial, done = start, evaluate(t), False
    for number in range(most):
        if too_high(trial, start) or (number > 1 and trial.loss >= previous.loss):
            bracket = [previous, trial]
            break
        if done := flat(trial, start):
            bracket = [trial]
            break
        if trial.slope >= 0:
            bracket = [previous, trial]
            break
        bounds = trial.t + 0.01 * (trial.t - previous.t), trial.t * 10
        previous, trial = trial, evaluate(cubic_minimum(previous, trial, *bounds))
    else:
        bracket, number = [start, trial], most
    low, close = lower(bracket), False
    while not done and number < most and not abs(bracket[1].t - bracket[0].t) * largest < SHORTEST_BRACKET:
        t, close = inwards(cubic_minimum(bracket[0], bracket[1], *edges(bracket)), bracket, close)
        trial, number = evaluate(t), number + 1
        if too_high(trial, start) or trial.loss >= bracket[low].loss:
            bracket[1 - low] = trial
            low = lower(bracket)
            continue
        done = flat(trial, start)
        # The trial is the new low end; the minimum lies between it and the end that it slopes down to.
        if trial.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = trial
    return bracket[low], number + 1


def too_high(trial: Trial, start: Trial) -> bool:
    """Whether the loss has not fallen enough: f(t) > f(0) + c1*t*f'(0)."""
    return bool(trial.loss > start.loss + ARMIJO * trial.t * start.slope)


def flat(trial: Trial, start: Trial) -> bool:
    """Whether the slope has fallen enough: |f'(t)| <= -c2*f'(0)."""
    return bool(abs(trial.slope) <= -CURVATURE * start.slope)


def lower(bracket: list[Trial]) -> int:
    """Which end has the lower loss; at equal losses, the first. A bracket may have shrunk to one trial."""
    return int(len(bracket) > 1 and not bracket[0].loss <= bracket[1].loss)


def edges(bracket: list[Trial]) -> tuple[Any, Any]:
    """The bracket's ends from left to right."""
    return min(trial.t for trial in bracket), max(trial.t for trial in bracket)


def cubic_minimum(first: Trial, second: Trial, least: Any, most: Any) -> Any:
    """Where in [least, most] the cubic through two trials and their slopes is least; without a minimum, the middle."""
    if first.t == second.t:
        return least
    left, right = (first, second) if first.t <= second.t else (second, first)
    #   d1 = f'(l) + f'(r) - 3*(f(l) - f(r))/(l - r),  d2 = sqrt(d1*d1 - f'(l)*f'(r))
    d1 = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.t - right.t)
    square = d1**2 - left.slope * right.slope
    if not square >= 0:
        return (least + most) / 2.0
    d2 = square.sqrt()
    #   t = r - (r - l) * (f'(r) + d2 - d1)/(f'(r) - f'(l) + 2*d2)
    t = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2))
    return min(max(t, least), most)


def inwards(t: Any, bracket: list[Trial], close: bool) -> tuple[Any, bool]:
    """t, off the bracket's ends if it is outside or close to one a second time; and whether it is close to one."""
    left, right = edges(bracket)
    margin = 0.1 * (right - left)
    if not min(right - t, t - left) < margin:
        return t, False
    if close or t >= right or t <= left:
        return (right - margin if abs(t - right) < abs(t - left) else left + margin), False
    return t, True


class LBFGS(ReferenceOptimizer):
    """L-BFGS, drop-in for torch.optim.LBFGS. The update rule and its source stand at the top of this module.

    Args: as torch.optim.LBFGS. lr >= 0 has no unit and may be a 1-element tensor; tolerance_grad is in units of the
        gradient, tolerance_change in those of the parameter and of the loss; max_eval is max_iter*5//4 unless given.
    State, all of it under the first parameter, with n the number of real elements: func_evals, n_iter; d [n], t;
        old_dirs (y) and old_stps (s), lists of [n]; ro and al, lists of numbers; H_diag; prev_flat_grad [n]; prev_loss.
    Raises: ValueError for an illegal option or more than one group.
    Example: `LBFGS(model.parameters(), line_search_fn="strong_wolfe").step(closure)`
    """

    _common_options: ClassVar = {}
    _scalar_entries: ClassVar = ()

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if history_size < 1:
            raise ValueError(f"history_size has to be at least 1: {history_size}")
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"only 'strong_wolfe' is supported as line_search_fn, not {line_search_fn!r}")
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        })  # fmt: skip

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the only group."""
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            self.param_groups.pop()
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups): it takes one group")

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate until a stopping rule holds, and return the first loss, as the closure gave it.

        Args:
            closure: clears the gradients, computes the loss with gradients enabled, and returns it.

        Raises:
            AssertionError: a group was added.
            RuntimeError: line_search_fn is neither None nor "strong_wolfe".
        """
        if len(self.param_groups) != 1:
            raise AssertionError(f"Expected exactly one param_group, but got {len(self.param_groups)}")
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported, not {group['line_search_fn']!r}")
        closure = torch.enable_grad()(closure)
        if not group["params"]:
            # The state is kept under the first one.
            return closure()
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with torch.no_grad():
            first_loss = closure()
            state["func_evals"] += 1
            grad = self._flat_gradient()
            if grad.numel() > 0 and not grad.abs().max() <= group["tolerance_grad"]:
                self._iterate(closure, group, state, float(first_loss), grad)
        return first_loss

    def _iterate(
        self, closure: Callable[[], Any], group: dict[str, Any], state: dict[str, Any], loss: float, grad: Tensor
    ) -> None:
        evaluations, tolerance = 1, group["tolerance_change"]
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._aim(group, state, loss, grad)
            d, slope = state["d"], grad.dot(state["d"])
            if slope > -tolerance:
                break
            made = 0
            if group["line_search_fn"] is None:
                self._move(state["t"], d)
                # The last iteration of a call leaves it to the next call to see where it has led.
                if iteration < group["max_iter"]:
                    loss, grad, made = float(closure()), self._flat_gradient(), 1
            else:
                evaluate, most = self._line(closure, d), max(0, group["max_eval"] - evaluations)
                trial, made = strong_wolfe(evaluate, Trial(0, loss, grad, slope), state["t"], d.abs().max(), most)
                state["t"], loss, grad = trial.t, trial.loss, trial.grad
                self._move(trial.t, d)
            evaluations += made
            state["func_evals"] += made
            if (
                evaluations >= group["max_eval"]
                or grad.abs().max() <= group["tolerance_grad"]
                or d.mul(state["t"]).abs().max() <= tolerance
                or abs(loss - state["prev_loss"]) < tolerance
            ):
                break

    def _aim(self, group: dict[str, Any], state: dict[str, Any], loss: float, grad: Tensor) -> None:
        """Write the direction and the first length to try."""
        lr, history_size = group["lr"], group["history_size"]
        lr = float(lr.item()) if isinstance(lr, Tensor) else lr
        if state["n_iter"] == 1:
            #   d = -g, t = min(1, 1/|g|_1) * lr
            t: Any = min(1.0, 1.0 / grad.abs().sum())
            state.update(d=grad.neg(), t=t * lr, old_dirs=[], old_stps=[], ro=[], H_diag=1)
        else:
            #   s = t*d, y = g - previous g
            remember(state, grad - state["prev_flat_grad"], state["d"] * state["t"], history_size)
            pairs = state["old_dirs"], state["old_stps"], state["ro"]
            state["d"], al = direction(grad, *pairs, state["H_diag"])
            state["t"], state["al"] = lr, al + [None] * (history_size - len(al))
        state["prev_flat_grad"], state["prev_loss"] = grad, loss

    def _flat_gradient(self) -> Tensor:
        """The gradients of all parameters in one new vector [n]."""
        grads = [torch.zeros_like(param) if param.grad is None else param.grad for param in self._params()]
        dense = [grad.to_dense() if grad.is_sparse else grad for grad in grads]
        return torch.cat([view_as_real(grad).reshape(-1) for grad in dense])

    def _move(self, t: Any, d: Tensor) -> None:
        """x = x + t*d"""
        start = 0
        for param in self._params():
            real = view_as_real(param)
            real.add_(d[start : start + real.numel()].view_as(real), alpha=t)
            start += real.numel()
            # Where resolving a conjugate bit made a copy, write it back.
            if param.is_conj():
                param.copy_(torch.view_as_complex(real))

    def _line(self, closure: Callable[[], Any], d: Tensor) -> Callable[[Any], Trial]:
        """What evaluates the closure at x + t*d and comes back to x, bit by bit."""
        values = [param.clone() for param in self._params()]

        def evaluate(t: Any) -> Trial:
            self._move(t, d)
            loss, grad = float(closure()), self._flat_gradient()
            for param, value in zip(self._params(), values, strict=True):
                param.copy_(value)
            return Trial(t, loss, grad, grad.dot(d))

        return evaluate

    def _params(self) -> Iterator[Tensor]:
        return iter(self.param_groups[0]["params"])
