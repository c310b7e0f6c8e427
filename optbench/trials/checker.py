"""Counts comparisons and keeps the first that failed, with enough said to find it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from optbench.failures.finding import Finding, place
from optbench.runs.results import Verdict
from optbench.trials.error import CANCELLATION_LIMIT, PRECISION_LIMIT, Quantity, real, scaled, worst

EPS = sys.float_info.epsilon
# What a scheduler's rate may differ from its formula's, relative to it.
RATE_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Entry:
    """What a mapping has, or lacks, under a name."""

    of: Mapping[str, Any] = field(repr=False)
    name: str

    @property
    def value(self) -> Any:
        """What it has."""
        return self.of.get(self.name)


@dataclass(frozen=True)
class Failure:
    """A comparison that failed.

    Args:
        what: names the quantity, "step 2, exp_avg of parameter 0".
        message: what is wrong with it.
        actual: what was compared, where that was a tensor, or has a name in a mapping.
        against: what it was compared with, where that is such a thing too.
        index: where in it.
        got, want: the numbers there.
        error: by how much, scaled.
        allowed: how far they may be apart; None: not at all.
        shown: the same fact as an expression over `params`, `optimizer`, and where parameters are views of other
            memory, `memory` and `around`, which is true for what lies around them; in laws about schedulers and
            averages over what their trial made or kept last, `refused`, what the last call raised or None, and
            `told`, the warnings.
        since: of a call that had to raise, or must not: how much was done before it.
        refused, names: the error that it had to raise, and what its message has to contain; empty: none.
    """

    what: str
    message: str
    actual: Tensor | Entry | None = None
    index: tuple[int, ...] | None = None
    got: float | None = None
    want: float | None = None
    error: float | None = None
    allowed: float | None = None
    shown: str = ""
    against: Tensor | Entry | None = None
    since: int | None = None
    refused: str = ""
    names: str = ""

    @property
    def finding(self) -> Finding:
        """Where and by how much, as a record has it."""
        numbers = {"index": None if self.index is None else list(self.index), "got": self.got, "want": self.want}
        return {**place(self.what), **numbers, "error": self.error}


class Checker:
    """What a law tells about one case: every comparison it made, and what came of them.

    Example:
        >>> checker = Checker()
        >>> checker.true("two is two", 1 + 1 == 2)
        >>> checker.verdict, checker.comparisons
        ('pass', 1)
    """

    def __init__(self) -> None:
        self.comparisons = 0
        self.error: float | None = None
        self.cap: float | None = None
        self.failures: list[str] = []
        self.failed = 0
        self.first: Failure | None = None
        # Called at the first failure.
        self.noticed: Callable[[], None] | None = None
        # Tells how much was done so far, where somebody keeps that.
        self.done: Callable[[], int] | None = None
        # What ended the law.
        self.raised: Exception | None = None
        self.imprecise: list[str] = []

    @property
    def verdict(self) -> Verdict:
        """ "fail" if anything failed or nothing was compared, else "precision" or "pass"."""
        if self.failures or not self.comparisons:
            return "fail"
        return "precision" if self.imprecise else "pass"

    @property
    def message(self) -> str:
        """The first failure, and how many came after it."""
        if not self.comparisons and not self.failures:
            return "the law made no comparison"
        lines = self.failures or self.imprecise
        more = (self.failed if self.failures else len(self.imprecise)) - 1
        return (lines[0] + (f" (and {more} more)" if more > 0 else "")) if lines else ""

    def true(self, what: str, fact: bool, detail: str = "", shown: str = "") -> None:
        """A fact that has to hold; `shown` is the same fact as an expression of plain Python."""
        self._holds(fact, Failure(what, "", shown=shown), detail)

    def raises(self, what: str, error: type[Exception] | str, doing: Callable[[], object], names: str = "") -> None:
        """A call that has to raise.

        Args:
            what: names the call, "a set".
            error: the very type, or the name of one of Python's own.
            doing: the call.
            names: text that the message has to contain.

        Raises:
            Unsupported: whatever the call does not support is not judged.
        """
        from optbench.trials.base import Unsupported

        wanted = error if isinstance(error, str) else error.__name__
        shown = f"type(refused).__name__ == {wanted!r}"
        call = Failure(what, "", shown=shown, since=self.done() if self.done else None, refused=wanted, names=names)
        try:
            doing()
        except Unsupported:
            raise
        except Exception as raised:
            kind = type(raised)
            same = kind.__name__ == error and kind.__module__ == "builtins" if isinstance(error, str) else kind is error
            told = f"{kind.__name__}: {raised}"
            self._holds(same, replace(call, what=f"{what} raises {wanted}"), told)
            named = replace(call, what=f"{what}: the message names {names!r}", shown=f"{names!r} in str(refused)")
            self._holds(names in str(raised), named, str(raised))
        else:
            self._holds(False, replace(call, what=f"{what} is refused with {wanted}"), "it was accepted")

    def passes(self, what: str, doing: Callable[[], object]) -> bool:
        """A call that must not raise; whether it did not.

        Raises:
            Unsupported: as `raises`.
        """
        from optbench.trials.base import Unsupported

        call = Failure(what, "", since=self.done() if self.done else None)
        detail = ""
        try:
            doing()
        except Unsupported:
            raise
        except Exception as raised:
            detail = f"{type(raised).__name__}: {raised}"
        self._holds(not detail, call, detail)
        return not detail

    def _holds(self, fact: bool, failure: Failure, detail: str) -> None:
        self.comparisons += 1
        if not fact:
            self._fail(replace(failure, message=f"{failure.what}: {detail or 'it is not so'}"))

    def same(
        self,
        what: str,
        actual: object,
        expected: object,
        *,
        shown: str = "",
        entries: tuple[Entry | None, Entry | None] = (None, None),
    ) -> None:
        """Two plain values that have to be equal; `shown` as for `true`, `entries` where both are from."""
        self.comparisons += 1
        if actual != expected:
            got, want = (float(value) if isinstance(value, (int, float)) else None for value in (actual, expected))
            message = f"{what}: got {actual!r}, want {expected!r}{rounding(got, want)}"
            self._fail(Failure(what, message, entries[0], got=got, want=want, shown=shown, against=entries[1]))

    def equal(self, what: str, actual: Tensor, expected: Tensor, *, shown: str = "") -> None:
        """Two tensors that have to be equal to the last bit, with the same dtype and shape; NaN equals NaN.

        `shown` as for `true`.
        """
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            self.comparisons += 1
            form = f"{what}: got {_kind(actual)}, want {_kind(expected)}"
            self._fail(Failure(what, form, actual, shown=shown, against=expected))
            return
        self.comparisons += max(1, actual.numel())
        dense, wanted = (tensor.detach().to_dense() for tensor in (actual, expected))
        a, b = real(dense).cpu(), real(wanted).cpu()
        wrong = ~((a == b) | (a.isnan() & b.isnan())) if a.is_floating_point() else a != b
        if bool(wrong.any()):
            at = tuple(wrong.nonzero()[0].tolist())
            got, want = a[at].item(), b[at].item()
            message = (f"{what}: {int(wrong.sum())} of {wrong.numel()} elements differ, the first at {list(at)}: "
                       f"got {_apart(got, want)}")  # fmt: skip
            numbers = (float(got), float(want))
            self._fail(Failure(what, message, actual, at, *numbers, shown=shown, against=expected))

    def alike(self, what: str, actual: Mapping[str, object], expected: Mapping[str, object]) -> None:
        """Quantities of the same names, each equal to the last bit."""
        changed = next((name for name in [*expected, *actual] if (name in actual) != (name in expected)), "")
        kept = Failure(f"{what}, what is kept", "", Entry(actual, changed), against=Entry(expected, changed))
        self._holds(not changed, kept, f"{changed} is {'new' if changed in actual else 'gone'}")
        for name in (each for each in expected if each in actual):
            ours, theirs = actual[name], expected[name]
            if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
                self.equal(f"{what}, {name}", ours, theirs)
            else:
                self.same(f"{what}, {name}", ours, theirs, entries=(Entry(actual, name), Entry(expected, name)))

    def close(
        self, what: str, actual: Tensor, quantity: Quantity, dtype: torch.dtype, against: Tensor | None = None,
        *, cancels: bool = True,
    ) -> None:  # fmt: skip
        """A tensor within the cap of the scaled error of the oracle's.

        Args:
            what: names the quantity, "step 2, exp_avg of parameter 0".
            actual: the result under test.
            quantity: the oracle's value and what rounding may do to it.
            dtype: the tested real storage dtype.
            against: what the oracle's value was taken from, where that is another run.
            cancels: whether the rule has differences in which float64 itself may lose digits.
        """
        value = real(actual.detach()).cpu()
        if value.shape != quantity.expected.shape:
            self.comparisons += 1
            shapes = f"shape {list(value.shape)}, want {list(quantity.expected.shape)}"
            self._fail(Failure(what, f"{what}: {shapes}", actual, against=against))
            return
        self.comparisons += max(1, value.numel())
        error = scaled(value, quantity)
        largest = worst(error)
        if self.error is None or largest > self.error:
            self.error, self.cap = largest, quantity.cap
        if cancels and quantity.cap < largest <= CANCELLATION_LIMIT and dtype is torch.float64:
            self.imprecise.append(_worst(what, actual, value, error, quantity).message)
        elif largest > quantity.cap:
            self._fail(replace(_worst(what, actual, value, error, quantity), against=against))
        elif largest > PRECISION_LIMIT:
            self.imprecise.append(
                f"{what}: scaled error {largest:.3g}, where the reference in {dtype} has {quantity.honest:.3g}"
            )

    def near(
        self, what: str, actual: float, expected: float, relative: float = RATE_TOLERANCE, *, shown: str = ""
    ) -> None:
        """A number within a relative distance of another, nothing absolute: zero is met by zero only.

        The error is counted in units of double precision's spacing relative to the expected value.
        """
        self.comparisons += 1
        cap = relative / EPS
        distance = 0.0 if actual == expected else abs(actual - expected)
        error = distance / (EPS * abs(expected)) if expected else (math.inf if distance else 0.0)
        if self.error is None or not error <= self.error:
            self.error, self.cap = error, cap
        if not error <= cap:
            message = f"{what}: got {actual!r}, want {expected!r}{rounding(actual, expected)}"
            allowed = relative * abs(expected)
            self._fail(Failure(what, message, None, None, actual, expected, error, allowed, shown))

    def _fail(self, failure: Failure) -> None:
        self.failed += 1
        if not self.failures:
            self.first = failure
            if self.noticed:
                self.noticed()
            self.failures.append(failure.message)


def rounding(got: float | None, want: float | None) -> str:
    """What a message adds where two unequal numbers of ordinary size differ by what rounding does, and not by more."""
    if got is None or want is None or got == want or not math.isclose(got, want, rel_tol=1e-10, abs_tol=1e-15):
        return ""
    return ", a rounding apart"


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _worst(what: str, actual: Tensor, value: Tensor, error: Tensor, quantity: Quantity) -> Failure:
    ranked = error.nan_to_num(nan=torch.inf, posinf=torch.inf)
    at = tuple(int(i) for i in torch.unravel_index(ranked.argmax(), ranked.shape)) if error.dim() else ()
    wrong = int((ranked > quantity.cap).sum())
    worst_error, got, want = float(ranked[at]), float(value[at]), float(quantity.expected[at])
    message = (
        f"{what}: scaled error {worst_error:.3g} (cap {quantity.cap:.3g}) "
        f"in {wrong} of {error.numel()} elements, worst at {list(at)}: "
        f"got {_apart(got, want)}"
    )
    return Failure(what, message, actual, at, got, want, worst_error, quantity.cap * float(quantity.unit[at]))


def _apart(got: float, want: float) -> str:
    """Two numbers in nine digits, or in as many as tell them apart."""
    short = f"{got:.9g}, want {want:.9g}"
    return short if f"{got:.9g}" != f"{want:.9g}" else f"{got:.17g}, want {want:.17g}"
