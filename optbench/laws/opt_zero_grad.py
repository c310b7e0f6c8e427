"""opt.zero_grad: gradients are dropped, or set to zero where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.zero_grad",
    level="torch",
    statement="zero_grad drops every gradient, or sets it to zero where it lies, detached from its graph; nothing else",
    catches="a gradient that is missed, replaced or still holds its graph, zeros that are written beside a view",
    host=True,
    formula=False,
)

# torch zeroes gradients one by one or, with foreach or fused among the defaults, as lists of one dtype.
_PATHS = ("one by one", "as lists")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for path in _PATHS:
        for variant in _VARIANTS:
            yield scope.case(subject, {}, scope.some("float32")[0], shapes="pair", variant=f"{variant}, {path}")
        for dtype in scope.some("bfloat16", "complex64"):
            yield scope.case(subject, {}, dtype, shapes="pair", variant=f"to zero, {path}")
        for layout in ("transposed", "strided"):
            yield scope.case(subject, {}, scope.some("float32")[0], layout=layout, shapes="matrices",
                             variant=f"to zero, {path}")  # fmt: skip


def check(trial: Trial) -> None:
    variant, _, path = trial.case.variant.partition(", ")
    run = trial.run()
    run.step(0)
    run.give(1)
    run.optimizer.defaults["foreach"] = path == "as lists"
    before = run.held()
    optimizer = run.optimizer
    _VARIANTS[variant](trial, run)
    run.optimizer = optimizer
    trial.checker.alike("after zero_grad", run.held(), before)


def _to_none(trial: Trial, run: Run) -> None:
    """By default, and where it is asked for."""
    for arguments in ({}, {"set_to_none": True}):
        run.give(1)
        run.optimizer.zero_grad(**arguments)
        for i, param in enumerate(run.params):
            trial.checker.true(f"zero_grad({_told(arguments)}) drops the gradient of parameter {i}", param.grad is None,
                               shown=f"{trial.name(param)}.grad is None")  # fmt: skip


def _to_zero(trial: Trial, run: Run) -> None:
    _zeroed(trial, run, [param.grad for param in run.params])
    for i, placed in enumerate(run.grads):
        untouched = placed is None or placed.untouched()
        trial.checker.true(f"memory around the gradient of parameter {i} is untouched", untouched)


def _with_none(trial: Trial, run: Run) -> None:
    """What has no gradient has none afterwards."""
    run.params[0].grad = None
    _zeroed(trial, run, [param.grad for param in run.params])


def _with_graph(trial: Trial, run: Run) -> None:
    """Gradients of a backward that built a graph: what comes next must not reach back into it."""
    for param in run.params:
        loss = (param * param * param).abs().sum()
        param.grad = None
        loss.backward(create_graph=True)
    grads: list[Any] = [param.grad for param in run.params]
    for i, grad in enumerate(grads):
        trial.checker.true(f"the gradient of parameter {i} has a graph to begin with", grad.grad_fn is not None)
    _zeroed(trial, run, grads)


def _wants_gradient(trial: Trial, run: Run) -> None:
    """A gradient that is itself a leaf of another graph."""
    for param in run.params:
        assert param.grad is not None
        param.grad = param.grad.detach().clone().requires_grad_()
    _zeroed(trial, run, [param.grad for param in run.params])


def _shared(trial: Trial, run: Run) -> None:
    """One tensor as the gradient of two parameters of one shape."""
    twin = trial.run()
    foreach = run.optimizer.defaults["foreach"]
    run.optimizer = trial.build([*run.params, *twin.params], trial.case.options)
    run.optimizer.defaults["foreach"] = foreach
    for param, other in zip(run.params, twin.params, strict=True):
        other.grad = param.grad
    _zeroed(trial, run, [param.grad for param in run.params])
    for i, (param, other) in enumerate(zip(run.params, twin.params, strict=True)):
        trial.checker.true(f"parameter {i} still shares its gradient", param.grad is other.grad)


def _sparse(trial: Trial, run: Run) -> None:
    """A gradient of some rows is zero wherever it is looked at."""
    import torch

    for param in run.params:
        rows = torch.arange(len(param), device=param.device)[::2]
        values = torch.ones(len(rows), *param.shape[1:], dtype=param.dtype, device=param.device)
        param.grad = torch.sparse_coo_tensor(rows[None], values, param.shape, check_invariants=False)
    _zeroed(trial, run, [param.grad for param in run.params])


def _zeroed(trial: Trial, run: Run, grads: list[Any]) -> None:
    """Each gradient is the tensor it was, all zeros, and detached."""
    trial.known_as(grads, f"[param.grad for param in {trial.name(run.params)}]")
    run.optimizer.zero_grad(set_to_none=False)
    for i, (param, grad) in enumerate(zip(run.params, grads, strict=True)):
        its = f"{trial.name(param)}.grad"
        trial.checker.true(f"the gradient of parameter {i} is the object that it was", param.grad is grad,
                           shown=f"{its} is {trial.name(grads)}[{i}]")  # fmt: skip
        if grad is None:
            continue
        values = grad.to_dense() if grad.is_sparse else grad
        trial.checker.true(f"the gradient of parameter {i} is zero", not bool(values.detach().any()),
                           shown=f"not bool({its}.to_dense().any())")  # fmt: skip
        told = f"it has {type(grad.grad_fn).__name__}"
        trial.checker.true(f"the gradient of parameter {i} holds no graph", grad.grad_fn is None, told,
                           f"{its}.grad_fn is None")  # fmt: skip
        trial.checker.true(f"the gradient of parameter {i} needs no gradient", not grad.requires_grad,
                           shown=f"not {its}.requires_grad")  # fmt: skip


_VARIANTS: dict[str, Callable[[Trial, Run], None]] = {
    "to None": _to_none,
    "to zero": _to_zero,
    "some are None": _with_none,
    "with a graph": _with_graph,
    "itself a leaf": _wants_gradient,
    "shared": _shared,
    "some rows": _sparse,
}


def _told(arguments: dict[str, bool]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
