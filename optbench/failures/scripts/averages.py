"""What is special about scripts about averages: a model's tensors, and the number that comes out wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from optbench.failures.average_mistakes import AverageScene
from optbench.failures.scripts import literals
from optbench.failures.scripts.journal import Journal, Line
from optbench.failures.scripts.memory import Memory
from optbench.registry import Implementation
from optbench.trials.checker import Failure
from optbench.trials.weights import tensors

# Longer tensors are not written down.
_MANY = 48


class AverageJournal(Journal):
    """What a law does with models and averages of them."""

    def __init__(self, trial: Any) -> None:
        methods = (trial.own("update_parameters"), "state_dict", "load_state_dict")
        super().__init__({"model": (), "average": methods, "twin": methods}, _literal)
        self.trial = trial
        self._wrong = ""

    def mark(self) -> None:
        """Keep how far everything is, and what is wrong."""
        super().mark()
        failure = self.trial.checker.first
        self._wrong = self._place(failure.actual) if isinstance(failure.actual, Tensor) else ""

    def write(self, text: str, about: str) -> None:
        """Write down what was done to a tensor of a model."""
        self.lines.append(Line(text, about=about))

    def shape(self, model: nn.Module) -> None:
        """Write down the tensors of a model, as they lie."""
        name = self.name_of(model)
        for path, module in model.named_modules():
            if path:
                self.lines.append(Line(f"{name}.{path} = torch.nn.Module()"))
            for own, buffer in module.named_buffers(recurse=False):
                parent, whole = ".".join(filter(None, (name, path))), ".".join(filter(None, (path, own)))
                self.write(f"{parent}.register_buffer({own!r}, {_zeros(buffer)})", whole)
        for path, param in model.named_parameters():
            frozen = "" if param.requires_grad else ", requires_grad=False"
            self.write(f"{name}.{path} = torch.nn.Parameter({_zeros(param)}{frozen})", path)

    def put(self, where: str, tensor: Tensor, path: str, drawn: Callable[[], str]) -> None:
        """Write down what a tensor was given: its numbers, or how they were drawn."""
        values = literals.numbers(tensor.detach()) if tensor.numel() <= _MANY else drawn()
        self.write(f"{where}.{path}.detach().copy_({values})", path)

    def function(self, name: str, who: Implementation, given: tuple[Any, ...]) -> str:
        """The call that makes an averaging function."""
        return f"{self.imported(name, who)}({', '.join(map(repr, given))})"

    def average(self, who: Implementation, model: nn.Module, given: Mapping[str, Any]) -> str:
        """The call that makes an average."""
        if who.target:
            where, name = literals.imported(who.target)
            self.imports.add(f"from {where} import {name}")
        else:
            name = self.imported("AveragedModel", who)
        options = [f"{option}={self.text(value)}" for option, value in given.items()]
        if who.factory and not {"avg_fn", "multi_avg_fn"} & given.keys():
            # One of torch's paths has a form of its own where none is asked for.
            form = "multi_avg_fn" if who.path == "foreach" else "avg_fn"
            options.append(f"{form}={self.imported(f'get_swa_{form}', who)}()")
        return f"{name}({', '.join([self.text(model), *options])})"

    def imported(self, name: str, who: Implementation) -> str:
        """What stands under a name in an implementation's swa_utils."""
        if not who.ours:
            return f"torch.optim.swa_utils.{name}"
        self.imports.add(f"from {who.module}.swa_utils import {name}")
        return name

    def _place(self, tensor: Tensor) -> str:
        """Where a tensor is, by what has a name: in an average or a model, else in a state."""
        held: list[tuple[str, Tensor]] = []
        for name, made in self.objects():
            if isinstance(made, nn.Module):
                held = [*((f"{name}.{_attribute(path)}", each) for path, each in tensors(made).items()), *held]
            elif isinstance(made, dict):
                held += [(f"{name}[{path!r}]", each) for path, each in made.items() if isinstance(each, Tensor)]
            elif name.startswith(("average", "twin")):
                module = self.trial.own("module")
                held = [*((f"{name}.{module}.{path}", each) for path, each in tensors(self.trial.module(made)).items()),
                        *held]  # fmt: skip
        places = [where for where, each in held if each is tensor]
        places += [where for where, each in held if each.numel() and each.shape == tensor.shape
                   and each.data_ptr() == tensor.data_ptr()]  # fmt: skip
        return places[0] if places else ""

    def bodies(self, failure: Failure | None) -> Iterator[list[str]]:
        """Lines of plain torch: about one element, about the tensors that the fact names, about all."""
        if failure:
            yield from bodies(self.trial, failure)
        shown, said = failure.shown if failure else "refused is None", repr(failure.what if failure else "")
        if "refused" in shown:
            said = "repr(refused)"
        if failure and not shown and self._wrong and failure.index is not None:
            shown, said = _number(self._wrong, failure), 'f"got {got}, want {want}"'
        if not shown or not self.lines:
            return
        paths = list(dict.fromkeys(line.about for line in self.lines if line.about))
        named = [path for path in paths if re.search(rf"(?<!\w){re.escape(path)}(?!\w)", shown)] or paths[:1]
        for chosen in (named, paths):
            yield self.script(shown, said, lambda line, chosen=chosen: not line.about or line.about in chosen)  # type: ignore[misc]


def _number(place: str, failure: Failure) -> str:
    """The fact that a number is what it has to be."""
    if failure.want is None or not math.isfinite(failure.want) or not isinstance(failure.actual, Tensor):
        return ""
    number = f"torch.view_as_real({place}.detach())" if failure.actual.is_complex() else f"{place}.detach()"
    at = f"[{', '.join(map(str, failure.index or ()))}]" if failure.index else ""
    told = [f"want = {failure.want!r}", f"got = {number}{at}.item()"]
    if failure.allowed is None:
        return "\n".join([*told, "got == want"])
    why = f"# What the formula gives in float64; float rounding may move it by {failure.allowed:.1g}."
    return "\n".join([why, *told, f"abs(got - want) <= {failure.allowed:.3g}"])


def _attribute(path: str) -> str:
    """The path of a tensor as Python."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)


def _zeros(tensor: Tensor) -> str:
    """A tensor that lies as this one, as an expression."""
    memory = Memory.of(tensor)
    device = "" if tensor.device.type == "cpu" else f", device={str(tensor.device)!r}"
    if memory.plain:
        return f"torch.zeros({tuple(tensor.shape)}, dtype={tensor.dtype}{device})"
    return f"torch.zeros({memory.held.numel()}, dtype={tensor.dtype}{device}){literals.view(memory)}"


def _literal(value: Any, text: Callable[[Any], str]) -> str:
    return literals.option(value)


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
