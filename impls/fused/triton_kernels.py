"""Writes the Triton kernels of a rule: one launch prepares scalars, one launch updates every element of every tensor.

A kernel names each array and scalar of its rule, because Triton 3.6 takes neither `*FLAGS` of a constexpr tuple nor a
return arity chosen by a flag. So a rule's kernels are text written around calls of the rule; `kernel_source` shows it.
What does not depend on the rule stands here as functions. Nothing in this module needs torch.

The launches read a table of int64 records, one a tensor: an address per array (param, grad, then the rule's state),
the number of elements, the address of the step (without stored steps, the bits of its float64 number), and those of
other 0-d state.
"""

# Triton reads a kernel's annotations as part of its language, so kernels have none but Triton's.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import functools
import linecache
import textwrap
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget

from .lang import Rule, for_triton
from .triton_lang import narrow, widen

# Threads of a program on every GPU, and elements of a program by bytes of storage: a thread holds 8 elements of each
# array (4 in float64), so two 16-byte loads per array are in flight (one for 16-bit storage). ptxas reports 56 to 90
# registers, which leaves room for five programs on a multiprocessor: with Adam, some 80 KB on their way from memory,
# where 20 KB would hide its latency. A tensor of 1,024 elements is one unmasked program. Tensors that are not aligned
# are walked element by element, each with an address of its own in registers, so their blocks are smaller.
THREADS = 128
_BLOCK_BY_ITEMSIZE = {2: 1024, 4: 1024, 8: 512}
PREPARE_BLOCK = 128

# What the kernels call their own; a rule may use none of these.
_OWN_NAMES = frozenset({
    "table", "block_map", "scalar_table", "hyper_table", "lr_tensor", "grad_scale", "found_inf", "tensors", "tensor",
    "record", "present", "start", "offset", "numel", "live", "unscale", "number", "pointer", "scalars", "zero",
})  # fmt: skip


@triton.jit
def load_pointer(address, STORAGE: tl.constexpr, ALIGNED: tl.constexpr):
    """Read a pointer from a record. Its alignment is unknown to the compiler until declared."""
    pointer = tl.load(address).to(tl.pointer_type(STORAGE))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    return pointer


@triton.jit
def load_block(pointer, offset, numel, wanted, WORK: tl.constexpr, MASKED: tl.constexpr):
    """Load elements in the working type; zeros instead where they are not wanted, which None says they are."""
    if wanted is not None:
        # One answer for all elements, so that their loads can be as wide as without a mask.
        mask = tl.full(offset.shape, wanted, WORK) != 0.0
        value = tl.load(pointer + offset, mask=mask & (offset < numel) if MASKED else mask, other=0)
    else:
        value = tl.load(pointer + offset, mask=offset < numel, other=0) if MASKED else tl.load(pointer + offset)
    return widen(value).to(WORK)


@triton.jit
def store_block(pointer, offset, numel, value, MASKED: tl.constexpr):
    """Round elements to their storage type, once, and store them."""
    value = narrow(value, pointer.dtype.element_ty)
    if MASKED:
        tl.store(pointer + offset, value, mask=offset < numel)
    else:
        tl.store(pointer + offset, value)


@triton.jit
def load_scalar(scalar_table, index, value, WORK: tl.constexpr):
    """One scalar of a tensor: from its table or, when all tensors share it, from the launch's arguments."""
    return tl.full((), value, tl.float64).to(WORK) if scalar_table is None else tl.load(scalar_table + index)


def _guarded(rule: Rule, name: str, statement: str, otherwise: str = "") -> str:
    """A statement on an array, under the flag by which the array exists."""
    flag = rule.optional.get(name)
    if flag is None:
        return f"    {statement}\n"
    return f"{otherwise}    if {flag}:\n        {statement}\n"


def _listed(names: Iterable[str], indent: int = 4, kind: str = "") -> str:
    """Names as arguments, or as parameters of a kind, over as many lines as they need."""
    # A no-break space keeps a name and its kind on one line.
    text = ", ".join(f"{name}:\xa0{kind}" if kind else name for name in names)
    return f"\n{' ' * indent}".join(textwrap.wrap(text, 116 - indent)).replace("\xa0", " ") + ","


def _update_source(rule: Rule) -> str:
    results = ("param", *rule.state)
    arrays = ("param", "grad", *rule.state)
    pointers = [f"{name}_pointer" for name in arrays]
    loads = [
        _guarded(
            rule,
            name,
            f"{name} = load_block({name}_pointer, offset, numel, {rule.read_if.get(name)}, WORK, MASKED)",
            f"    {name} = 0.0\n",
        )
        for name in arrays
    ]
    stores = [_guarded(rule, name, f"store_block({name}_pointer, offset, numel, {name}, MASKED)") for name in results]
    stored = ["WORK" if name in rule.wide else "STORAGE" for name in arrays]
    addresses = [
        f"    {name} = load_pointer(record + {row}, {kind}, ALIGNED)\n"
        for row, (name, kind) in enumerate(zip(pointers, stored, strict=True))
    ]
    scalars = [
        f"    {name} = load_scalar(scalar_table, tensor * {len(rule.scalars)} + {column}, {name}, WORK)\n"
        for column, name in enumerate(rule.scalars)
    ]
    arguments = _listed((*pointers, "offset", "numel", "unscale", *rule.scalars, *rule.flags, "WORK", "SCALED"), 16)
    return f"""
@triton.jit
def update_block(
    {_listed((*pointers, "offset", "numel", "unscale", *rule.scalars))}
    {_listed((*rule.flags, "WORK", "SCALED", "MASKED"), kind="tl.constexpr")}
):
{"".join(loads)}    if SCALED:
        grad = grad * unscale
    {", ".join(results)} = update(
        {_listed((*arrays, *rule.scalars, *rule.flags), 8)}
    )
{"".join(stores)}

@triton.jit(do_not_specialize_on_alignment=["grad_scale", "found_inf"])
def update_kernel(
    table, block_map, scalar_table, grad_scale, found_inf,
    {_listed(rule.scalars, kind="tl.float64")}
    {_listed((*rule.flags, "STORAGE", "WORK", "BLOCK", "ALIGNED"), kind="tl.constexpr")}
):
    tensor = tl.load(block_map + 2 * tl.program_id(0)).to(tl.int64)
    start = tl.load(block_map + 2 * tl.program_id(0) + 1).to(tl.int64) * BLOCK
    record = table + tensor * {record_length(rule)}
{"".join(addresses)}    numel = tl.load(record + {len(arrays)})
{"".join(scalars)}    SCALED: tl.constexpr = grad_scale is not None
    unscale = 1.0
    if SCALED:
        unscale = (1.0 / tl.load(grad_scale).to(tl.float64)).to(tl.float32).to(WORK)
    live = True
    if found_inf is not None:
        live = tl.load(found_inf) == 0.0
    if live:
        offset = start + tl.arange(0, BLOCK)
        if start + BLOCK <= numel:
            update_block(
                {arguments} MASKED=False,
            )
        else:
            update_block(
                {arguments} MASKED=True,
            )
"""


def _prepare_source(rule: Rule) -> str:
    hyper = [
        f"    {name} = tl.load(hyper_table + tensor * {len(rule.hyper)} + {column}, mask=present, other=0.5)\n"
        for column, name in enumerate(rule.hyper)
    ]
    loads = [
        f"    {name}_pointer = tl.load(record + {place}, mask=present, other=0).to(tl.pointer_type(STORED))\n"
        f"    {name} = widen(tl.load({name}_pointer, mask=present, other=0)).to(tl.float64)\n"
        for place, name in enumerate(rule.tensor_state, start=4 + len(rule.state))
    ]
    results = [
        f"    tl.store(scalars + {column}, (zero + {name}).to(WORK), mask=present)\n"
        for column, name in enumerate(rule.scalars)
    ]
    stores = [
        f"        tl.store({name}_pointer, narrow(zero + {name}, STORED), mask=present)\n" for name in rule.tensor_state
    ]
    guarded = "".join(["    if live:\n", *stores]) if stores else ""
    flags = (*rule.flags, *["STORED"] * bool(rule.tensor_state))
    return f"""
@triton.jit(do_not_specialize=["tensors"], do_not_specialize_on_alignment=["lr_tensor", "found_inf"])
def prepare_kernel(
    table, hyper_table, lr_tensor, found_inf, scalar_table, tensors,
    {_listed((*rule.flags, "STEP", "STORED", "WORK", "BLOCK"), kind="tl.constexpr")}
):
    tensor = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    present = tensor < tensors
    zero = tl.zeros([BLOCK], tl.float64)
    record = table + tensor * {record_length(rule)}
    number = tl.load(record + {3 + len(rule.state)}, mask=present, other=0)
    live = True
    if found_inf is not None:
        live = tl.load(found_inf) == 0.0
    if STEP is None:
        step = number.to(tl.float64, bitcast=True)
    else:
        pointer = number.to(tl.pointer_type(STEP))
        step = tl.load(pointer, mask=present, other=0.0).to(tl.float64) + 1.0
        if live:
            tl.store(pointer, step.to(STEP), mask=present)
{"".join(loads)}{"".join(hyper)}    if lr_tensor is not None:
        lr = zero + tl.load(lr_tensor).to(tl.float64)
    {", ".join((*rule.scalars, *rule.tensor_state))} = prepare(
        {_listed(("step", *rule.tensor_state, *rule.hyper, *flags), 8)}
    )
    scalars = scalar_table + tensor * {len(rule.scalars)}
{"".join(results)}{guarded}"""


def compile_options(target: GPUTarget) -> dict[str, Any]:
    """How to compile the kernels for a GPU."""
    # No contraction into fused multiply-adds: the rule's arithmetic is then the same on every GPU, in the interpreter
    # and on a CPU. The kernels wait for memory, so this costs no time.
    options: dict[str, Any] = {"num_warps": THREADS // target.warp_size, "enable_fp_fusion": False}
    if target.backend == "cuda":
        # Left to itself, ptxas saves registers around its float64 division in local memory well below this number.
        options["maxnreg"] = 128
    return options


def block_size(itemsize: int, aligned: bool) -> int:
    """Elements of one program, by bytes of an element and whether the tensors are 16-byte aligned."""
    return _BLOCK_BY_ITEMSIZE[itemsize] // (1 if aligned else 2)


def record_length(rule: Rule) -> int:
    """How many int64 a tensor's record holds."""
    return 4 + len(rule.state) + len(rule.tensor_state)


def kernel_source(rule: Rule) -> str:
    """Return the text of a rule's kernels, `update_kernel` and `prepare_kernel`.

    Args:
        rule: what to compute. Its functions are called by the names `update` and `prepare`.

    Raises:
        ValueError: the rule uses a name that the kernels need.

    Example:
        >>> "def update_kernel(" in kernel_source(RULE)
        True
    """
    taken = _OWN_NAMES.intersection((*rule.state, *rule.tensor_state, *rule.hyper, *rule.scalars))
    if taken:
        names = ", ".join(sorted(taken))
        raise ValueError(f"rule {rule.name!r} uses names that its kernels need: {names}; rename them")
    title = f'"""Triton kernels of the rule {rule.name!r}, written by triton_kernels.kernel_source."""\n'
    return f"{title}\n{_update_source(rule)}\n{_prepare_source(rule)}"


@functools.cache
def kernels(rule: Rule) -> ModuleType:
    """The rule's kernels as a module with `update_kernel` and `prepare_kernel`, made once a rule."""
    source = kernel_source(rule)
    module = ModuleType(f"{__package__}.kernels_of_{rule.name}")
    module.__dict__.update(
        triton=triton, tl=tl, update=for_triton(rule.update), prepare=for_triton(rule.prepare),
        load_pointer=load_pointer, load_block=load_block, store_block=store_block, load_scalar=load_scalar,
        widen=widen, narrow=narrow,
    )  # fmt: skip
    # Triton reads a kernel's source through inspect, which finds it in linecache.
    file = f"<{module.__name__}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    return module


def flag_values(rule: Rule, flags: Sequence[int]) -> dict[str, bool]:
    """The flags as a kernel takes them, by name."""
    return {name: bool(value) for name, value in zip(rule.flags, flags, strict=True)}
