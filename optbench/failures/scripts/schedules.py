"""What is special about scripts about schedulers: how one is made, and the text of its options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch

from optbench.failures.scripts import literals
from optbench.failures.scripts.journal import Journal
from optbench.foreign.loading import adapter_of, load_class
from optbench.registry import Implementation
from optbench.subjects import load
from optbench.subjects._schedule import Each, Part, Plain
from optbench.trials.checker import Failure

_CALLS = {
    "optimizer": ("step", "add_param_group", "state_dict", "load_state_dict"),
    "scheduler": ("step", "state_dict", "load_state_dict", "get_last_lr", "lr_at"),
}
# A power as a function, and as an object that has the rate.
_POWER = re.compile(r"lambda epoch: ([\d.e-]+) \*\* epoch")
_OBJECT = r'type("Power", (types.SimpleNamespace,), {"__call__": lambda self, epoch: self.rate ** epoch})(rate=\1)'
_RATES = '[group["lr"] for group in optimizer.param_groups]'


class ScheduleJournal(Journal):
    """What a law does with optimizers and schedulers."""

    def __init__(self, trial: Any) -> None:
        super().__init__(_CALLS, literal)
        self.trial = trial

    def optimizer(self, kind: type[Any], groups: list[dict[str, Any]], options: dict[str, Any]) -> str:
        """The call that makes an optimizer of torch."""
        given = [f"{name}={value!r}" for name, value in options.items()]
        return f"torch.optim.{kind.__name__}({', '.join([self.text(groups), *given])})"

    def scheduler(self, part: Part, who: Implementation, optimizer: Any) -> str:
        """The call that makes a scheduler; of None, where a composite is not told the optimizer."""
        subject = load(part.subject)
        name, options = subject.class_name, dict(part.options)
        own = self.trial.whose(part.subject, who)
        if own.target:
            where, name = literals.imported(own.target)
            self.imports.add(f"from {where} import {name}")
            options = adapter_of(load_class(own.target)).arguments(options)
        elif own.ours:
            self.imports.add(f"from {own.module}.{subject.module} import {name}")
        else:
            name = f"torch.optim.{subject.module}.{name}"

        def text(value: Any) -> str:
            if isinstance(value, Part):
                return self.scheduler(value, who, optimizer)
            if isinstance(value, Each):
                return text(tuple(self.trial.each(value, optimizer)))
            if isinstance(value, tuple):
                return f"[{', '.join(map(text, value))}]"
            return self.text(value)

        texts = {option: text(value) for option, value in options.items()}
        first = [] if optimizer is None else [self.text(optimizer)]
        if part.subject == "chainedscheduler":
            first.insert(0, texts.pop("schedulers"))
        return f"{name}({', '.join([*first, *(f'{option}={text}' for option, text in texts.items())])})"

    def bodies(self, failure: Failure | None) -> Iterator[list[str]]:
        """Lines of plain torch; none where the fact that fails has no text."""
        shown = failure.shown if failure else "refused is None"
        if not shown or not self.lines:
            return
        said = repr(failure.what if failure else "")
        if "refused" in shown:
            said = "repr(refused)"
        elif "'lr'" in shown:
            said = _RATES
        lines = self.script(shown, said)
        yield lines
        # Functions that are objects, whose attributes a state_dict keeps.
        if any(map(_POWER.search, lines)):
            apart = [""] * (lines[0] == "import torch")
            yield ["import types", *apart, *(_POWER.sub(_OBJECT, line) for line in lines)]


def literal(value: Any, text: Callable[[Any], str]) -> str:
    """A value that has no name."""
    if isinstance(value, torch.Tensor):
        device = "" if value.device.type == "cpu" else f", device={str(value.device)!r}"
        if value.requires_grad:
            # A parameter, whatever it holds.
            return f"torch.zeros({len(value)}{device}, requires_grad=True)"
        return f"torch.tensor({value.tolist()!r}, dtype={value.dtype}{device})"
    if isinstance(value, dict):
        entries = [f'"{name}": {text(each)}' if isinstance(name, str) else f"{name}: {text(each)}" for name, each in
                   value.items()]  # fmt: skip
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(text, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if isinstance(value, Plain):
        return text(value.of)
    if type(value).__name__ in FUNCTIONS:
        return str(FUNCTIONS[type(value).__name__](value))
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)


# The functions that declarations hold as data, as Python.
FUNCTIONS: dict[str, Any] = {
    "Power": lambda value: f"lambda epoch: {value.rate!r} ** epoch",
    "Ramp": lambda value: f"lambda epoch: min(1.0, (epoch + 1) / {value.length!r})",
    "Constant": lambda value: f"lambda epoch: {value.value!r}",
    "Inverse": lambda value: "lambda epoch: 1.0 / (1.0 + epoch)",
    "Builtin": lambda value: "math.exp2",
    "Table": lambda value: f"lambda epoch: {value.factors!r}[min(int(epoch), {len(value.factors) - 1})]",
}
