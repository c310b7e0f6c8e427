"""L-BFGS on flat vectors of all parameters, which torch._foreach_* ops gather from and scatter to.

Paper: Dong Liu, Jorge Nocedal, "On the limited memory BFGS method for large scale optimization", 1989,
https://doi.org/10.1007/BF01589116, section 2, by the two-loop recursion of Jorge Nocedal, "Updating Quasi-Newton
Matrices with Limited Storage", 1980, https://doi.org/10.1090/S0025-5718-1980-0572855-7.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..common.lbfgs import LBFGSBase
from .flat import add_, copy_, gather, largest, split
from .line_search import Point, strong_wolfe

# what a step leaves for the next, in torch's order
KEPT = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(LBFGSBase):
    """L-BFGS, each vector operation over all parameters at once.

        y = g - previous g,  s = t*d,  ro = 1/(y's)         (the last history_size of them are kept, where y's > 1e-10)
        q = -g;  newest to oldest: al = ro*s'q,  q = q - al*y
        d = q*(y's)/(y'y);  oldest to newest: d = d + (al - ro*y'd)*s
        p = p + t*d

    where t is lr (times min(1, 1/sum(|g|)) in the very first iteration), or comes from a line search that starts there.

    Args:
        params: real or complex parameters on one device, in one group.
        lr: learning rate; a 1-element tensor is read at each step.
        max_iter: most iterations a step.
        max_eval: iterations end after this many evaluations of the closure (None: max_iter*1.25).
        tolerance_grad: end where no element of the gradient is larger.
        tolerance_change: end where neither parameters, nor loss, nor the loss to first order change by more.
        history_size: number of pairs (y, s) to keep.
        line_search_fn: "strong_wolfe" or None.

    Raises:
        ValueError: for a learning rate out of range, with its value, and for more than one parameter group.
        RuntimeError: at a step, for another line_search_fn.

    Example:
        >>> optimizer = LBFGS(model.parameters(), line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = criterion(model(inputs), targets)
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure)

    Source: section 2 of https://doi.org/10.1007/BF01589116, arguments of torch.optim.LBFGS.
    """

    def _minimize(self, closure: Callable[[], Any], group: dict[str, Any], state: dict[str, Any]) -> Any:
        lr, tolerance_change = group["lr"], group["tolerance_change"]
        if isinstance(lr, Tensor):
            # a tensor, as in torch, but with all digits, or a line search's step sizes had those of its dtype; a copy,
            # because the last one stays in the state
            lr = lr.squeeze().clone().double()
        first_loss = closure()
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        grad = gather(self._params)
        if not grad.numel() or largest(grad) <= group["tolerance_grad"]:
            return first_loss
        kept = {name: state.get(name) for name in KEPT}
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(grad, kept, state, group["history_size"])
            # step length: along the bare gradient, nothing else says how far
            t = min(1.0, 1.0 / grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            start = Point(0, loss, grad, grad.dot(direction))
            kept |= {"d": direction, "t": t, "prev_flat_grad": grad, "prev_loss": loss}
            if start.slope > -tolerance_change:
                break
            length = largest(direction)
            budget = group["max_eval"] - evaluations
            last = iteration == group["max_iter"]
            point, count = self._advance(closure, start, direction, t, length, budget, last=last)
            kept["t"], loss, grad, _ = point
            evaluations += count
            state["func_evals"] += count
            if last or evaluations >= group["max_eval"] or largest(grad) <= group["tolerance_grad"]:
                break
            if length * abs(point.t) <= tolerance_change or abs(loss - start.loss) < tolerance_change:
                break
        state.update(kept)
        return first_loss

    def _advance(
        self,
        closure: Callable[[], Any],
        start: Point,
        direction: Tensor,
        t: Any,
        length: Tensor,
        budget: int,
        *,
        last: bool,
    ) -> tuple[Point, int]:
        """Move the parameters; where they came to, and the number of evaluations that it took."""
        params, group = self._params, self.param_groups[0]
        pieces = split(direction, params)
        if group["line_search_fn"] is None:
            add_(params, pieces, t)
            if last:
                return start._replace(t=t), 0
            return Point(t, float(closure()), gather(params), start.slope), 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, or None, got {group['line_search_fn']!r}")
        origin = [param.clone() for param in params]

        def evaluate(t: Any) -> Point:
            add_(params, pieces, t)
            loss, grad = float(closure()), gather(params)
            # coming back by subtraction would round
            copy_(params, origin)
            return Point(t, loss, grad, grad.dot(direction))

        point, count = strong_wolfe(evaluate, start, t, length, max(0, budget))
        add_(params, pieces, point.t)
        return point, count


def _direction(grad: Tensor, kept: dict[str, Any], state: dict[str, Any], history_size: int) -> Tensor:
    """The approximate inverse Hessian times -grad, once the last step's pair has entered it."""
    if state["n_iter"] == 1:
        kept |= {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
        return grad.neg()
    changes, steps, ro = histories = kept["old_dirs"], kept["old_stps"], kept["ro"]
    change, step = grad - kept["prev_flat_grad"], kept["d"] * kept["t"]
    curvature = change.dot(step)
    # keeps the approximation positive definite
    if curvature > 1e-10:
        for history, value in zip(histories, (change, step, 1.0 / curvature), strict=True):
            history.append(value)
            del history[: max(0, len(history) - history_size)]
        kept["H_diag"] = curvature / change.dot(change)
    al = state.setdefault("al", [])
    al.extend([None] * (history_size - len(al)))
    # two-loop recursion
    direction = grad.neg()
    for i in reversed(range(len(ro))):
        al[i] = steps[i].dot(direction) * ro[i]
        direction.add_(changes[i], alpha=-al[i])
    direction.mul_(kept["H_diag"])
    for i in range(len(ro)):
        direction.add_(steps[i], alpha=al[i] - changes[i].dot(direction) * ro[i])
    return direction
