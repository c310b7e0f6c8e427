"""Write the Triton kernels of one rule: a launch that prepares scalars, and a launch that updates every element once.

A kernel must name each array and scalar of its rule, because Triton 3.6 takes neither `*FLAGS` of a constexpr tuple nor a
return arity chosen by a flag. So the kernels of a rule are text, made from its `Rule` record around the rule's own
source, and compiled from there; `kernel_source` returns the text. Nothing here needs torch.

Tables are int64 and row-major, [rows, tensors]: one row of pointers per array (param, grad, then the rule's state), then
the element counts, then the pointers of the steps.
"""

import inspect
import linecache
from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import triton
import triton.language as tl

if TYPE_CHECKING:
    from .lang import Rule

# Threads of one program, whatever the width of a warp, and elements of one program by bytes of storage. A thread then
# holds eight elements of every array (four of float64), two 16-byte loads in flight per array for 32- and 64-bit storage and one
# for 16-bit: enough bytes in flight at the 56 to 90 registers that ptxas reports, and small tensors still fill the GPU.
THREADS = 128
ELEMENTS = {2: 1024, 4: 1024, 8: 512}
PREPARED = 128

# Plain arithmetic, as written in the rule: an element's result is then the same in the interpreter and on every GPU.
OPTIONS = {"enable_fp_fusion": False}

RESERVED = frozenset(
    "table block_map scalar_table grad_scale found_inf tensors tensor start offset numel live unscale lr_table hyper_table present"
    " step_pointer".split()
)


@triton.jit
def load_pointer(table, row: tl.constexpr, tensor, tensors, STORAGE: tl.constexpr, ALIGNED: tl.constexpr):
    """Read a tensor's data pointer; a pointer from memory carries no alignment until it is declared."""
    pointer = tl.load(table + row * tensors + tensor).to(tl.pointer_type(STORAGE))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    return pointer


@triton.jit
def load_block(pointer, offset, numel, WORK: tl.constexpr, MASKED: tl.constexpr):
    """Load one block in the working type. Storage of uint16 is bfloat16 by its bits, for the interpreter."""
    if MASKED:
        value = tl.load(pointer + offset, mask=offset < numel, other=0)
    else:
        value = tl.load(pointer + offset)
    if value.dtype == tl.uint16:
        return (value.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    return value.to(WORK)


@triton.jit
def store_block(pointer, offset, numel, value, MASKED: tl.constexpr):
    """Round one block to its storage type, once, and store it."""
    if pointer.dtype.element_ty == tl.uint16:
        bits = value.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        value = tl.where(value == value, rounded, 0x7FC0)
    value = value.to(pointer.dtype.element_ty)
    if MASKED:
        tl.store(pointer + offset, value, mask=offset < numel)
    else:
        tl.store(pointer + offset, value)


@triton.jit
def load_scalar(scalar_table, index: tl.constexpr, value, tensor, tensors, WORK: tl.constexpr):
    """Read one scalar of a tensor from the table, or from the launch's arguments when all tensors share them."""
    if scalar_table is None:
        return tl.full((), value, tl.float64).to(WORK)
    else:
        return tl.load(scalar_table + index * tensors + tensor)


class Kernels(NamedTuple):
    """The two launches of a rule, as `triton.jit` made them."""

    prepare: Any
    update: Any


def _lines(template: str, names: Iterable[str]) -> str:
    return "".join(template.format(name=name, index=index) for index, name in enumerate(names))


def _rule_text(function: Callable[..., object], name: str) -> str:
    """Return a rule's source under `name`, without its decorator and at the margin."""
    lines, _ = inspect.getsourcelines(inspect.unwrap(function))
    lines = inspect.cleandoc("".join(lines)).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("def "))
    header = lines[first]
    lines[first] = f"def {name}" + header[header.index("(") :]
    return "@triton.jit\n" + "\n".join(lines[first:]) + "\n"


def _loads(rule: "Rule") -> str:
    text = ""
    for name in ("param", "grad", *rule.state):
        load = f"{name} = load_block({name}_pointer, offset, numel, WORK, MASKED)\n"
        flag = rule.optional.get(name)
        text += f"    {name} = 0.0\n    if {flag}:\n        {load}" if flag else f"    {load}"
        if name == "grad":
            text += "    if SCALED:\n        grad = grad * unscale\n"
    return text


def _stores(rule: "Rule") -> str:
    text = ""
    for name in ("param", *rule.state):
        store = f"store_block({name}_pointer, offset, numel, {name}, MASKED)\n"
        flag = rule.optional.get(name)
        text += f"    if {flag}:\n        {store}" if flag else f"    {store}"
    return text


def kernel_source(rule: "Rule") -> str:
    """Return the text of a rule's kernels: `prepare_kernel` and `update_kernel`.

    Args:
        rule: the record of the rule.

    Raises:
        ValueError: the rule uses a name that the kernels need for themselves.

    Example:
        >>> "def update_kernel(" in kernel_source(RULE)
        True
    """
    arrays = ("param", "grad", *rule.state)
    taken = RESERVED.intersection((*arrays, *rule.hyper, *rule.scalars))
    if taken:
        raise ValueError(f"rule {rule.name!r} names {sorted(taken)}, which its kernels use for themselves: rename them")
    pointers = ", ".join(f"{name}_pointer" for name in arrays)
    scalars, states, hyper, flags = map(", ".join, (rule.scalars, rule.state, rule.hyper, rule.flags))
    typed_flags = "".join(f"{flag}: tl.constexpr, " for flag in rule.flags)
    results = ", ".join(("param", *rule.state))
    return f'''"""Triton kernels of the rule {rule.name!r}, written by optbench.impls.fused.triton_kernels."""

import triton
import triton.language as tl
from triton.language import constexpr

from .lang import div, expm1, log, maximum, sqrt, where
from .triton_kernels import load_block, load_pointer, load_scalar, store_block


{_rule_text(rule.prepare, "prepare")}

{_rule_text(rule.update, "update")}

@triton.jit
def prepare_kernel(
    table, hyper_table, lr_table, found_inf, scalar_table, tensors,
    {typed_flags}
    STEP: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):
    tensor = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = tensor < tensors
    step_pointer = tl.load(table + {len(arrays) + 1} * tensors + tensor, mask=present, other=0).to(tl.pointer_type(STEP))
    step = tl.load(step_pointer, mask=present, other=0.0).to(tl.float64) + 1.0
{_lines("    {name} = tl.load(hyper_table + {index} * tensors + tensor, mask=present, other=0.5)", rule.hyper)}
'''
