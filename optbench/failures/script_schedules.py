"""The body of a script about a scheduler: what it was made of, the steps that were taken, the fact that fails."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from optbench.failures import literals
from optbench.foreign.loading import adapter_of
from optbench.subjects import load
from optbench.subjects._schedule import Each, Part, Plain
from optbench.trials.checker import Failure


def bodies(trial: Any, failure: Failure) -> Iterator[list[str]]:
    """Lines of plain torch; none where what was done is not the usual."""
    runs = [run for run in trial.runs if run.made]
    if not runs or not failure.shown:
        return
    run = runs[-1]
    lrs, part = run.made
    imports: list[str] = []
    made = _called(trial, part, imports, len(lrs))
    groups = ", ".join(f'{{"params": [torch.zeros(1, requires_grad=True)], "lr": {lr!r}}}' for lr in lrs)
    yield ["import torch", *sorted(set(imports)), "",
           f"optimizer = torch.optim.SGD([{groups}], lr=0.1, momentum=0.9)", f"scheduler = {made}",
           *_steps(run.did[: run.marked]), "",
           f'assert {failure.shown}, [group["lr"] for group in optimizer.param_groups]']  # fmt: skip


def _steps(did: list[str]) -> list[str]:
    """The steps, equal ones in a loop."""
    lines: list[str] = []
    for step, same in groupby(did):
        count = len(list(same))
        if count > 2:
            lines += [f"for _ in range({count}):", "    optimizer.step()", f"    {step}"]
        else:
            lines += ["optimizer.step()", step] * count
    return lines


def _called(trial: Any, part: Part, imports: list[str], groups: int) -> str:
    """The call that makes a scheduler, and what has to be imported for it."""
    implementation, subject = trial.implementation, load(part.subject)
    own = not implementation.target or part.subject == trial.subject.name
    name, options = subject.class_name, dict(part.options)
    if implementation.target and own:
        where, name = literals.imported(implementation.target)
        imports.append(f"from {where} import {name}")
        options = adapter_of(type(trial.runs[-1].scheduler)).arguments(options)
    elif implementation.ours:
        imports.append(f"from {implementation.module}.{subject.module} import {name}")
    else:
        name = f"torch.optim.lr_scheduler.{name}"
    texts = {option: _value(trial, value, imports, groups) for option, value in options.items()}
    first = [texts.pop("schedulers"), "optimizer"] if part.subject == "chainedscheduler" else ["optimizer"]
    return f"{name}({', '.join([*first, *(f'{option}={text}' for option, text in texts.items())])})"


def _value(trial: Any, value: Any, imports: list[str], groups: int) -> str:
    if isinstance(value, Part):
        return _called(trial, value, imports, groups)
    if isinstance(value, Each):
        chosen = [value.values[i % len(value.values)] for i in range(groups)]
        return f"[{', '.join(_value(trial, item, imports, groups) for item in chosen)}]"
    if isinstance(value, tuple):
        return f"[{', '.join(_value(trial, item, imports, groups) for item in value)}]"
    if isinstance(value, Plain):
        return _value(trial, value.of, imports, groups)
    if callable(value):
        return str(FUNCTIONS[type(value).__name__](value))
    return repr(value)


# The functions that declarations hold as data, as Python.
FUNCTIONS: dict[str, Any] = {
    "Power": lambda value: f"lambda epoch: {value.rate!r} ** epoch",
    "Ramp": lambda value: f"lambda epoch: min(1.0, (epoch + 1) / {value.length!r})",
    "Constant": lambda value: f"lambda epoch: {value.value!r}",
    "Inverse": lambda value: "lambda epoch: 1.0 / (1.0 + epoch)",
    "Builtin": lambda value: "lambda epoch: 2.0 ** epoch",
}
