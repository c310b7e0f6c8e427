"""Writes a failure as a script of plain torch that needs no optbench: what was done, and an assertion that fails.

A script is made of the tape of what the law did, not of a template for a law. It is tried before it is given to
anybody: one whose assertion holds shows nothing, and is not given.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from optbench import deviations
from optbench.failures import literals, script_averages
from optbench.failures.finding import told
from optbench.failures.tape import Memory, Step, Tape, Track, replayed
from optbench.foreign.loading import adapter_of
from optbench.registry import Implementation
from optbench.runs.results import Result
from optbench.trials.checker import Failure
from optbench.trials.error import CAP, real, real_dtype, spacing

# More numbers than this are drawn by a seed rather than written down.
_MANY = 48
# What is shown of a step that must not raise, and of one that must not end the process.
_RAISES, _DIES = "raises", "dies"


def listen(trial: Any) -> None:
    """Keep what a law does from now on, where its trial can be listened to."""
    _listen(trial, dry=False)


def listen_dry(trial: Any) -> None:
    """As `listen`, and let no step be taken."""
    _listen(trial, dry=True)


def _listen(trial: Any, dry: bool) -> None:
    if hasattr(trial, "tape"):
        trial.tape = Tape(dry)
        trial.checker.noticed = trial.tape.mark
    elif hasattr(trial, "listen"):
        trial.listen()


def heading(result: Result) -> str:
    """The comment at the top: what fails, what makes it appear, and the same with optbench."""
    finding = result.finding or {}
    said = " ".join((finding.get("message") or result.message).split())
    lines = [
        f"{result.implementation} breaks {result.law} of {result.subject}: {said}",
        told(finding),
        f"With optbench: {finding.get('reproduce') or result.reproduce}",
    ]
    return "".join(f"# {line}\n" for line in lines if line)


def first(results: Iterable[Result]) -> Result | None:
    """The failure to show: the first judged one, else the first; one that there is a script of, if there is any."""
    broken = [result for result in results if result.verdict in ("fail", "error", "crash")]
    return min(broken, key=lambda result: (not result.judged, not of(result)), default=None)


def of(result: Result) -> str:
    """The script of a failure; "" where what the law did is none of plain torch and the cause is none that is known."""
    return str((result.finding or {}).get("script", "")) or _known(result)


def _known(result: Result) -> str:
    """The script of torch's deviation that accounts for a failure."""
    row = next((row for row in deviations.TABLE if row.id == result.deviation), None)
    if row is None or not result.implementation.startswith("torch"):
        return ""
    said = f"# Its cause is known, {row.id}: {row.torch_does}."
    return f"{said}\n# The assertion holds, because that is so.\n\n{row.script}"


def whole(result: Result) -> str:
    """The file that shows a failure: its script, or in its place the command, in a comment."""
    return heading(result) + (of(result) or "# What this law does cannot be written in a few lines of plain torch.\n")


def written(trial: Any) -> str:
    """The script of a law's first failure, or of what it raised, without its heading; "" where there is none."""
    failure = trial.checker.first if trial else None
    if getattr(trial, "tape", None) is not None:
        failure = failure or Failure("it raises", "", shown=_RAISES)
        if trial.tape.dry:
            # It cannot be tried.
            return "\n".join([*_body(trial, Failure("it dies", "", shown=_DIES), draw=False), ""])
        bodies = [_body(trial, failure, draw) for draw in (False, True)]
    elif getattr(trial, "journal", None):
        bodies = [trial.journal.body(failure)]
    elif failure:
        bodies = list(script_averages.bodies(trial, failure))
    else:
        bodies = []
    texts = ["\n".join([*body, ""]) for body in bodies if body]
    return next((text for text in texts if fails(text)), "")


def fails(text: str) -> bool:
    """Whether a script raises an AssertionError."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            exec(compile(text, "script", "exec"), {"__name__": "script"})
    except AssertionError:
        return True
    except Exception:
        return False
    return False


def _body(trial: Any, failure: Failure, draw: bool) -> list[str]:
    found = trial.tape.where(failure.actual) if failure.actual is not None else None
    tracks = [track for track in trial.tape.tracks if track.steps]
    if not (found or failure.shown) or not tracks:
        return []
    track, place, name = found or (tracks[-1], 0, "")
    track = replace(track, steps=track.steps[: track.marked])
    many = any(memory.held.numel() > _MANY for memory in track.starts)
    if draw != many and failure.shown != _DIES:
        # Numbers that are drawn take the place of those that would be written down.
        return []
    if many:
        track = _drawn(track)
    cls = _class(trial.implementation, track.optimizer, trial.subject.class_name)
    asserted = _asserted(trial, failure, track, place, name)
    if cls is None or not asserted:
        return []
    imports, called, flags = cls
    steps = _steps(track)
    if failure.shown == _RAISES:
        last = steps.pop()
        caught = ["except Exception as error:", "    raise AssertionError(repr(error)) from error"]
        asserted = ["try:", f"    {last}", *caught]
    if failure.shown == _DIES:
        asserted = ["", 'print("it lives")']
    return ["import torch", *imports, "", *_params(track), _built(track, trial.implementation, called, flags),
            *steps, *asserted]  # fmt: skip


def _class(
    implementation: Implementation, optimizer: Any, name: str
) -> tuple[list[str], str, Mapping[str, Any]] | None:
    """How a script imports and calls the class, and the arguments that make it the path that it is."""
    cls = type(optimizer)
    if implementation.target:
        where, own = literals.imported(implementation.target)
        return [f"from {where} import {own}"], own, {}
    if cls.__module__.startswith("torch.optim"):
        flags = {flag: optimizer.defaults[flag] for flag in ("foreach", "fused") if flag in optimizer.defaults}
        return [], f"torch.optim.{name}", {flag: value for flag, value in flags.items() if value is not None}
    return [f"from {implementation.module} import {name}"], name, {}


def _params(track: Track) -> list[str]:
    lines = []
    views = [memory for memory in track.starts if not memory.plain]
    if views:
        lines += ["memory = [", *(f"    {literals.numbers(memory.held)}," for memory in track.starts), "]"]
    lines.append("params = [")
    for i, memory in enumerate(track.starts):
        values = f"memory[{i}]{literals.view(memory)}" if views else literals.numbers(memory.tensor, memory)
        lines.append(f"    {values}.requires_grad_(),")
    return [*lines, "]"]


def _built(track: Track, implementation: Implementation, called: str, flags: Mapping[str, Any]) -> str:
    adapter = adapter_of(type(track.optimizer)) if implementation.target else None

    def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
        return adapter.arguments(options) if adapter else dict(options)

    begin, groups = 0, []
    for count, own in track.groups:
        some = "params" if count == len(track.params) else f"params[{begin}:{begin + count}]"
        groups.append((some, arguments(own)))
        begin += count
    if len(groups) == 1 and not groups[0][1]:
        first = "params"
    else:
        told = [[f'"params": {some}', *(f'"{name}": {literals.option(value)}' for name, value in own.items())]
                for some, own in groups]  # fmt: skip
        entries = [", ".join(texts) for texts in told]
        first = "[" + ", ".join(f"{{{entry}}}" for entry in entries) + "]"
    named = [f"{name}={literals.option(value)}" for name, value in {**arguments(track.options), **flags}.items()]
    return f"optimizer = {called}({', '.join([first, *named])})"


def _steps(track: Track) -> list[str]:
    lines = []
    for number, step in enumerate(track.steps):
        lines += [f'optimizer.param_groups[{i}]["{name}"] = {literals.option(value)}'
                  for i, changed in step.changed.items() for name, value in changed.items()]  # fmt: skip
        lines += [f"params[{i}].data = {literals.tensor(values)}" for i, values in step.replaced.items()]
        for i, grad in enumerate(step.grads):
            before = track.steps[number - 1].grads[i] if number else None
            if grad is not None:
                lines.append(f"params[{i}].grad = {literals.tensor(grad)}")
            elif before is not None:
                lines.append(f"params[{i}].grad = None")
        lines.append("optimizer.step()")
    return lines


def _asserted(trial: Any, failure: Failure, track: Track, place: int, name: str) -> list[str]:
    if not name:
        around = _around(track) if "around" in failure.shown else []
        return ["", *around, f"assert {failure.shown}, {failure.what!r}"] if failure.shown else []
    if failure.index is None:
        return []
    where = {"param": f"params[{place}]", "grad": f"params[{place}].grad"}.get(
        name, f'optimizer.state[params[{place}]]["{name}"]'
    )
    number = f"{where}.detach()"
    if track.starts[place].held.is_complex():
        number = f"torch.view_as_real({number})"
    at = f"[{', '.join(map(str, failure.index))}]" if failure.index else ""
    got = f"got = {number}{at}.item()"
    if name == "grad":
        # A step that gradient scaling took is not on the tape.
        grad = track.steps[-1].grads[place] if track.steps else None
        if grad is None:
            return []
        want = float(real(grad.tensor.to_dense())[failure.index])
        return ["", "# A step leaves gradients as they are.", f"want = {want!r}", got,
                'assert got == want, f"got {got}, want {want}"']  # fmt: skip
    expected = _expected(trial, failure, track, place, name)
    if expected is None:
        return []
    want, allowed = expected
    return ["", f"# What the formula gives in float64 (optbench's {trial.judge} tier); float rounding may move it by "
            f"{allowed:.1g}.", f"want = {want!r}", got,
            f'assert abs(got - want) <= {allowed:.3g}, f"got {{got}}, want {{want}}"']  # fmt: skip


def _around(track: Track) -> list[str]:
    lines = ["around = [torch.ones_like(each, dtype=torch.bool) for each in memory]"]
    return lines + [f"around[{i}]{literals.view(memory)}.fill_(False)" for i, memory in enumerate(track.starts)]


def _expected(trial: Any, failure: Failure, track: Track, place: int, name: str) -> tuple[float, float] | None:
    """What the judge makes of the same steps in float64, and how far rounding may take others from it."""
    declared = trial.state_alias.get(name, name)
    numbers = []
    dtype = real_dtype(track.starts[place].held.dtype)
    for precision in (torch.float64, dtype):
        try:
            params, optimizer = replayed(track, trial.subject, trial.judge, precision)
        except Exception:
            return None
        tensor = params[place].detach() if name == "param" else optimizer.state[params[place]].get(declared)
        if tensor is None or real(tensor).dim() != len(failure.index or ()):
            return None
        numbers.append(real(tensor)[failure.index].to(torch.float64))
    want, honest = numbers
    start = real(track.starts[place].tensor)
    units = spacing(want, dtype) + (spacing(start[failure.index].to(torch.float64), dtype) if name == "param" else 0)
    # As the cap of the scaled error, for steps between which nothing is judged.
    allowed = len(track.steps) * max(CAP * float(units), 2 * float((honest - want).abs()) + float(units))
    return float(want), max(allowed, failure.allowed or 0.0)


def _drawn(track: Track) -> Track:
    """The same with numbers in the place of which a seed can stand."""
    count = iter(range(10_000))

    def drawn(memory: Memory | None) -> Memory | None:
        if memory is None or not memory.plain:
            return memory
        seed = next(count)
        return replace(memory, held=_random(memory, seed).reshape(-1).to(memory.held.dtype), seed=seed)

    starts = [drawn(memory) for memory in track.starts]
    steps = [Step(tuple(drawn(grad) for grad in step.grads), step.changed, step.replaced) for step in track.steps]
    return replace(track, starts=[memory for memory in starts if memory is not None], steps=steps)


def _random(memory: Memory, seed: int) -> Tensor:
    kind = torch.complex64 if memory.held.is_complex() else torch.float32
    return torch.randn(memory.shape, generator=torch.Generator().manual_seed(seed), dtype=kind)
