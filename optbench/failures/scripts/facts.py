"""What a script about optimizers asserts: the fact, the refusal or the numbers of a law's first failure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from optbench.failures.scripts import literals
from optbench.failures.scripts.events import Event
from optbench.failures.scripts.places import Place, found
from optbench.failures.scripts.steps import OBJECTIVE, Style, Writer
from optbench.failures.scripts.tape import Tape
from optbench.trials import oracle
from optbench.trials.checker import Entry, Failure
from optbench.trials.error import CAP, real, real_dtype, spacing

# A law's words for what a script has under these names.
_WORD = re.compile(r"(?<![\"'@.\w])(optimizer|params|memory|around)\b")
_SHORT = {"optimizer": "o", "params": "p", "memory": "m", "around": "a"}


@dataclass
class Claim:
    """What has to hold at the end of a script, as Python about the tape.

    Args:
        lines: it.
        first: what is named first, and by the plainest names.
        copies: what has to be kept before which event.
        wanted: what has to be there beside what is named here.
        since: the event since which everything is one call that has to be refused, or must not be.
        refused: the error and what its message names, where it has to be refused.
    """

    lines: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    copies: list[tuple[int, str]] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    since: int | None = None
    refused: tuple[str, str] | None = None


def claim(trial: Any, failure: Failure, end: int, draw: bool) -> Claim | None:
    """What a failure claims; None where that is nothing that can be written."""
    tape: Tape = trial.tape
    if failure.since is not None:
        wanted = [event.track.name for event in tape.events[failure.since : end] if event.track]
        refused = (failure.refused, failure.names) if failure.refused else None
        return Claim(first=wanted[-1:], wanted=wanted, since=failure.since, refused=refused) if wanted else None
    place = found(tape, failure.actual)
    if failure.shown:
        return _shown(failure, tape, place, end)
    other = found(tape, failure.against)
    if isinstance(failure.actual, Entry) and isinstance(failure.against, Entry):
        return _entries(failure.what, (failure.actual, failure.against), (place, other), end)
    if place is None or not isinstance(failure.actual, Tensor):
        return None
    if other is not None:
        return _beside(failure, place, other, end)
    if failure.index is None:
        return None
    return _number(trial, failure, place, end, draw)


def _shown(failure: Failure, tape: Tape, place: Place | None, end: int) -> Claim | None:
    """A fact in the law's words, the last of their lines; their `optimizer` and `params` are the last that moved."""
    event = next((event for event in reversed(tape.events[:end]) if event.track and event.method == "step"), None)
    event = event or next((each for each in reversed(tape.events[:end]) if each.track and each.track.optimizer), None)
    if event is None or event.track is None:
        return None
    told = re.findall(r"@[op]\d+", failure.shown)
    named = [each for each in told if each.startswith("@o")]
    owners = [track.name for track in tape.tracks if set(told) & set(_params(tape, track.name))]
    name = place.optimizer if place else [*named, *owners, event.track.name][0]
    lists = (each for each in told if each.startswith("@p"))
    param = next(iter([*lists, *_params(tape, name), ""]))
    tokens = {word: f"@{kind}{name[2:] if kind == 'o' else param[2:]}" for word, kind in _SHORT.items()}
    said = re.sub(r"'([^'\"\\]*)'", r'"\1"', failure.shown)
    said = _WORD.sub(lambda match: tokens[match[0]], said)
    claimed = Claim([""], [name, param])
    if "around" in failure.shown:
        claimed.lines += _around(tape, param, tokens)
    *before, said = said.split("\n")
    claimed.lines += before
    claimed.lines.append(said if said.startswith("print(") else f"assert {said}, {literals.text(failure.what)}")
    return claimed


def _params(tape: Tape, optimizer: str) -> Iterator[str]:
    """The lists of parameters of an optimizer."""
    track = next(track for track in tape.tracks if track.name == optimizer)
    for group in track.optimizer.param_groups:
        yield from (tape.name(param).partition("[")[0] for param in group["params"] if tape.name(param))


def _around(tape: Tape, param: str, tokens: dict[str, str]) -> list[str]:
    listed = next(listed for listed in tape.lists if listed.name == param)
    memory, around = tokens["memory"], tokens["around"]
    lines = [f"{around} = [torch.ones_like(each, dtype=torch.bool) for each in {memory}]"]
    return lines + [f"{around}[{i}]{literals.view(start)}.fill_(False)" for i, start in enumerate(listed.starts)]


class _Side:
    """One side of a comparison: a place as it is at the end, or a copy of what it was."""

    def __init__(self, claimed: Claim, place: Place, value: Any, end: int) -> None:
        self.text = place.text()
        if place.moment is not None and place.moment < end:
            name = f"@c{len(claimed.copies)}"
            made = f"{self.text}.detach().clone()" if isinstance(value, Tensor) else f"copy.deepcopy({self.text})"
            claimed.copies.append((place.moment, f"{name} = {made}"))
            self.text = name


def _entries(
    what: str, entries: tuple[Entry, Entry], places: tuple[Place | None, Place | None], end: int
) -> Claim | None:
    """A name that is missing on one side, or two plain values."""
    (actual, against), (place, other) = entries, places
    if place is None or other is None:
        return _presence(what, actual, place, place or other)
    claimed = Claim(first=[place.optimizer, place.param])
    a, b = (_Side(claimed, each, entry.value, end).text for each, entry in ((place, actual), (other, against)))
    if isinstance(actual.value, Tensor) != isinstance(against.value, Tensor):
        claimed.lines += ["", f"assert type({a}) is type({b}), {literals.text(what)}"]
        return claimed
    if isinstance(actual.value, float) and isinstance(against.value, float):
        a, b = f"float({a})", f"float({b})"
    claimed.lines += ["", f"got, want = {a}, {b}", _near(None)]
    return claimed


def _presence(what: str, actual: Entry, place: Place | None, some: Place | None) -> Claim | None:
    """An entry of a state that is there on one side only; `place` is where it is, None: it should be."""
    places = getattr(actual.of, "places", {})
    param = places.get(actual.name.rpartition(" of ")[2], places.get(""))
    if some is None or some.kind != "state" or some.path or param is None:
        return None
    wrong = replace(param, kind="state", key=some.key)
    fact = wrong.there() if place is None else wrong.there().replace(" in ", " not in ", 1)
    return Claim(["", f"assert {fact}, {literals.text(what)}"], [wrong.optimizer, wrong.param])


def _beside(failure: Failure, place: Place, other: Place, end: int) -> Claim:
    """Two tensors, each somewhere."""
    claimed = Claim(first=[place.optimizer, place.param])
    values = (failure.actual, failure.against)
    a, b = (_Side(claimed, each, value, end).text for each, value in zip((place, other), values, strict=True))
    if failure.index is None:
        claimed.lines += ["", f"got, want = ({a}.dtype, {a}.shape), ({b}.dtype, {b}.shape)", _near(None)]
        return claimed
    claimed.lines += ["", f"got = {place.number(a, failure.index)}", f"want = {other.number(b, failure.index)}"]
    claimed.lines.append(_near(failure.allowed))
    return claimed


def _near(allowed: float | None) -> str:
    fact = f"abs(got - want) <= {allowed:.3g}" if allowed else "got == want"
    return f'assert {fact}, f"got {{got}}, want {{want}}"'


def _number(trial: Any, failure: Failure, place: Place, end: int, draw: bool) -> Claim | None:
    """One tensor, and what the formula makes of the same, or what it was beside."""
    assert failure.index is not None
    claimed = Claim(first=[place.optimizer, place.param])
    got = place.number(_Side(claimed, place, failure.actual, end).text, failure.index)
    if place.kind == "grad":
        given = [edit.value for event in trial.tape.events[:end] for edit in event.edits
                 if edit.target == f"{place.param}.grad"]  # fmt: skip
        if not given or not hasattr(given[-1], "tensor") or draw:
            return None
        want = float(real(given[-1].tensor.to_dense())[failure.index])
        claimed.lines += ["", "# A step leaves gradients as they are.", f"want = {want!r}", f"got = {got}", _near(None)]
        return claimed
    formula = expected(trial, failure, place, end, draw) if failure.error is not None else None
    if formula is not None:
        want, allowed = formula
        told = f"# What the formula gives in float64 (optbench's {trial.judge} tier); float rounding may move it by "
        claimed.lines += ["", f"{told}{allowed:.1g}.", f"want = {want!r}", f"got = {got}", _near(allowed)]
        return claimed
    if draw or failure.want is None or (failure.error is not None and trial.tape.synchronised):
        return None
    claimed.lines += ["", f"want = {failure.want!r}", f"got = {got}", _near(failure.allowed)]
    return claimed


def expected(trial: Any, failure: Failure, place: Place, end: int, draw: bool) -> tuple[float, float] | None:
    """What the judge makes of the same in float64, and how far rounding may take others from it."""
    start = place.start
    if start is None or place.kind not in ("param", "state"):
        return None
    index, dtype = failure.index or (), real_dtype(start.held.dtype)
    numbers = []
    for precision in (torch.float64, dtype):
        try:
            tensor = real(_judged(trial, place, end, draw, precision).detach())
        except Exception:
            return None
        if tensor.dim() != len(index):
            return None
        numbers.append(tensor[index].to(torch.float64))
    want, honest = numbers
    units = spacing(want, dtype)
    if place.kind == "param":
        units = units + spacing(real(start.tensor)[index].to(torch.float64), dtype)
    steps = sum(_is_step(event, place) for event in trial.tape.events[:end])
    # As the cap of the scaled error, for steps between which nothing is judged.
    allowed = steps * max(CAP * float(units), 2 * float((honest - want).abs()) + float(units))
    return float(want), max(allowed, failure.allowed or 0.0)


def _is_step(event: Event, place: Place) -> bool:
    return event.track is not None and event.track.name == place.optimizer and event.method == "step"


def _judged(trial: Any, place: Place, end: int, draw: bool, dtype: torch.dtype) -> Any:
    """What stands in a place after the same by the oracle's judge."""
    start = place.start
    assert start is not None

    def built(params: Any, **options: Any) -> Any:
        return oracle.construct(trial.subject, options, params, trial.judge, start.held.dtype)

    style = Style(lambda track: ([], "built", {}), draw, dtype, plain=True)
    text = place.text(trial.state_alias)
    writer = Writer(trial.tape, style, [text, place.optimizer], end)
    lines = [line for number in range(end) for line in writer.lines(number)]
    body = OBJECTIVE + "\n".join(writer.pool.finished([*lines, f"found = {text}"], []))
    for own, declared in trial.state_alias.items():
        body = body.replace(f']]["{own}"]', f']]["{declared}"]')
    space = {"torch": torch, "copy": copy, "built": built}
    exec(compile(body, "judged", "exec"), space)
    return space["found"]
