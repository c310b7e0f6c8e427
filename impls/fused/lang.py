"""The language of update rules: the operations they may use, the decorator, and the record a backend compiles.

A rule is an ordinary Python function of scalars. It can be called as it stands, on Python floats; `numba_backend`
compiles its source for the CPU, and `triton_backend` compiles the same source for a GPU through `for_triton`.
Importing this module imports neither compiler.

What a rule may hold: assignments to names, `if` over flags, arithmetic and comparison operators, literals that float32
holds exactly (Triton makes all of them float32), the operations below, and one `return` of a fixed number of names at
its end.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class constexpr:
    """Annotates a flag: a constant while the rule is compiled."""


def where(condition: Any, first: Any, second: Any) -> Any:
    """`first` where the condition holds, else `second`; both are evaluated."""
    return first if condition else second


def sqrt(value: Any) -> Any:
    """Square root, correctly rounded on every backend (`tl.sqrt` is an approximation in float32)."""
    return math.nan if value < 0 else math.sqrt(value)


def div(numerator: Any, denominator: Any) -> Any:
    """Quotient, correctly rounded on every backend (`/` in Triton is an approximation in float32)."""
    if denominator != 0:
        return numerator / denominator
    if numerator == 0 or math.isnan(numerator) or math.isnan(denominator):
        return math.nan
    return math.copysign(math.inf, numerator) * math.copysign(1.0, denominator)


def maximum(first: Any, second: Any) -> Any:
    """The larger of two, NaN where either is NaN (`tl.maximum` drops it)."""
    if math.isnan(first) or math.isnan(second):
        return math.nan
    return first if first > second else second


def minimum(first: Any, second: Any) -> Any:
    """The smaller of two, NaN where either is NaN (`tl.minimum` drops it)."""
    if math.isnan(first) or math.isnan(second):
        return math.nan
    return first if first < second else second


def absolute(value: Any) -> Any:
    """Magnitude; NaN stays NaN."""
    return math.fabs(value)


def sign(value: Any) -> Any:
    """1.0, -1.0 or, for zeros and NaN as in torch, 0.0."""
    return float(value > 0) - float(value < 0)


def power(base: Any, exponent: Any) -> Any:
    """`base**exponent` for base >= 0. Float64, for `prepare`."""
    return math.pow(base, exponent)


def stored_product(stored: Any, factor: Any, storage: Any) -> Any:
    """The product as torch rounds it where the first factor is a 0-d tensor of this dtype, which it overwrites.

    torch takes the second factor in float32, or in float64 for a tensor of float64. On numbers: not rounded.
    """
    return stored * factor


def expm1(value: Any) -> Any:
    """`exp(value) - 1` without cancellation near zero. Float64, for `prepare`."""
    return math.expm1(value)


def log(value: Any) -> Any:
    """Natural logarithm, minus infinity at zero. Float64, for `prepare`."""
    if value > 0:
        return math.log(value)
    return -math.inf if value == 0 else math.nan


def sin(value: Any) -> Any:
    """Sine of an angle of at most a right one, up or down. Float64, for rates."""
    return math.sin(value)


def floor(value: Any) -> Any:
    """The largest whole number that is not greater. Float64, for rates."""
    return float(math.floor(value))


OPERATIONS: tuple[Callable[..., Any], ...] = (
    where, sqrt, div, maximum, minimum, absolute, sign, power, expm1, log, stored_product, sin, floor,
)  # fmt: skip


def rule(function: Function) -> Function:
    """Mark a function as written in this language. It stays callable; backends compile its source."""
    function.__optbench_rule__ = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True, eq=False)
class Rule:
    """One elementwise algorithm: what is computed once a tensor, and what is computed once an element.

    Args:
        name: the algorithm's name.
        prepare: `(step, *tensor_state, *hyper, *FLAGS) -> (*scalars, *tensor_state)`, all float64; `step` is the number
            of this step, counted from 1. With `tensor_state`, a last argument STORED stands for its dtype.
        update: `(param, grad, *state, *scalars, *FLAGS) -> (param, *state)` for one element, in the working type:
            float32 for 16- and 32-bit storage, float64 for 64-bit storage.
        state: names of the state tensors, in the order of `update`.
        hyper: names of the hyperparameters that `prepare` takes.
        scalars: names of what `prepare` returns.
        flags: names of the constants that specialise both functions.
        optional: state that exists only under a flag. Absent, it is passed as 0.0 and neither loaded nor stored.
        tensor_state: names of the 0-d state tensors other than `step`, which `prepare` reads and overwrites.
        read_if: state that is only written where this scalar of its tensor is 0; it is then passed as 0.0.
        wide: state that is stored in the working type, whatever the storage of the other arrays is.
        stores_step: whether the state holds a `step` tensor. Without one, `prepare` sees 1.0 on a tensor's first step
            and 2.0 on every later one.
    """

    name: str
    prepare: Callable[..., Any]
    update: Callable[..., Any]
    state: tuple[str, ...]
    hyper: tuple[str, ...]
    scalars: tuple[str, ...]
    flags: tuple[str, ...]
    optional: Mapping[str, str] = field(default_factory=dict)
    tensor_state: tuple[str, ...] = ()
    read_if: Mapping[str, str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    stores_step: bool = True

    def present(self, flags: tuple[int, ...]) -> tuple[bool, ...]:
        """For each name in `state`, whether it exists under these flags."""
        values = dict(zip(self.flags, flags, strict=True))
        return tuple(bool(values[self.optional[name]]) if name in self.optional else True for name in self.state)


@functools.cache
def for_triton(function: Callable[..., Any]) -> Any:
    """The same function as a `triton.jit` function, its operations replaced by Triton's. Needs Triton.

    Triton resolves names in a function's globals, so the function is cloned with globals of its own; the source stays
    one.
    """
    import triton
    import triton.language

    from . import triton_lang

    replaced = {id(operation): getattr(triton_lang, operation.__name__) for operation in OPERATIONS}
    replaced[id(constexpr)] = triton.language.constexpr
    namespace = {name: replaced.get(id(value), value) for name, value in function.__globals__.items()}
    # Triton's interpreter looks for the language module among a function's globals.
    namespace["tl"] = triton.language
    clone = types.FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
    clone.__module__ = function.__module__
    clone.__qualname__ = function.__qualname__
    clone.__annotations__ = dict(function.__annotations__)
    clone.__doc__ = function.__doc__
    return triton.jit(clone)
