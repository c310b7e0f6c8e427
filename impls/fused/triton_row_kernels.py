"""Writes the Triton kernel of the gather launcher for a rule. Nothing in this module needs torch.

The launch reads a table of int64 records, one a tensor: an address per array (param, grad, then the rule's state), the
number of the gradient's elements, the address of the row numbers and the elements of a row.
"""

# Triton reads a kernel's annotations as part of its language, so kernels have none but Triton's.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import functools
import linecache
from types import ModuleType

import triton
import triton.language as tl

from .lang import Rule, for_triton
from .triton_kernels import _guarded, _listed
from .triton_lang import narrow, widen

# Each element has addresses of its own in registers, so a block is smaller than one of flat memory.
ROWS_BLOCK = 512


@triton.jit
def load_places(pointer, places, present, WORK: tl.constexpr):
    """Load elements in the working type."""
    return widen(tl.load(pointer + places, mask=present, other=0)).to(WORK)


@triton.jit
def store_places(pointer, places, present, value):
    """Round elements to their storage type, once, and store them."""
    tl.store(pointer + places, narrow(value, pointer.dtype.element_ty), mask=present)


def rows_record_length(rule: Rule) -> int:
    """How many int64 a tensor's record holds."""
    return 5 + len(rule.state)


def rows_source(rule: Rule) -> str:
    """The text of a rule's kernel, `rows_kernel`. The rule's function is called by the name `update`."""
    arrays, results = ("param", "grad", *rule.state), ("param", *rule.state)
    addresses = [
        f"    {name}_pointer = tl.load(record + {row}).to(tl.pointer_type(STORAGE))\n"
        for row, name in enumerate(arrays)
    ]
    scalars = [
        f"    {name} = tl.load(scalar_table + tensor * {len(rule.scalars)} + {column})\n"
        for column, name in enumerate(rule.scalars)
    ]
    loads = [
        _guarded(
            rule,
            name,
            f"{name} = load_places({name}_pointer, {'element' if name == 'grad' else 'places'}, present, WORK)",
            f"    {name} = 0.0\n",
        )
        for name in arrays
    ]
    stores = [_guarded(rule, name, f"store_places({name}_pointer, places, present, {name})") for name in results]
    return f'''"""Triton kernel of the rule {rule.name!r} on rows, written by triton_row_kernels.rows_source."""

@triton.jit
def rows_kernel(
    table, block_map, scalar_table,
    {_listed((*rule.flags, "STORAGE", "WORK", "BLOCK"), kind="tl.constexpr")}
):
    tensor = tl.load(block_map + 2 * tl.program_id(0)).to(tl.int64)
    start = tl.load(block_map + 2 * tl.program_id(0) + 1).to(tl.int64) * BLOCK
    record = table + tensor * {rows_record_length(rule)}
{"".join(addresses)}    numel = tl.load(record + {len(arrays)})
    rows = tl.load(record + {len(arrays) + 1}).to(tl.pointer_type(tl.int64))
    width = tl.load(record + {len(arrays) + 2})
{"".join(scalars)}    element = start + tl.arange(0, BLOCK)
    present = element < numel
    row = element // width
    places = tl.load(rows + row, mask=present, other=0) * width + (element - row * width)
{"".join(loads)}    {", ".join(results)} = update(
        {_listed((*arrays, *rule.scalars, *rule.flags), 8)}
    )
{"".join(stores)}'''


@functools.cache
def rows_kernel(rule: Rule) -> ModuleType:
    """The rule's kernel as a module with `rows_kernel`, made once a rule."""
    source = rows_source(rule)
    module = ModuleType(f"{__package__}.rows_of_{rule.name}")
    module.__dict__.update(
        triton=triton, tl=tl, update=for_triton(rule.update), load_places=load_places, store_places=store_places,
    )  # fmt: skip
    # Triton reads a kernel's source through inspect, which finds it in linecache.
    file = f"<{module.__name__}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    return module
