"""Tensors and options as the text of Python expressions, for scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optbench.case import AsTensor
from optbench.failures.scripts.memory import Memory
from optbench.trials.error import real_dtype

# More numbers than this are not written down where they are all the same.
_FEW = 4


def imported(target: str) -> tuple[str, str]:
    """Where foreign code is imported from in a folder that holds it, and its name.

    Example:
        >>> imported("path/mine.py:MyAdam")
        ('mine', 'MyAdam')
    """
    where, _, name = target.rpartition(":")
    path = Path(where)
    return path.stem if path.suffix == ".py" else where, name


def tensor(memory: Memory) -> str:
    """A tensor as an expression."""
    if memory.sparse:
        held = memory.held
        known = ", is_coalesced=True" if held.is_coalesced() else ""
        parts = f"{_indices(held._indices())}, {numbers(held._values())}, {memory.shape}"
        return f"torch.sparse_coo_tensor({parts}{known})"
    if memory.plain:
        return numbers(memory.tensor, memory)
    return f"{numbers(memory.held)}{view(memory)}"


def _indices(values: Tensor) -> str:
    return str(values.tolist()) if values.numel() else f"torch.empty({tuple(values.shape)}, dtype=torch.int64)"


def view(memory: Memory) -> str:
    """What makes a view of its memory."""
    return f".as_strided({memory.shape}, {memory.stride}, {memory.offset})"


def numbers(values: Tensor, memory: Memory | None = None) -> str:
    """Numbers as an expression: written down, or drawn by the seed of their memory."""
    dtype = "" if values.dtype is torch.float32 else f", dtype={values.dtype}"
    if memory is not None and memory.seed is not None:
        kind = ", dtype=torch.complex64" if values.is_complex() else ""
        drawn = f"torch.randn({memory.shape}, generator=torch.Generator().manual_seed({memory.seed}){kind})"
        return f"{drawn}.to({values.dtype})" if dtype and values.dtype is not torch.complex64 else drawn
    if not values.numel() and values.dim() > 1:
        return f"torch.empty({tuple(values.shape)}{dtype})"
    if values.numel() > _FEW and not values.is_complex() and bool((values == values.reshape(-1)[0]).all()):
        return f"torch.full({tuple(values.shape)}, {_short(values.reshape(-1)[0].item(), values.dtype)}{dtype})"
    return f"torch.tensor({_list(values.tolist(), values.dtype)}{dtype})"


def _list(values: Any, dtype: torch.dtype) -> str:
    if isinstance(values, list):
        return f"[{', '.join(_list(value, dtype) for value in values)}]"
    if isinstance(values, complex):
        return f"complex({_short(values.real, dtype)}, {_short(values.imag, dtype)})"
    return _short(values, dtype)


def _short(value: float, dtype: torch.dtype) -> str:
    """The shortest text of a number that its dtype reads back as the same."""
    if not dtype.is_floating_point and not dtype.is_complex:
        return repr(value)
    if value != value or abs(value) == float("inf"):
        return f'float("{value}")'
    kind = real_dtype(dtype)
    for digits in range(1, 18):
        text = f"{value:.{digits}g}"
        if float(torch.tensor(float(text), dtype=kind)) == value:
            break
    return text if any(letter in text for letter in ".e") else f"{text}.0"


def option(value: Any) -> str:
    """An option's value as an expression."""
    if isinstance(value, AsTensor):
        return f"torch.tensor({value.value!r})"
    if isinstance(value, Tensor):
        return f"torch.tensor({value.item()!r}, dtype={value.dtype})"
    return structure(value, option)


def structure(value: Any, each: Callable[[Any], str]) -> str:
    """A dictionary, list or tuple as an expression, `each` of what is in it written by the caller; else its repr."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{text(key)}: {each(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(each, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(each, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return f'float("{value}")'
    return text(value)


def text(value: Any) -> str:
    """Text in the quotes that a script has, where that can be; all else as its repr."""
    return f'"{value}"' if isinstance(value, str) and '"' not in value and "\\" not in value else repr(value)
