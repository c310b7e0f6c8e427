"""Writes the Triton kernel of a scheduler's rule, which counts epochs and writes the rate of every group.

It needs no torch. Every program counts for itself, so that none reads a number that another is about to write.
"""

from __future__ import annotations

import functools
import linecache
from types import ModuleType
from typing import Any

import triton
import triton.language as tl

from ..lang import for_triton
from ..triton_kernels import _listed

BLOCK = 128


def kernel_source(schedule: Any) -> str:
    """Text of a schedule's kernel, `rates_kernel`.

    Its arguments: int64 [groups] addresses of the rates and, of the momenta, None or as many; int64 [programs] the
    epoch of each program; float64 [groups] base rates, and the curve's rates of the epoch before; float64 [columns,
    groups]; float64 [shared], and the tolerance after those; float64 [epochs, row] or [epochs, groups, row], from epoch
    `span` begins at, of which it has so many; `stride` from an epoch to the next and `wide` from a group to the next.
    """
    names = (*schedule.row, *schedule.columns, *schedule.shared)
    loads = [
        f"    {name} = tl.load(rows + index * stride + group * wide + {place}, mask=present, other=1.0)\n"
        for place, name in enumerate(schedule.row)
    ]
    loads += [
        f"    {name} = tl.load(columns + {place} * groups + group, mask=present, other=1.0)\n"
        for place, name in enumerate(schedule.columns)
    ]
    loads += [f"    {name} = tl.load(shared + {place})\n" for place, name in enumerate(schedule.shared)]
    results = ", ".join(schedule.results)
    arguments = _listed(("epoch", "base", "current", "previous", *names), 8)
    closed = _listed(("epoch", "base", "previous", "previous", *names), 8)
    ignored = ", ".join(["closed", "unused"][: len(schedule.results)])
    momentum = ""
    if len(schedule.results) > 1:
        momentum = """    if momenta is not None:
        place = tl.load(momenta + group, mask=present, other=0).to(tl.pointer_type(MOMENTUM))
        tl.store(place, (zero + momentum).to(MOMENTUM), mask=present)
"""
    return f'''"""The Triton kernel of the schedule {schedule.name!r}, written by triton_rates.kernel_source."""

@triton.jit(do_not_specialize=["stride", "wide", "groups"])
def rates_kernel(
    rates, momenta, counters, base_rates, last_rates, columns, shared, rows, span, stride: tl.int64, wide: tl.int64,
    groups: tl.int64, RATE: tl.constexpr, MOMENTUM: tl.constexpr, BLOCK: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    present = group < groups
    zero = tl.zeros([BLOCK], tl.float64)
    count = tl.load(counters + tl.program_id(0)) + 1
    tl.store(counters + tl.program_id(0), count)
    epoch = zero + count.to(tl.float64)
    index = tl.minimum(count - tl.load(span), tl.load(span + 1) - 1)
    pointer = tl.load(rates + group, mask=present, other=0).to(tl.pointer_type(RATE))
    current = tl.load(pointer, mask=present, other=1.0).to(tl.float64)
    base = tl.load(base_rates + group, mask=present, other=1.0)
    previous = tl.load(last_rates + group, mask=present, other=1.0)
{"".join(loads)}    tolerance = tl.load(shared + {len(schedule.shared)})
    current = tl.where(tl.abs(current - previous) <= tolerance * tl.abs(previous), previous, current)
    {results} = rate(
        {arguments}
    )
    {ignored} = rate(
        {closed}
    )
    tl.store(pointer, (zero + lr).to(RATE), mask=present)
    tl.store(last_rates + group, zero + closed, mask=present)
{momentum}'''


@functools.cache
def rates_kernel(schedule: Any) -> Any:
    """The kernel of a schedule, made once."""
    source = kernel_source(schedule)
    module = ModuleType(f"{__package__}.rates_of_{schedule.name}")
    module.__dict__.update(triton=triton, tl=tl, rate=for_triton(schedule.rate))
    # Triton reads a kernel's source through inspect, which finds it in linecache.
    file = f"<{module.__name__}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    return module.rates_kernel
