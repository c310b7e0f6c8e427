"""opt.errors: what is illegal is refused, by the right type, by name, and at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from optbench.case import Case, format_value
from optbench.law import Law, Scope
from optbench.subjects import Illegal, Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.errors",
    level="torch",
    statement="every illegal argument raises torch's exception type and names the value, and leaves nothing half-built",
    catches="illegal hyperparameters that are accepted or fail later with another message",
    host=True,
    formula=False,
)


_NO_CLOSURE = "a step without a closure"
_APPENDED = "a step of a group that was appended"
_DIFFERENTIABLE_GROUP = "a differentiable group without autograd"
# What a step refuses that the constructor lets pass, as in torch: the options, the error, and what it names.
_STEPPING: dict[str, dict[str, tuple[dict[str, Any], type[Exception], str]]] = {
    "lbfgs": {"an unknown line search": ({"line_search_fn": "golden"}, RuntimeError, "strong_wolfe")},
    "muon": {
        "too many iterations": ({"ns_steps": 100}, ValueError, "100"),
        "two coefficients": ({"ns_coefficients": (3.4, -4.7)}, ValueError, "oefficients"),
    },
}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for number, illegal in enumerate(subject.illegal):
        text = ",".join(f"{name}={format_value(value)}" for name, value in illegal.options.items())
        yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=f"illegal-{number}:{text}")
    for number, edge in enumerate(subject.edges):
        text = ",".join(f"{name}={format_value(value)}" for name, value in edge.items())
        yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=f"edge-{number}:{text}")
    for variant in (name for name, concerns in _PARAMETERS.items() if concerns(subject)):
        yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=variant)
    for variant in _TOGETHER if subject.name in _ADAMS else ():
        yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=variant)
    stepping = (*_STEPPING.get(subject.name, ()), *((_NO_CLOSURE, _APPENDED) if subject.closure else ()))
    more = (_DIFFERENTIABLE_GROUP,) if subject.differentiable else ()
    for variant in (*_CONSTRUCTING, *_LOADING, *stepping, *more):
        yield scope.case(subject, subject.fullest, scope.dtypes[0], shapes="pair", variant=variant)
    for variant, (concerns, _) in _ADDING.items():
        if concerns(subject):
            yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=variant)


def check(trial: Trial) -> None:
    variant = trial.case.variant
    run = trial.run()
    if variant in _TOGETHER:
        make, error, names = _TOGETHER[variant]
        trial.checker.raises(variant, error, lambda: trial.build(run.params, make()), names)
        _still_usable(trial, run)
    elif variant in _CONSTRUCTING:
        options, error, names = _CONSTRUCTING[variant](trial)
        trial.checker.raises(variant, error, lambda: trial.build(run.params, options), names)
        _still_usable(trial, run)
    elif variant in _LOADING:
        _loading(trial, run, _LOADING[variant])
    elif variant in _ADDING:
        _adding(trial, run, _ADDING[variant][1])
    elif variant == _NO_CLOSURE:
        trial.checker.raises(variant, TypeError, run.optimizer.step, "closure")
        _still_usable(trial, run)
    elif variant == _APPENDED:
        groups = run.optimizer.param_groups
        groups.append({**groups[0], "params": []})
        trial.checker.raises(variant, AssertionError, lambda: run.step(0), "param_group")
    elif variant == _DIFFERENTIABLE_GROUP:
        _differentiable_group(trial, run)
    elif variant in _STEPPING.get(trial.subject.name, ()):
        options, error, names = _STEPPING[trial.subject.name][variant]
        run.optimizer.param_groups[0].update(options)
        trial.checker.raises(variant, error, lambda: run.step(0), names)
    elif variant in _PARAMETERS:
        _no_parameter(trial, run, variant)
    elif variant.startswith("edge-"):
        _taken(trial, run, trial.subject.edges[int(variant.partition(":")[0].removeprefix("edge-"))])
    else:
        _illegal(trial, run, trial.subject.illegal[int(variant.partition(":")[0].removeprefix("illegal-"))])


def _illegal(trial: Trial, run: Run, illegal: Illegal) -> None:
    options = dict(illegal.options)
    told = ", ".join(f"{name}={value}" for name, value in options.items())
    trial.checker.raises(told, illegal.error, lambda: trial.build(run.params, options), illegal.names)
    _still_usable(trial, run)


def _taken(trial: Trial, run: Run, options: Mapping[str, Any]) -> None:
    """What is just legal is taken, and steps with it go through, from a state that one of them made too."""

    def take() -> None:
        run.optimizer = trial.build(run.params, options)
        for k in range(2):
            run.step(k)

    trial.checker.passes("what is just legal is taken", take)


def _no_parameter(trial: Trial, run: Run, variant: str) -> None:
    """The last parameter of the last group is one that the algorithm cannot have: the constructor or a step says so."""
    import torch

    from optbench.trials.base import Unsupported

    forms = {
        _COMPLEX: lambda like: torch.ones(like.shape, dtype=torch.complex64),
        _COMPLEX_FUSED: lambda like: torch.ones(like.shape, dtype=torch.complex64),
        _SPARSE: lambda like: torch.ones(like.shape).to_sparse(),
        _VECTOR: lambda like: torch.ones(like.numel()),
    }
    if variant == _COMPLEX_FUSED and trial.implementation.name == "reference":
        raise Unsupported("its flags foreach and fused select nothing")
    odd = forms[variant](run.params[-1]).to(trial.case.device).requires_grad_()
    runtime = variant == _COMPLEX_FUSED or (variant == _COMPLEX and not trial.subject.sparse)
    error = "RuntimeError" if runtime else "ValueError"
    names = {_COMPLEX: "complex", _COMPLEX_FUSED: "fused", _SPARSE: "parse", _VECTOR: "2D"}[variant]
    flags = {"fused": True} if variant == _COMPLEX_FUSED else {}

    def build() -> None:
        groups = [{"params": run.params[:1]}, {"params": [*run.params[1:], odd]}]
        run.optimizer = trial.build(groups, {**trial.case.options, **flags})
        run.give(0)
        odd.grad = torch.ones_like(odd)
        run.optimizer.step()

    if variant == _COMPLEX and runtime and not trial.implementation.target:
        # What has no gradient is not looked at.
        trial.advance(trial.build([*run.params, odd], trial.case.options))

    trial.checker.raises(variant, error, build, names)
    if error == "ValueError":
        _still_usable(trial, run)


_COMPLEX, _SPARSE, _VECTOR = "a complex parameter", "a sparse parameter", "a vector among matrices"
_COMPLEX_FUSED = "a complex parameter for fused=True"
# Parameters that not every algorithm takes: whose they are.
_PARAMETERS: dict[str, Callable[[Subject], bool]] = {
    _COMPLEX: lambda subject: not any(dtype.startswith("complex") for dtype in subject.dtypes),
    _COMPLEX_FUSED: lambda subject: subject.name in ("adagrad", "adam", "adamw", "lion", "sgd"),
    _SPARSE: lambda subject: subject.sparse,
    _VECTOR: lambda subject: subject.dimensions == 2,
}


def _unknown(trial: Trial) -> tuple[dict[str, Any], type[Exception], str]:
    from optbench.trials.base import Unsupported

    if trial.options is None and trial.implementation.target:
        raise Unsupported("it takes any option")
    return {"learning_rate": 0.5}, TypeError, "learning_rate"


def _derivative(trial: Trial) -> tuple[dict[str, Any], type[Exception], str]:
    from dataclasses import replace

    from optbench.trials.base import Unsupported

    refused = trial.implementation.refusal(replace(trial.case, variant="derivative by lr"))
    if not (trial.implementation.ours and trial.subject.differentiable and refused):
        raise Unsupported("autograd follows its steps, or it has no such flag, or refuses it in a step")
    return {"differentiable": True}, ValueError, "differentiable"


def _differentiable_group(trial: Trial, run: Run) -> None:
    """The last group alone asks for autograd, and a step refuses it before anything moves."""
    flag, error, names = _derivative(trial)
    groups = [{"params": run.params[:1]}, {"params": run.params[1:], **flag}]
    run.optimizer = trial.build(groups, trial.case.options)
    run.give(0)
    trial.checker.raises(trial.case.variant, error, run.optimizer.step, names)
    _still_usable(trial, run)


def _two_rates(trial: Trial) -> tuple[dict[str, Any], type[Exception], str]:
    import torch

    return {"lr": torch.tensor([0.25, 0.5])}, ValueError, "Tensor"


# Arguments that no algorithm takes.
_CONSTRUCTING: dict[str, Callable[[Trial], tuple[dict[str, Any], type[Exception], str]]] = {
    "an unknown option": _unknown,
    "two rates": _two_rates,
    "differentiable without autograd": _derivative,
}


def _tensors(count: int) -> tuple[Any, ...]:
    import torch

    return tuple(torch.full((1,), 0.5) for _ in range(count))


# Arguments that some algorithms do not take together: the options, the error, and what it names.
_TOGETHER: dict[str, tuple[Callable[[], dict[str, Any]], type[Exception], str]] = {
    "a tensor rate for foreach=True": (lambda: {"lr": _tensors(1)[0], "foreach": True}, ValueError, "foreach"),
    "tensor betas for foreach=True": (lambda: {"betas": _tensors(2), "foreach": True}, ValueError, "foreach"),
}
_ADAMS = ("adam", "adamw")


def _more_groups(saved: dict[str, Any]) -> None:
    saved["param_groups"] = saved["param_groups"] * 2


def _longer_group(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["params"] = [*saved["param_groups"][0]["params"], 99]


# Checkpoints of other parameters.
_LOADING: dict[str, Callable[[dict[str, Any]], None]] = {
    "loading more groups": _more_groups,
    "loading a longer group": _longer_group,
}


def _loading(trial: Trial, run: Run, spoil: Callable[[dict[str, Any]], None]) -> None:
    """A checkpoint that does not fit is refused, and the optimizer goes on as if nothing had been asked of it."""
    import copy

    twin = trial.run()
    for each in (run, twin):
        each.step(0)
    saved = copy.deepcopy(trial.run().optimizer.state_dict())
    spoil(saved)
    trial.checker.raises(trial.case.variant, ValueError, lambda: run.optimizer.load_state_dict(saved), "group")
    trial.checker.alike("after the refusal", run.held(), twin.held())
    for each in (run, twin):
        each.step(1)
    trial.checker.alike("a step after the refusal", run.held(), twin.held())


# Groups that some algorithms cannot have: whom it is about, and the shape of their parameter.
_ADDING: dict[str, tuple[Callable[[Subject], bool], tuple[int, ...]]] = {
    "adding a second group": (lambda subject: subject.sees == "all", (3, 4)),
    "adding a vector": (lambda subject: subject.dimensions == 2, (3,)),
}


def _adding(trial: Trial, run: Run, shape: tuple[int, ...]) -> None:
    """A group that no step could take is refused when it is added, and the optimizer goes on without it."""
    import torch

    groups, twin = list(run.optimizer.param_groups), trial.run()
    late = torch.zeros(shape, dtype=trial.problem.dtype, device=trial.case.device, requires_grad=True)
    trial.checker.raises(trial.case.variant, ValueError, lambda: run.optimizer.add_param_group({"params": [late]}))
    trial.checker.true("the groups after the refusal", run.optimizer.param_groups == groups,
                       shown=f"len(optimizer.param_groups) == {len(groups)}")  # fmt: skip
    for each in (run, twin):
        each.step(0)
    trial.checker.alike("a step after the refusal", run.held(), twin.held())


def _still_usable(trial: Trial, run: Run) -> None:
    """What was refused leaves the parameters as they were: they can go into a good optimizer."""
    for i, (param, values) in enumerate(zip(run.params, trial.problem.start, strict=True)):
        trial.checker.equal(f"parameter {i} after the refusal", param.detach().cpu(), values.to(param.dtype))
    run.optimizer = trial.build(run.params, trial.case.options)
    run.step(0)
