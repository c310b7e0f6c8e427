"""avg.pure: averaging a model leaves the model alone, and the average is nobody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optbench.trials.averagers import Trial

LAW = Law(
    id="avg.pure",
    level="math",
    statement="the model stays bitwise as it was, shares no memory with its average, and no update becomes a graph",
    catches="models written to, averages that alias them, gradients and flags lost, writes behind autograd's back",
    kind="averager",
    host=True,
)

_LIVELY = {"decay": 0.9, "use_buffers": True}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    # Foreign averagers may lack options.
    lively = {name: value for name, value in _LIVELY.items() if name in subject.defaults}
    forms = ("avg_fn", "multi_avg_fn") if "decay" in lively else ("avg_fn", "multi_avg_fn", "default")
    for dtype in scope.some("float32", "bfloat16", "complex64"):
        for layout, dropped in (("contiguous", "use_buffers"), ("transposed", ""), ("strided", "")):
            options = {name: value for name, value in lively.items() if name != dropped}
            yield scope.case(subject, options, dtype, layout=layout, steps=3)
    for form in forms:
        yield scope.case(subject, lively, scope.dtypes[0], variant=form, steps=3)


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.weights import tensors

    # A form is how our classes are told what to do; foreign ones have one way.
    form = "" if trial.implementation.target else trial.case.variant
    run = trial.run(arguments=trial.arguments(form) if form else None)
    checker, model = trial.checker, run.model
    for i, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, i + 1.0) if param.requires_grad else None
    model.get_submodule("tail").eval()
    averaged = run.averaged()
    kept = {name: (tensor, tensor.data_ptr()) for name, tensor in averaged.items()}
    _apart(trial, tensors(model), averaged)
    for k in range(trial.case.steps):
        run.put(k)
        before = _picture(model)
        versions = {name: tensor._version for name, tensor in averaged.items()}
        trial.update(run.averager, model)
        after = _picture(model)
        for name, (version, flags, values, grad, grad_values) in before.items():
            label = f"update {k + 1}, {name} of the model"
            checker.same(f"{label}: version, requires_grad, dtype, strides", after[name][:2], (version, flags))
            checker.equal(label, after[name][2], values)
            checker.true(f"{label} has the gradient it had", after[name][3] is grad)
            if grad is not None and grad_values is not None:
                checker.equal(f"{label}, gradient", grad, grad_values)
        checker.same("modules in training", [module.training for module in model.modules()], [True, False])
        for name, tensor in run.averaged().items():
            label = f"update {k + 1}, {name} of the average"
            same = tensor is kept[name][0] and tensor.data_ptr() == kept[name][1]
            checker.true(f"{label} is the tensor it was", same)
            checker.true(f"{label} is a leaf", tensor.grad_fn is None and tensor.grad is None)
            if tensor.numel():
                checker.true(f"{label}: its version has risen", tensor._version > versions[name])
    run.untouched()
    _apart(trial, tensors(model), averaged)


def _picture(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """Everything about the model's tensors that an update must leave alone."""
    from optbench.trials.weights import tensors

    found = {}
    for name, tensor in tensors(model).items():
        flags = (tensor.requires_grad, tensor.dtype, tensor.stride())
        grad = tensor.grad
        found[name] = (tensor._version, flags, tensor.detach().clone(), grad, None if grad is None else grad.clone())
    return found


def _apart(trial: Trial, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    memory = {tensor.untyped_storage().data_ptr() for tensor in ours.values() if tensor.numel()}
    shared = [name for name, tensor in theirs.items() if tensor.numel()
              and tensor.untyped_storage().data_ptr() in memory]  # fmt: skip
    trial.checker.true("the average has memory of its own", not shared, f"{shared} are the model's")
