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

# In scripts.
_OF_ALL = "{{name: {0} for name, tensor in (*{1}.named_parameters(), *{1}.named_buffers())}}"
_PICTURE = ("(tensor._version, (tensor.requires_grad, tensor.dtype, tensor.stride()), tensor.detach().clone(), "
            "tensor.grad, None if tensor.grad is None else tensor.grad.clone())")  # fmt: skip
_MODES = "[each.training for each in {0}.modules()] + [each.requires_grad for each in {0}.parameters()]"
_CALLED = "called with arguments"
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
    yield scope.case(subject, {}, scope.dtypes[0], variant=_CALLED)


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.weights import tensors

    if trial.case.variant == _CALLED:
        _called(trial)
        return
    # A form is how our classes are told what to do; foreign ones have one way.
    form = "" if trial.implementation.target else trial.case.variant
    run = trial.run(arguments=trial.arguments(form) if form else None)
    checker, model = trial.checker, run.model
    for i, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, i + 1.0) if param.requires_grad else None
        if param.requires_grad:
            trial.write(f"model.weight{i}.grad = torch.full_like(model.weight{i}, {i + 1.0})", f"weight{i}")
    trial.tell("model.tail.eval()", model.get_submodule("tail").eval)
    averaged, module = run.averaged(), f"average.{trial.own('module')}"
    kept = {name: (tensor, tensor.data_ptr()) for name, tensor in averaged.items()}
    trial.keep("kept", kept, _OF_ALL.format("(tensor, tensor.data_ptr())", module))
    modes = trial.keep("modes", _modes(trial.module(run.averager)), _MODES.format(module))
    _apart(trial, tensors(model), averaged)
    for k in range(trial.case.steps):
        run.put(k)
        before = trial.keep("before", _picture(model), _OF_ALL.format(_PICTURE, "model"))
        versions = {name: tensor._version for name, tensor in averaged.items()}
        trial.keep("versions", versions, _OF_ALL.format("tensor._version", module))
        trial.update(run.averager, model)
        after = _picture(model)
        for name, (version, flags, values, grad, grad_values) in before.items():
            label, was = f"update {k + 1}, {name} of the model", f"before[{name!r}]"
            checker.same(f"{label}: version, requires_grad, dtype, strides", after[name][:2], (version, flags),
                         shown=f"(lambda tensor: {_PICTURE})(model.{name})[:2] == {was}[:2]")  # fmt: skip
            checker.equal(label, after[name][2], values, shown=f"torch.equal(model.{name}, {was}[2])")
            checker.true(f"{label} has the gradient it had", after[name][3] is grad,
                         shown=f"model.{name}.grad is {was}[3]")  # fmt: skip
            if grad is not None and grad_values is not None:
                checker.equal(f"{label}, gradient", grad, grad_values, shown=f"torch.equal({was}[3], {was}[4])")
        checker.same("modules in training", [module.training for module in model.modules()], [True, False],
                     shown="[each.training for each in model.modules()] == [True, False]")  # fmt: skip
        checker.same(f"update {k + 1}, training modes and flags of the average",
                     _modes(trial.module(run.averager)), modes, shown=f"{_MODES.format(module)} == modes")  # fmt: skip
        for name, tensor in run.averaged().items():
            _written(trial, f"update {k + 1}, {name} of the average", name, tensor, kept[name], versions[name])
    run.untouched()
    _apart(trial, tensors(model), averaged)


def _called(trial: Trial) -> None:
    """An average computes what its module does, of whatever it is given."""
    from torch import nn

    class Taking(nn.Module):
        def forward(self, *args: Any, **options: Any) -> Any:
            return args, options

    trial.require_torchs("how an average is called")
    averager = trial.build(Taking())
    for args, options in (((1,), {}), ((1, 2), {}), ((1,), {"scale": 3}), ((), {"x": 1, "scale": 3})):
        trial.checker.same("what the module was given", averager(*args, **options), (args, options))


def _written(
    trial: Trial, label: str, name: str, tensor: Tensor, kept: tuple[Tensor, int], version: int
) -> None:  # fmt: skip
    """An update has written into the tensor of the average that was there."""
    checker, where = trial.checker, f"average.{trial.own('module')}.{name}"
    same = tensor is kept[0] and tensor.data_ptr() == kept[1]
    checker.true(f"{label} is the tensor it was", same, shown=f"{where} is kept[{name!r}][0] and "
                 f"{where}.data_ptr() == kept[{name!r}][1]")  # fmt: skip
    checker.true(f"{label} is a leaf", tensor.grad_fn is None and tensor.grad is None,
                 shown=f"{where}.grad_fn is None and {where}.grad is None")  # fmt: skip
    if tensor.numel():
        checker.true(f"{label}: its version has risen", tensor._version > version,
                     shown=f"{where}._version > versions[{name!r}]")  # fmt: skip


def _modes(module: nn.Module) -> list[bool]:
    """Which modules are in training, and which parameters need gradients."""
    return [each.training for each in module.modules()] + [each.requires_grad for each in module.parameters()]


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
    there = f"average.{trial.own('module')}.{shared[0]}" if shared else ""
    trial.checker.true("the average has memory of its own", not shared, f"{shared} are the model's",
                       f"{there}.untyped_storage().data_ptr() not in [each.untyped_storage().data_ptr() for each in "
                       "(*model.parameters(), *model.buffers())]")  # fmt: skip
