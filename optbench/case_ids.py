"""Reads a case from its id, so that a case which no law lists can be asked for by name. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optbench.case import AsTensor, Case, format_value
from optbench.subjects import Subject

_SHAPE = r"(?:scalar|\d+(?:x\d+)*)"
_SHAPES = re.compile(f"{_SHAPE}(?:,{_SHAPE})*")
_STEPS = re.compile(r"(\d+)_steps")
_SCALE = re.compile(r"scale=[\d.e+-]+")
_WITHIN = "\0"
_WORDS = ("layout", "moment", "shapes", "stream", "variant")


def parse(text: str, subject: Subject, like: Case, known: Iterable[Case]) -> Case | None:
    """The case with this id; None where the text is no id of the subject's.

    Args:
        text: "bfloat16/strided/3x4,0/2_steps/momentum=0.9".
        subject: whose options they are.
        like: gives device and seed, which no id tells.
        known: the cases that a law lists: what they are called is what the text may say.

    Example:
        >>> from optbench.subjects import load
        >>> found = parse("bfloat16/3x4,0/2_steps/momentum=0.5", load("sgd"), Case("sgd"), ())
        >>> found.shapes, found.steps, found.options
        ('3x4,0', 2, {'momentum': 0.5})
    """
    listed = list(known)
    same = next((case for case in listed if case.id == text), None)
    if same is not None:
        return same
    words = {name: {getattr(case, name).replace(" ", "_"): getattr(case, name) for case in listed} for name in _WORDS}
    # What a law varies may be called so that it looks like several parts.
    for word in (word for each in words.values() for word in each if "/" in word):
        text = text.replace(word, word.replace("/", _WITHIN))
    dtype, *parts = (part.replace(_WITHIN, "/") for part in text.split("/"))
    text = text.replace(_WITHIN, "/")
    if dtype not in subject.dtypes:
        return None
    values = {option.name: [option.default, *option.values] for option in subject.options}
    for case in listed:
        for name, value in case.options.items():
            values[name].append(value)
    found: dict[str, Any] = {"dtype": dtype, "drawn": True}
    for part in parts:
        word = next((name for name in _WORDS if part in words[name] and name not in found), None)
        read = (word, words[word][part]) if word else _read(part, values)
        if read is None:
            return None
        found[read[0]] = read[1]
    case = Case(like.subject, device=like.device, seed=like.seed, **found)
    # A text that says less than the id does would give another case than it names.
    return case if case.id == text else None


def _read(part: str, values: Mapping[str, Sequence[Any]]) -> tuple[str, Any] | None:
    """The field that a part of an id is of, and its value.

    Args:
        part: a part of an id.
        values: what is known of each option.
    """
    steps = _STEPS.fullmatch(part)
    if steps:
        return "steps", int(steps[1])
    if _SHAPES.fullmatch(part):
        return "shapes", part
    if _SCALE.fullmatch(part):
        return "stream", part
    options: dict[str, Any] = {}
    for item in part.split(","):
        name, equals, text = item.partition("=")
        if not equals or name not in values:
            return None
        options[name] = _value(text, values[name])
    return "options", options


def _value(text: str, known: Sequence[Any]) -> Any:
    """The known value that is written so, else the number, or the numbers."""
    for value in known:
        if format_value(value) == text:
            return value
    if text.startswith("tensor:"):
        return AsTensor(float(text.removeprefix("tensor:")))
    if ":" in text:
        return tuple(_number(item, known) for item in text.split(":"))
    return _number(text, known)


def _number(text: str, known: Sequence[Any]) -> Any:
    flat = [item for value in known for item in (value if isinstance(value, tuple) else (value,))]
    whole = not any(isinstance(item, float) for item in flat)
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return text
