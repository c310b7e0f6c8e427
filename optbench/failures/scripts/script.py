"""Writes a failure as a script of plain torch that needs no optbench: what was done, and an assertion that fails.

A script is made of the tape of what the law did, not of a template for a law. It is tried before it is given to
anybody: one whose assertion holds shows nothing, and is not given.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from optbench import deviations, registry
from optbench.failures.finding import told
from optbench.failures.scripts import facts, literals
from optbench.failures.scripts.events import Track
from optbench.failures.scripts.facts import Claim
from optbench.failures.scripts.steps import OBJECTIVE, Style, Unwritable, Writer
from optbench.failures.scripts.tape import Tape
from optbench.runs.results import Result
from optbench.trials import oracle
from optbench.trials.checker import Failure

# More numbers than this are drawn by a seed rather than written down.
_MANY = 48
# A longer script shows nobody anything.
_TOO_LONG = 20_000
# What is shown of a step that must not end the process.
_DIES = 'print("it lives")'


def listen(trial: Any) -> None:
    """Keep what a law does from now on, where its trial can be listened to."""
    _listen(trial, dry=False)


def listen_dry(trial: Any) -> None:
    """As `listen`, and let no step be taken."""
    _listen(trial, dry=True)


def _listen(trial: Any, dry: bool) -> None:
    if hasattr(trial, "tape"):
        trial.tape = Tape(dry)
        trial.checker.noticed, trial.checker.done = trial.tape.mark, trial.tape.look
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
        _where(result.implementation),
    ]
    return "".join(f"# {line}\n" for line in lines if line)


def _where(implementation: str) -> str:
    """Which folder has to be known to Python, where it is not that of the script."""
    file = Path(implementation.rpartition(":")[0])
    return f"Run it with PYTHONPATH={file.parent}" if file.suffix == ".py" and file.name != str(file) else ""


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
    try:
        return _written(trial)
    except Exception:
        # What somebody else's code makes of it must not end a run.
        return ""


def _written(trial: Any) -> str:
    failure = trial.checker.first if trial else None
    if getattr(trial, "tape", None) is not None:
        return _of_tape(trial, failure)
    return _tried(trial.journal.bodies(failure), partial(_by_ours, trial)) if getattr(trial, "journal", None) else ""


def _of_tape(trial: Any, failure: Failure | None) -> str:
    tape: Tape = trial.tape
    end = len(tape.events) if tape.marked is None else tape.marked
    if tape.dry:
        # It cannot be tried.
        return "\n".join([*_body(trial, Failure("it dies", "", shown=_DIES), end, _many(tape)), ""])
    last = len(tape.events) - 1
    if failure is None and trial.checker.raised and tape.events and tape.events[-1].failed is trial.checker.raised:
        # A call that had to go through.
        failure, end = Failure("it raises", "", since=last), last + 1
    if failure is None:
        return ""
    # Numbers that are drawn take the place of those that would be too many to be written down, or the other way round.
    ways = [(_many(tape), False), (not _many(tape), False), (_many(tape), True)]
    return next((text for text in (_proven(trial, failure, end, *way) for way in ways) if text), "")


def _proven(trial: Any, failure: Failure, end: int, draw: bool, whole: bool) -> str:
    """A script that fails; with other numbers than the law's it must not with a tier of ours; "" where it is none."""
    text = _tried([_body(trial, failure, end, draw, whole)])
    honest = _honest(trial)
    if not text or honest is None or not (draw or re.search(r"^want = [-\d]", text, re.M)):
        return text
    same = "\n".join(_body(trial, failure, end, draw, whole, honest))
    for own, declared in trial.state_alias.items():
        same = same.replace(f']["{own}"]', f']["{declared}"]')
    return "" if fails(same) else text


def _honest(trial: Any) -> Style | None:
    """How the same is written with a tier of ours; None where none has the formula."""
    if trial.oracle is not None:
        return None
    other = oracle.FOREACH if trial.implementation.name == oracle.REFERENCE else oracle.REFERENCE
    item, name = registry.IMPLEMENTATIONS[other], trial.subject.class_name
    return Style(lambda track: ([f"from {item.module} import {name}"], name, {}), plain=True)


def _by_ours(trial: Any, text: str) -> str:
    """The same script about schedulers or averages with a tier of ours; "" where that is called in another way."""
    own = trial.implementation
    if own.target and trial.subject.kind == "averager":
        return ""
    tier = registry.IMPLEMENTATIONS[oracle.FOREACH if own.name == oracle.REFERENCE else oracle.REFERENCE].module
    if own.target:
        where, name = literals.imported(own.target)
        ours = f"from {tier}.{trial.subject.module} import {trial.subject.class_name} as {name}"
        text = text.replace(f"from {where} import {name}\n", f"{ours}\n")
    for module in filter(None, ("torch.optim", own.module)):
        text = re.sub(rf"\b{re.escape(module)}\.(lr_scheduler|swa_utils)\b", rf"{tier}.\1", text)
    return f"import {tier}.lr_scheduler, {tier}.swa_utils\n{text}"


def _tried(bodies: Iterable[list[str]], by_ours: Callable[[str], str] | None = None) -> str:
    """The first script that fails, and does not with a tier of ours, where that is known."""
    texts = ("\n".join([*body, ""]) for body in bodies if body)
    short = (text for text in texts if len(text) <= _TOO_LONG)
    return next((text for text in short if fails(text) and not (by_ours and fails(by_ours(text)))), "")


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


def _many(tape: Tape) -> bool:
    return any(start.held.numel() > _MANY for listed in tape.lists for start in listed.starts)


def _body(
    trial: Any, failure: Failure, end: int, draw: bool, whole: bool = False, style: Style | None = None
) -> list[str]:
    tape: Tape = trial.tape
    try:
        claimed = facts.claim(trial, failure, end, draw)
        if claimed is None:
            return []
        texts = [*claimed.lines, *claimed.first, *claimed.wanted, *(line for _, line in claimed.copies)]
        style = replace(style, draw=draw) if style else Style(partial(_class, trial), draw)
        writer = Writer(tape, style, texts, end, whole)
        lines = list(_lines(writer, claimed, end))
    except Unwritable:
        return []
    text = "\n".join(writer.pool.finished([*lines, *claimed.lines], claimed.first)).strip("\n")
    used = [name for name in ("contextlib", "copy", "pickle") if re.search(rf"\b{name}\.", text)]
    imports = [*(f"import {name}" for name in used), *[""] * bool(used), "import torch", *writer.imports]
    return [*imports, *([OBJECTIVE] if "\nterms = [" in text else [""]), text]


def _lines(writer: Writer, claimed: Claim, end: int) -> Iterator[str]:
    called: list[str] = []
    for number, event in enumerate(writer.events):
        yield from (line for moment, line in claimed.copies if moment == number)
        lines = writer.lines(number)
        if claimed.since is not None and number >= claimed.since:
            called += filter(None, lines)
        elif event.failed and writer.kept(number):
            yield from ("with contextlib.suppress(Exception):", *(f"    {line}" for line in lines))
        else:
            yield from lines
    if claimed.since is None:
        return
    yield from ("", "try:", *(f"    {line}" for line in called))
    yield "except Exception as error:"
    if claimed.refused is None:
        yield "    raise AssertionError(repr(error)) from error"
        return
    error, names = claimed.refused
    named = f" and {literals.text(names)} in str(error)" if names else ""
    yield from (f"    assert type(error) is {error}{named}, repr(error)", "else:")
    yield '    raise AssertionError("it was accepted")'


def _class(trial: Any, track: Track) -> tuple[list[str], str, Mapping[str, Any]]:
    """How a script imports and calls a class, and the arguments that make it the path that it is."""
    implementation, name = track.implementation, trial.subject.class_name
    optimizer = trial.tape.like(track)
    if implementation.target:
        where, own = literals.imported(implementation.target)
        return [f"from {where} import {own}"], own, {}
    if type(optimizer).__module__.startswith("torch.optim"):
        flags = {flag: optimizer.defaults[flag] for flag in ("foreach", "fused") if flag in optimizer.defaults}
        return [], f"torch.optim.{name}", {flag: value for flag, value in flags.items() if value is not None}
    if not trial.implementation.ours:
        # Nobody's own script is to need one of our tiers.
        raise Unwritable(implementation.name)
    return [f"from {implementation.module} import {name}"], name, {}
