"""opt.converges: optimizers optimize."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.converges",
    level="math",
    statement="reaches the known optimum of a quadratic, of Rosenbrock's valley, and of a network that has a teacher",
    catches="what no single step shows: state that drifts, steps that never end, a direction that turns",
    host=True,
)

_STEPS = {"quadratic": 100, "rosenbrock": 300, "network": 100}
# With a closure each step is several.
_FEWER = 10
# The part of the loss that may be left; its least value is 0.
_LEFT = {"quadratic": 0.03, "rosenbrock": 0.01, "network": 0.06}
_SAMPLES, _INPUTS, _HIDDEN = 32, 3, 8

Loss = Callable[[list[Any]], "Tensor"]


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for name, options in subject.tuned.items():
        for dtype in scope.some("float32", "float64") if scope.suite == "full" else scope.some("float32"):
            steps = _STEPS[name] // _FEWER if subject.closure else _STEPS[name]
            yield scope.case(subject, options, dtype, variant=name, steps=steps)


def check(trial: Trial) -> None:
    import torch

    # On the CPU, so that every device starts from the same numbers; the same for every seed, because how far so many
    # steps come depends on where they begin.
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Any:
        return torch.randn(shape, generator=rng).to(device=trial.case.device, dtype=trial.problem.dtype)

    starts, loss_of = _TASKS[trial.case.variant](draw)
    params = [start.requires_grad_() for start in starts]
    first = loss_of(params).item()
    _minimise(trial, params, loss_of)
    left, allowed = loss_of(params).item() / first, _LEFT[trial.case.variant]
    trial.checker.true(f"at most {allowed:.0%} of the loss is left after {trial.case.steps} steps", left <= allowed,
                       f"{left:.3%} of {first:.3g} is")  # fmt: skip


def _minimise(trial: Trial, params: list[Any], loss_of: Loss) -> None:
    optimizer = trial.build(params, trial.case.options)
    rates = [group.get("lr") for group in optimizer.param_groups]

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(params)
        loss.backward()  # type: ignore[no-untyped-call]
        for param in params if trial.subject.sparse else ():
            param.grad = param.grad.to_sparse(1)
        return loss

    for k in range(trial.case.steps):
        if trial.subject.closure:
            optimizer.step(closure)
            continue
        # The rate falls to zero, so that what steps by signs comes to rest.
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            if rate is not None:
                group["lr"] = rate * (1 - k / trial.case.steps)
        closure()
        optimizer.step()


def _quadratic(draw: Callable[..., Any]) -> tuple[list[Any], Loss]:
    import torch

    target, curvature = draw(6, 4), torch.exp(draw(6, 4) / 2)
    return [draw(6, 4)], lambda params: (curvature * (params[0] - target) ** 2).sum() / 2


def _rosenbrock(draw: Callable[..., Any]) -> tuple[list[Any], Loss]:
    start = draw(2, 1) * 0
    start[0] -= 0.5
    start[1] += 0.5

    def loss(params: list[Any]) -> Any:
        x, y = params[0]
        return ((1 - x) ** 2 + 10 * (y - x * x) ** 2).sum()

    return [start], loss


def _network(draw: Callable[..., Any]) -> tuple[list[Any], Loss]:
    """A student that starts near its teacher, whose answers it has to give."""
    inputs = draw(_SAMPLES, _INPUTS)
    teacher = [draw(_INPUTS, _HIDDEN), draw(1, _HIDDEN), draw(_HIDDEN, 1)]

    def answers(params: list[Any]) -> Any:
        weight, bias, head = params
        return (inputs @ weight + bias).tanh() @ head

    wanted = answers(teacher)
    return [values + draw(*values.shape) / 2 for values in teacher], lambda params: (
        (answers(params) - wanted) ** 2
    ).mean()


_TASKS: dict[str, Callable[[Callable[..., Any]], tuple[list[Any], Loss]]] = {
    "quadratic": _quadratic,
    "rosenbrock": _rosenbrock,
    "network": _network,
}
