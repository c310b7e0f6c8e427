"""`-k EXPR`: `and`, `or`, `not` and parentheses over substrings, as in pytest. `law[case]` whole selects one case."""

from __future__ import annotations

import re

from optbench.errors import UsageError


def matches(expression: str, text: str) -> bool:
    """Whether the expression holds for a text.

    Args:
        expression: names without blanks, joined by `and`, `or`, `not` and parentheses; empty matches all.
        text: "opt.layouts[float32/strided]".

    Raises:
        UsageError: the expression cannot be read.

    Example:
        >>> matches("layouts and not bfloat16", "opt.layouts[float32/strided]")
        True
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    if not tokens:
        return True
    value, rest = _either(tokens, text, expression)
    if rest:
        raise _unreadable(expression, rest[0])
    return value


def _either(tokens: list[str], text: str, whole: str) -> tuple[bool, list[str]]:
    value, rest = _both(tokens, text, whole)
    while rest and rest[0] == "or":
        other, rest = _both(rest[1:], text, whole)
        value = value or other
    return value, rest


def _both(tokens: list[str], text: str, whole: str) -> tuple[bool, list[str]]:
    value, rest = _one(tokens, text, whole)
    while rest and rest[0] == "and":
        other, rest = _one(rest[1:], text, whole)
        value = value and other
    return value, rest


def _one(tokens: list[str], text: str, whole: str) -> tuple[bool, list[str]]:
    if not tokens:
        raise _unreadable(whole, "its end")
    head, rest = tokens[0], tokens[1:]
    if head == "not":
        value, rest = _one(rest, text, whole)
        return not value, rest
    if head == "(":
        value, rest = _either(rest, text, whole)
        if not rest or rest[0] != ")":
            raise _unreadable(whole, "a missing )")
        return value, rest[1:]
    if head in (")", "and", "or"):
        raise _unreadable(whole, head)
    return head.lower() in text.lower(), rest


def _unreadable(expression: str, at: str) -> UsageError:
    return UsageError(f"-k {expression!r} cannot be read at {at}: use names joined by and, or, not and parentheses.")
