"""Adafactor's three launches as Triton kernels. Nothing in this module needs torch.

A program takes one tile: see `tiles`, whose tables the launches read. It walks its slices in blocks of ROWS x COLS.
"""

# Triton reads a kernel's annotations as part of its language, so kernels have none but Triton's.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from .triton_lang import div, narrow, sqrt, widen

# Columns of a tile, and rows of a block of it by bytes of an element: eight elements a thread, four in float64.
COLS = 128
ROWS_BY_ITEMSIZE = {2: 8, 4: 8, 8: 4}


@triton.jit
def load(pointer, offset, mask, WORK: tl.constexpr):
    return widen(tl.load(pointer + offset, mask=mask, other=0)).to(WORK)


@triton.jit
def store(pointer, offset, value, mask):
    tl.store(pointer + offset, narrow(value, pointer.dtype.element_ty), mask=mask)


@triton.jit
def at(record, COLUMN: tl.constexpr, KIND: tl.constexpr):
    return tl.load(record + COLUMN).to(tl.pointer_type(KIND))


@triton.jit
def at_least(value, least):
    """The larger of two, but NaN where the value is."""
    return tl.where(value < least, least, value)


@triton.jit
def sums_kernel(tensors, tiles, totals, STORAGE: tl.constexpr, WORK: tl.constexpr, ROWS: tl.constexpr,
                COLS: tl.constexpr):  # fmt: skip
    tile = tiles + tl.program_id(0).to(tl.int64) * 9
    record = tensors + tl.load(tile) * 17
    param, grad = at(record, 0, STORAGE), at(record, 1, STORAGE)
    rows, cols = tl.load(record + 4), tl.load(record + 5)
    row_parts, col_parts = tl.load(record + 9), tl.load(record + 10)
    row_sums, col_sums = at(record, 11, tl.float64), at(record, 12, tl.float64)
    first_row, end_row, first_col, end_col = tl.load(tile + 3), tl.load(tile + 4), tl.load(tile + 5), tl.load(tile + 6)
    total = tl.zeros([ROWS, COLS], WORK)
    if tl.load(record + 16) != 0:
        for start in range(first_col, end_col, ROWS * COLS):
            col = start + tl.arange(0, ROWS)[:, None] * COLS + tl.arange(0, COLS)[None, :]
            p = load(param, col, col < end_col, WORK)
            total += p * p
    else:
        col = first_col + tl.arange(0, COLS)
        for index in range(tl.load(tile + 1), tl.load(tile + 2)):
            col_total = tl.zeros([COLS], WORK)
            for start in range(first_row, end_row, ROWS):
                row = start + tl.arange(0, ROWS)
                offset = (index * rows + row)[:, None] * cols + col[None, :]
                mask = (row < end_row)[:, None] & (col < end_col)[None, :]
                p, g = load(param, offset, mask, WORK), load(grad, offset, mask, WORK)
                total += p * p
                square = g * g
                place = (index * col_parts + tl.load(tile + 8)) * rows + row
                tl.store(row_sums + place, tl.sum(square, axis=1).to(tl.float64), mask=row < end_row)
                col_total += tl.sum(square, axis=0)
            place = (index * row_parts + tl.load(tile + 7)) * cols + col
            tl.store(col_sums + place, col_total.to(tl.float64), mask=col < end_col)
    tl.store(totals + 2 * tl.program_id(0), tl.sum(tl.sum(total, axis=1).to(tl.float64), axis=0))


@triton.jit
def moments_kernel(tensors, tiles, totals, scalars, STORAGE: tl.constexpr, WORK: tl.constexpr, ROWS: tl.constexpr,
                   COLS: tl.constexpr):  # fmt: skip
    tile = tiles + tl.program_id(0).to(tl.int64) * 9
    tensor = tl.load(tile)
    record = tensors + tensor * 17
    grad, row_var, col_var = at(record, 1, STORAGE), at(record, 2, STORAGE), at(record, 3, STORAGE)
    rows, cols = tl.load(record + 4), tl.load(record + 5)
    row_parts, col_parts = tl.load(record + 9), tl.load(record + 10)
    row_sums, col_sums = at(record, 11, tl.float64), at(record, 12, tl.float64)
    new_rows, new_cols, scales = at(record, 13, WORK), at(record, 14, WORK), at(record, 15, WORK)
    first_row, end_row, first_col, end_col = tl.load(tile + 3), tl.load(tile + 4), tl.load(tile + 5), tl.load(tile + 6)
    weight, eps1 = tl.load(scalars + tensor * 6), tl.load(scalars + tensor * 6 + 1)
    least = (eps1 * eps1).to(WORK)
    total = tl.zeros([ROWS, COLS], WORK)
    if tl.load(record + 16) != 0:
        # second moment
        # It is found again, from the same numbers, by the launch that stores it.
        for start in range(first_col, end_col, ROWS * COLS):
            col = start + tl.arange(0, ROWS)[:, None] * COLS + tl.arange(0, COLS)[None, :]
            g = load(grad, col, col < end_col, WORK)
            variance = load(row_var, col, col < end_col, WORK)
            variance = variance + weight.to(WORK) * (g * g - variance)
            total += div(g * g, tl.where(col < end_col, at_least(variance, least), 1.0))
    else:
        col = first_col + tl.arange(0, COLS)
        for index in range(tl.load(tile + 1), tl.load(tile + 2)):
            # row and column means of the squared gradient
            # Every tile of a slice finds and writes the same numbers: none waits for another.
            row_total = tl.zeros([COLS], tl.float64)
            for start in range(0, rows, COLS):
                every = start + tl.arange(0, COLS)
                mean = tl.zeros([COLS], tl.float64)
                for part in range(0, col_parts):
                    mean += tl.load(row_sums + (index * col_parts + part) * rows + every, mask=every < rows, other=0.0)
                old = load(row_var, index * rows + every, every < rows, tl.float64)
                new = old + weight * (mean / cols - old)
                store(new_rows, index * rows + every, new.to(WORK), every < rows)
                row_total += tl.where(every < rows, new, 0.0)
            mean = tl.zeros([COLS], tl.float64)
            for part in range(0, row_parts):
                mean += tl.load(col_sums + (index * row_parts + part) * cols + col, mask=col < end_col, other=0.0)
            old = load(col_var, index * cols + col, col < end_col, tl.float64)
            new_col = (old + weight * (mean / rows - old)).to(WORK)
            store(new_cols, index * cols + col, new_col, col < end_col)
            # rank-one estimate of the second moment
            scale = (1.0 / at_least(tl.sum(row_total, axis=0) / rows, eps1)).to(WORK)
            tl.store(scales + index, scale)
            for start in range(first_row, end_row, ROWS):
                row = start + tl.arange(0, ROWS)
                # Found again rather than read back, which would need a barrier.
                row_mean = tl.zeros([ROWS], tl.float64)
                for part in range(0, col_parts):
                    place = (index * col_parts + part) * rows + row
                    row_mean += tl.load(row_sums + place, mask=row < end_row, other=0.0)
                old_row = load(row_var, index * rows + row, row < end_row, tl.float64)
                scaled = scale * (old_row + weight * (row_mean / cols - old_row)).to(WORK)
                mask = (row < end_row)[:, None] & (col < end_col)[None, :]
                g = load(grad, (index * rows + row)[:, None] * cols + col[None, :], mask, WORK)
                estimate = at_least(scaled[:, None] * new_col[None, :], least)
                total += div(g * g, tl.where(mask, estimate, 1.0))
    tl.store(totals + 2 * tl.program_id(0) + 1, tl.sum(tl.sum(total, axis=1).to(tl.float64), axis=0))


@triton.jit
def clipped_step(record, totals, scalars, BLOCK: tl.constexpr):
    """By what the unit update of a tensor is multiplied, in float64."""
    first, count, numel = tl.load(record + 7), tl.load(record + 8), tl.load(record + 6)
    param_squares, update_squares = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
    for start in range(0, count, BLOCK):
        place = start + tl.arange(0, BLOCK)
        param_squares += tl.load(totals + 2 * (first + place), mask=place < count, other=0.0)
        update_squares += tl.load(totals + 2 * (first + place) + 1, mask=place < count, other=0.0)
    eps2, threshold, step_size = tl.load(scalars + 2), tl.load(scalars + 3), tl.load(scalars + 5)
    size = tl.sqrt(tl.sum(param_squares, axis=0) / numel)
    size = tl.where(size > eps2, size, eps2)
    # clip the update by its root mean square
    excess = tl.sqrt(tl.sum(update_squares, axis=0) / numel) / threshold
    return size * step_size / tl.where(excess > 1.0, excess, 1.0)


@triton.jit
def step_block(param, g, offset, mask, estimate, keep, step, WORK: tl.constexpr):
    # step
    p = load(param, offset, mask, WORK) * keep
    store(param, offset, p - step * div(g, sqrt(tl.where(mask, estimate, 1.0))), mask)


@triton.jit
def step_kernel(tensors, tiles, totals, scalars, STORAGE: tl.constexpr, WORK: tl.constexpr, ROWS: tl.constexpr,
                COLS: tl.constexpr):  # fmt: skip
    tile = tiles + tl.program_id(0).to(tl.int64) * 9
    tensor = tl.load(tile)
    record = tensors + tensor * 17
    param, grad = at(record, 0, STORAGE), at(record, 1, STORAGE)
    row_var, col_var = at(record, 2, STORAGE), at(record, 3, STORAGE)
    rows, cols = tl.load(record + 4), tl.load(record + 5)
    new_rows, new_cols, scales = at(record, 13, WORK), at(record, 14, WORK), at(record, 15, WORK)
    first_row, end_row, first_col, end_col = tl.load(tile + 3), tl.load(tile + 4), tl.load(tile + 5), tl.load(tile + 6)
    row_part, col_part = tl.load(tile + 7), tl.load(tile + 8)
    eps1, keep = tl.load(scalars + tensor * 6 + 1), tl.load(scalars + tensor * 6 + 4).to(WORK)
    weight, least = tl.load(scalars + tensor * 6).to(WORK), (eps1 * eps1).to(WORK)
    step = clipped_step(record, totals, scalars + tensor * 6, COLS).to(WORK)
    if tl.load(record + 16) != 0:
        for start in range(first_col, end_col, ROWS * COLS):
            col = start + tl.arange(0, ROWS)[:, None] * COLS + tl.arange(0, COLS)[None, :]
            g = load(grad, col, col < end_col, WORK)
            variance = load(row_var, col, col < end_col, WORK)
            variance = variance + weight * (g * g - variance)
            store(row_var, col, variance, col < end_col)
            estimate = at_least(variance, least)
            step_block(param, g, col, col < end_col, estimate, keep, step, WORK)
    else:
        col = first_col + tl.arange(0, COLS)
        for index in range(tl.load(tile + 1), tl.load(tile + 2)):
            new_col = load(new_cols, index * cols + col, col < end_col, WORK)
            if row_part == 0:
                store(col_var, index * cols + col, new_col, col < end_col)
            scale = tl.load(scales + index)
            for start in range(first_row, end_row, ROWS):
                row = start + tl.arange(0, ROWS)
                new_row = load(new_rows, index * rows + row, row < end_row, WORK)
                if col_part == 0:
                    store(row_var, index * rows + row, new_row, row < end_row)
                offset = (index * rows + row)[:, None] * cols + col[None, :]
                mask = (row < end_row)[:, None] & (col < end_col)[None, :]
                estimate = at_least((scale * new_row)[:, None] * new_col[None, :], least)
                g = load(grad, offset, mask, WORK)
                step_block(param, g, offset, mask, estimate, keep, step, WORK)
