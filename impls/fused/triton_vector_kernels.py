"""L-BFGS's passes over flat vectors as Triton kernels. Nothing in this module needs torch.

A program takes one chunk of the vectors. Vectors come as addresses.
"""

# Triton reads a kernel's annotations as part of its language, so kernels have none but Triton's.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from .triton_lang import narrow, widen

BLOCK = 512


@triton.jit
def load(address, offset, mask, STORAGE: tl.constexpr, WORK: tl.constexpr):
    return widen(tl.load(address.to(tl.pointer_type(STORAGE)) + offset, mask=mask, other=0)).to(WORK)


@triton.jit
def store(address, offset, value, mask, STORAGE: tl.constexpr):
    tl.store(address.to(tl.pointer_type(STORAGE)) + offset, narrow(value, STORAGE), mask=mask)


@triton.jit
def load_number(address, STORAGE: tl.constexpr):
    return widen(tl.load(address.to(tl.pointer_type(STORAGE)))).to(tl.float64)


@triton.jit(do_not_specialize=["vector", "grad", "added", "following", "ro", "al", "scale", "length", "size", "chunks"])
def advance_kernel(
    vector: tl.int64, grad: tl.int64, added: tl.int64, following: tl.int64, ro: tl.int64, al: tl.int64,
    scale: tl.int64, before, after, length: tl.int64, size: tl.int64, chunks: tl.int64, LOOP: tl.constexpr,
    STORAGE: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0).to(tl.int64) * size
    stop = tl.minimum(start + size, length)
    factor = tl.zeros((), tl.float64)
    by = tl.full((), 1.0, WORK)
    if LOOP > 0:
        sums = tl.zeros([BLOCK], tl.float64)
        for first in range(0, chunks, BLOCK):
            other = first + tl.arange(0, BLOCK)
            sums += tl.load(before + other, mask=other < chunks, other=0.0)
        factor = load_number(ro, STORAGE) * tl.sum(sums, axis=0)
    if LOOP == 1:
        # All programs find and store the same number; each goes on with what it would read back.
        rounded = narrow(factor.to(WORK), STORAGE)
        tl.store(al.to(tl.pointer_type(STORAGE)), rounded)
        factor = -widen(rounded).to(tl.float64)
        if scale != 0:
            by = load_number(scale, STORAGE).to(WORK)
    if LOOP == 2:
        factor = load_number(al, STORAGE) - factor
    total = tl.zeros([BLOCK], tl.float64)
    for place in range(start, stop, BLOCK):
        offset = place + tl.arange(0, BLOCK)
        mask = offset < stop
        if LOOP == 0:
            q = -load(grad, offset, mask, STORAGE, WORK)
        else:
            q = load(vector, offset, mask, STORAGE, WORK)
            q = (q + factor.to(WORK) * load(added, offset, mask, STORAGE, WORK)) * by
        store(vector, offset, q, mask, STORAGE)
        total += q.to(tl.float64) * load(following, offset, mask, STORAGE, tl.float64)
    tl.store(after + tl.program_id(0), tl.sum(total, axis=0))


@triton.jit(do_not_specialize=["grad", "previous", "direction", "change", "move", "length", "size", "chunks"])
def remember_kernel(
    grad: tl.int64, previous: tl.int64, direction: tl.int64, change: tl.int64, move: tl.int64, rate, sums,
    length: tl.int64, size: tl.int64, chunks: tl.int64, STORAGE: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0).to(tl.int64) * size
    stop = tl.minimum(start + size, length)
    t = tl.load(rate).to(WORK)
    product, square = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
    for place in range(start, stop, BLOCK):
        offset = place + tl.arange(0, BLOCK)
        mask = offset < stop
        g = load(grad, offset, mask, STORAGE, WORK)
        y = g - load(previous, offset, mask, STORAGE, WORK)
        s = t * load(direction, offset, mask, STORAGE, WORK)
        store(previous, offset, g, mask, STORAGE)
        store(change, offset, y, mask, STORAGE)
        store(move, offset, s, mask, STORAGE)
        product += y.to(tl.float64) * s.to(tl.float64)
        square += y.to(tl.float64) * y.to(tl.float64)
    tl.store(sums + tl.program_id(0), tl.sum(product, axis=0))
    tl.store(sums + chunks + tl.program_id(0), tl.sum(square, axis=0))
