"""Numbers and verdicts as a reader wants them."""

from __future__ import annotations

import math
import re
from typing import Any

NONE = "–"

# A symbol beside every colour, and the word for it.
VERDICTS = {
    "pass": ("✓", "kept"),
    "fail": ("✗", "broken"),
    "error": ("!", "raised an error"),
    "crash": ("‼", "crashed or hung"),
    "precision": ("~", "less precise than it could be; reported, not failed"),
    "xfail": ("(✗)", "broken, as its owner declares"),
    "xpass": ("(✓)", "kept, although its owner declares it broken"),
    "skip": ("–", "skipped, with a reason"),
}
TIMING = {"faster": "▲", "slower": "▼", "same": "=", "unsure": "?"}


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, with an exponent only where nothing else fits."""
    if value is None:
        return NONE
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text and places > 1 else text


def microseconds(seconds: float | None) -> str:
    return NONE if seconds is None else number(seconds * 1e6)


def gigabytes(bytes_per_second: float | None) -> str:
    return NONE if bytes_per_second is None else number(bytes_per_second / 1e9)


def percent(fraction: float | None) -> str:
    return NONE if fraction is None else f"{100 * fraction:.0f}%" if fraction >= 0.1 else f"{100 * fraction:.1f}%"


def size(count: float | None) -> str:
    """Bytes in binary units."""
    if count is None:
        return NONE
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{number(count / unit)} {name}"
    return f"{number(count)} B"


def elements(count: int) -> str:
    """Elements in powers of 1,024, as workloads are named: 16M is 2**24."""
    for unit, name in ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if count >= unit:
            return f"{count / unit:.4g}{name}"
    return str(count)


def times(ratio: float | None) -> str:
    """A ratio with two decimals below ten, three digits above: 1.24×, 12.4×."""
    if ratio is None:
        return NONE
    return f"{ratio:.2f}×" if math.isfinite(ratio) and 0.1 <= ratio < 10 else f"{number(ratio)}×"


def interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"{times(low)[:-1]}–{times(high)[:-1]}"


def slug(*parts: str) -> str:
    """An anchor from words, safe in HTML and in a URL."""
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-") or "x" for part in parts)


def short(name: str, width: int = 19) -> str:
    """A name that fits beside a bar: of foreign code the class alone, of anything long its end."""
    last = name.rpartition(":")[2] or name
    return last if len(last) <= width else "…" + last[1 - width :]


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def options(values: dict[str, Any]) -> str:
    """Hyperparameters that differ from the defaults, in one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
