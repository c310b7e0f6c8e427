"""The host's side of Adafactor: matrices cut into tiles, and the memory in which tiles leave sums to each other.

A tensor [..., rows, cols] is a sequence of slices, matrices of which each has second moments of its own; a vector is
one slice of one row. A large slice is cut into parts along rows and columns; small slices share a tile. Tiles of one
launch never wait for each other: what a tile needs from others, an earlier launch has left in memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Optimizer

from .backends import backend_for
from .bucket import Bucket
from .kept import Kept, Member
from .lang import Rule
from .layout import STORAGE_DTYPES

Array = npt.NDArray[np.int64]

# Columns of the tables that launches read.
TENSOR_COLUMNS = (
    "param", "grad", "row_var", "col_var", "rows", "cols", "numel", "first_tile", "tiles", "row_parts", "col_parts",
    "row_sums", "col_sums", "new_rows", "new_cols", "scales", "is_vector",
)  # fmt: skip
TILE_COLUMNS = (
    "tensor", "first_slice", "end_slice", "first_row", "end_row", "first_col", "end_col", "row_part", "col_part",
)  # fmt: skip


class TileSize(NamedTuple):
    """How a backend wants its tiles.

    Args:
        rows: fewest rows of a part.
        cols: columns of a part.
        parts: most parts along rows, for slices of many rows.
        elements: of a tile that holds several slices, or a piece of a vector.
    """

    rows: int
    cols: int
    parts: int
    elements: int


class TileBucket(Bucket):
    """Tensors of one device and dtype. `arrays` is not used: the launches read `tensors` and `tiles`.

    Attributes:
        tensors: int64 [tensors, len(TENSOR_COLUMNS)].
        tiles: int64 [tiles, len(TILE_COLUMNS)].
        working: dtype of the new row and column moments, in which the launches compute.
        scratch: the memory that the launches share, and what it points into.
        totals: float64 [tiles, 2], sums of squares of parameter and update.
    """

    tensors: Array
    tiles: Array
    working: torch.dtype
    scratch: list[Tensor]
    totals: Tensor


class _Key(NamedTuple):
    device: torch.device
    dtype: torch.dtype
    step_dtype: torch.dtype


class _Arranged(NamedTuple):
    key: _Key
    member: Member
    # param, grad, row_var and col_var, or param, grad, variance
    arrays: list[Tensor]
    # (where it must go, what is written)
    copies: list[tuple[Tensor, Tensor]]


class TilePlan:
    """What the steps of Adafactor launch, as long as nothing but gradients' addresses and options changes."""

    def __init__(self, optimizer: Optimizer, members: list[Member], rule: Rule) -> None:
        self.kept = Kept(optimizer, members)
        arranged = [_arrange(member) for member in members]
        # Scratch copies must be made anew at every step.
        self.copies = [copy for one in arranged for copy in one.copies]
        self.steady = not self.copies and not any(one.arrays[1] is not one.member.param.grad for one in arranged)
        by_key: dict[_Key, list[_Arranged]] = {}
        for one in arranged:
            by_key.setdefault(one.key, []).append(one)
        places = {id(param): place for place, param in enumerate(self.kept.params)}
        self._sections = [
            (_bucket(rule, key, ones), [one.group for one in members], [places[id(one.param)] for one in members])
            for key, ones in by_key.items()
            for members in [[one.member for one in ones]]
        ]
        # Copies of gradients live as long as the launches; a plan that is kept holds no gradient.
        self._arrays = [] if self.steady else [one.arrays for one in arranged]
        self._versioned = [param for param in self.kept.params if not param.is_inference()]
        self._used = False

    def run(self, hyper: Callable[[int, torch.dtype], tuple[float, ...]]) -> tuple[str, ...]:
        """Take a step; the names of the backends that did."""
        addresses = self.kept.grad_addresses
        names = []
        for bucket, groups, places in self._sections:
            if self._used and not np.array_equal(bucket.tensors[:, 1], addresses[places]):
                bucket.tensors[:, 1] = addresses[places]
                bucket.revision += 1
            rows = {group: hyper(group, bucket.dtype) for group in set(groups)}
            bucket.hyper[:] = [rows[group] for group in groups]
            backend = backend_for(bucket.device)
            scalars = backend.prepare(bucket)
            if len(bucket.tiles):
                _launcher(backend).update(bucket, scalars)
            names.append(backend.NAME)
        for target, scratch in self.copies:
            target.copy_(scratch)
        torch.autograd.graph.increment_version(self._versioned)
        self._used = True
        return tuple(dict.fromkeys(names))


def _launcher(backend: Any) -> Any:
    return importlib.import_module(f"{backend.__name__.removesuffix('_backend')}_adafactor")


def _arrange(member: Member) -> _Arranged:
    param, state = member.param, member.state
    grad = param.grad
    assert grad is not None
    targets = [param, grad, *(state[name] for name in ("row_var", "col_var", "variance") if name in state)]
    if any(tensor.dtype not in STORAGE_DTYPES for tensor in targets):
        raise TypeError(f"the fused tier computes on floating point tensors, got {param.dtype}")
    dtypes = {tensor.dtype for tensor in targets}
    dtype = param.dtype if len(dtypes) == 1 else torch.promote_types(torch.float32, max(dtypes, key=_width))
    arrays = [_plain(tensor, dtype) for tensor in targets]
    if any(array.numel() and not array.data_ptr() for array in arrays):
        raise TypeError(f"the fused tier needs plain tensors, not {type(param).__name__} without memory of its own")
    copies = [
        (target, array)
        for place, (target, array) in enumerate(zip(targets, arrays, strict=True))
        if target is not array and place != 1
    ]
    # The count is read on the host.
    step = state["step"]
    if step.device.type != "cpu" or step.dtype not in (torch.float32, torch.float64):
        state["step"] = step = step.to("cpu", torch.promote_types(step.dtype, torch.float32))
    return _Arranged(_Key(param.device, dtype, step.dtype), member, arrays, copies)


def _width(dtype: torch.dtype) -> int:
    return dtype.itemsize


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in one piece of memory, row by row, in this dtype."""
    if tensor.dtype == dtype and tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return torch.empty(tensor.shape, dtype=dtype, device=tensor.device).copy_(tensor)


def _bucket(rule: Rule, key: _Key, ones: list[_Arranged]) -> TileBucket:
    size: TileSize = _launcher(backend_for(key.device)).TILE_SIZE
    count = len(ones)
    bucket = TileBucket(
        rule=rule,
        flags=(),
        dtype=key.dtype,
        device=key.device,
        arrays=np.zeros((2, count), dtype=np.int64),
        numel=np.array([one.member.param.numel() for one in ones]),
        steps=np.array([one.member.state["step"].data_ptr() for one in ones]),
        step_dtype=key.step_dtype,
        steps_on_device=False,
        step_numbers=np.ones(count),
        hyper=np.zeros((count, len(rule.hyper))),
        tensor_state=np.zeros((0, count), dtype=np.int64),
    )
    bucket.working = torch.float64 if key.dtype == torch.float64 else torch.float32
    tables = [_tile_tensor(index, one.arrays, size) for index, one in enumerate(ones)]
    tiles = [tile for _, of_tensor in tables for tile in of_tensor]
    bucket.tiles = np.array(tiles, dtype=np.int64).reshape(-1, len(TILE_COLUMNS))
    bucket.totals = torch.zeros((len(tiles), 2), dtype=torch.float64, device=key.device)
    records = [record for record, _ in tables]
    sums, moments = (sum(sum(record[name] for name in names) for record in records) for names in (_SUMS, _MOMENTS))
    bucket.scratch = [
        torch.zeros(sums, dtype=torch.float64, device=key.device),
        torch.zeros(moments, dtype=bucket.working, device=key.device),
    ]
    places = [memory.data_ptr() for memory in bucket.scratch]
    first_tile = 0
    for record in records:
        record["first_tile"], first_tile = first_tile, first_tile + record["tiles"]
        for kind, names in enumerate((_SUMS, _MOMENTS)):
            for name in names:
                record[name], places[kind] = places[kind], places[kind] + record[name] * bucket.scratch[kind].itemsize
    bucket.tensors = np.array([[record[name] for name in TENSOR_COLUMNS] for record in records], dtype=np.int64)
    return bucket


# Columns that hold a number of elements until memory is there, and then its address.
_SUMS, _MOMENTS = ("row_sums", "col_sums"), ("new_rows", "new_cols", "scales")


def _tile_tensor(index: int, arrays: list[Tensor], size: TileSize) -> tuple[dict[str, int], list[tuple[int, ...]]]:
    """A tensor's record, with lengths where it will have the addresses of scratch memory; and its tiles."""
    param = arrays[0]
    is_vector = len(arrays) == 3
    rows, cols = (1, param.numel()) if is_vector else param.shape[-2:]
    numel = param.numel()
    slices = numel // (rows * cols) if numel else 0
    part_rows = 1 if is_vector else max(size.rows, -(-rows // size.parts))
    part_cols = size.elements if is_vector else size.cols
    row_parts, col_parts = -(-rows // part_rows), -(-cols // part_cols)
    # Slices in one part may share a tile.
    together = max(size.elements // max(rows * cols, 1), 1) if row_parts * col_parts == 1 else 1
    tiles: list[tuple[int, ...]] = [
        (
            index, first, min(first + together, slices),
            row * part_rows, min((row + 1) * part_rows, rows),
            col * part_cols, min((col + 1) * part_cols, cols),
            row, col,
        )
        for first in range(0, slices, together)
        for row in range(row_parts)
        for col in range(col_parts)
    ]  # fmt: skip
    record = {
        "param": param.data_ptr(), "grad": arrays[1].data_ptr(), "row_var": arrays[2].data_ptr(),
        "col_var": 0 if is_vector else arrays[3].data_ptr(), "rows": rows, "cols": cols, "numel": numel,
        "tiles": len(tiles), "row_parts": row_parts, "col_parts": col_parts, "is_vector": int(is_vector),
    }  # fmt: skip
    lengths = (slices * col_parts * rows, slices * row_parts * cols, slices * rows, slices * cols, slices)
    names = (*_SUMS, *_MOMENTS)
    return record | dict(zip(names, [0] * 5 if is_vector else lengths, strict=True)), tiles
