"""The body of a script about an average: the models that it was shown, and the number that comes out wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from optbench.failures import literals
from optbench.failures.average_mistakes import AverageScene
from optbench.trials.checker import Failure

# Longer tensors are not written down.
_MANY = 48


def bodies(trial: Any, failure: Failure) -> Iterator[list[str]]:
    """Lines of plain torch about the wrong element alone, and about all of its tensor; none if it is not the usual."""
    scene = next((scene for scene in trial.scenes if scene.tensor is failure.actual), None)
    if scene is None or failure.index is None or scene.begun > 1 or scene.average != trial.average:
        return
    place = failure.index[:-1] if scene.got.is_complex() else failure.index
    yield _body(trial, failure, scene, tuple(slice(at, at + 1) for at in place), (0,) * len(place))
    if scene.got.numel() <= _MANY:
        yield _body(trial, failure, scene, (), place)


def _body(trial: Any, failure: Failure, scene: AverageScene, part: Any, place: tuple[int, ...]) -> list[str]:
    imports, made = _made(trial)
    shown = scene.everything[(slice(None), *part)].to(scene.got.dtype)
    number = f"averager.{trial.own('module')}[0].detach()"
    if scene.got.is_complex():
        number, place = f"torch.view_as_real({number})", (*place, *(failure.index or ())[-1:])
    at = f"[{', '.join(map(str, place))}]" if place else ""
    return [
        "import torch",
        f"from {imports}",
        "",
        f"models = {literals.numbers(shown)}",
        f"model = torch.nn.ParameterList([{literals.numbers(scene.made_of[part].to(scene.got.dtype))}])",
        f"averager = {made}",
        "for values in models:",
        "    model[0].data.copy_(values)",
        f"    averager.{trial.own('update_parameters')}(model)",
        "",
        f"# What the formula gives in float64; float rounding may move it by {failure.allowed:.1g}.",
        f"want = {failure.want!r}",
        f"got = {number}{at}.item()",
        f'assert abs(got - want) <= {failure.allowed:.3g}, f"got {{got}}, want {{want}}"',
    ]


def _made(trial: Any) -> tuple[str, str]:
    """What has to be imported, and the call that makes the average."""
    options = dict(trial.case.options)
    if trial.implementation.target:
        where, name = literals.imported(trial.implementation.target)
        given = [f"{option}={literals.option(value)}" for option, value in options.items()]
        return f"{where} import {name}", f"{name}({', '.join(['model', *given])})"
    decay = literals.option(options.pop("decay")) if "decay" in options else ""
    given = [f"{option}={literals.option(value)}" for option, value in options.items()]
    names = ["AveragedModel"]
    for form in trial.arguments(trial.form):
        names.append(trial.function_name(form))
        given.append(f"{form}={names[-1]}({decay})")
    where = trial.implementation.module if trial.implementation.ours else "torch.optim"
    return f"{where}.swa_utils import {', '.join(names)}", f"AveragedModel({', '.join(['model', *given])})"
