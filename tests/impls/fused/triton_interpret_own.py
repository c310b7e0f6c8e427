"""Runs the fused optimizers that are not elementwise in Triton's interpreter and by Numba, and compares them, as JSON.

Run as a program by test_triton_own.py, in a process of its own: the interpreter is chosen before Triton is imported.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from optbench.impls import fused
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
Make = Callable[[torch.dtype], "tuple[list[Tensor], list[list[Tensor | None]]]"]


def random(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def dense(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> tuple[list[Tensor], list[list[Tensor | None]]]:
    """Parameters, the last of which is transposed, and two steps' gradients."""
    params = [random(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    params.append(random((5, 9), dtype, 50).t())
    shapes = [tuple(param.shape) for param in params]
    grads = [[random(shape, dtype, step + place) for place, shape in enumerate(shapes)] for step in (100, 200)]
    return params, grads


def rows(shape: tuple[int, ...], sparse_dim: int, count: int, dtype: torch.dtype, seed: int) -> Tensor:
    """A sparse gradient with repeated indices."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.stack([torch.randint(0, size, (count,), generator=generator) for size in shape[:sparse_dim]])
    values = random((count, *shape[sparse_dim:]), dtype, seed)
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=True)


def sparse(dtype: torch.dtype) -> tuple[list[Tensor], list[list[Tensor | None]]]:
    """Parameters, one of them transposed, and two steps' sparse gradients; one has no values, one no row twice."""
    kinds = [((30, 7), 1, 9), ((4, 3, 5), 2, 6), ((11,), 1, 20), ((6, 2), 1, 0), ((700, 13), 1, 900)]
    params = [random(shape, dtype, seed) for seed, (shape, *_) in enumerate(kinds)]
    params.append(random((8, 40), dtype, 60).t())
    kinds.append(((40, 8), 1, 5))
    grads = [[rows(*kind, dtype, step + place) for place, kind in enumerate(kinds)] for step in (100, 200)]
    return params, grads


def adafactor(dtype: torch.dtype) -> tuple[list[Tensor], list[list[Tensor | None]]]:
    return dense([(5, 140), (130, 3), (2, 2, 3, 2), (9,), ()], dtype)


def muon(dtype: torch.dtype) -> tuple[list[Tensor], list[list[Tensor | None]]]:
    return dense([(3, 7), (7, 3), (3, 7), (1, 5)], dtype)


CASES: dict[str, tuple[str, Make, dict[str, Any]]] = {
    "sparse adam": ("SparseAdam", sparse, {"maximize": True}),
    "sparse adagrad": ("Adagrad", sparse, {"lr_decay": 0.1}),
    "sparse sgd": ("SGD", sparse, {}),
    "sparse sgd momentum": ("SGD", sparse, {"momentum": 0.9, "nesterov": True}),
    "adafactor": ("Adafactor", adafactor, {"weight_decay": 0.1, "maximize": True, "d": 2.0}),
    "muon": ("Muon", muon, {}),
}


def step(backend: str, case: str, dtype: torch.dtype) -> tuple[str, list[Tensor]]:
    """Two steps on a backend: what ran, and parameters and state after."""
    os.environ["OPTBENCH_FUSED_BACKEND"] = backend
    name, make, options = CASES[case]
    params, grads = make(dtype)
    for param in params:
        param.requires_grad_()
    optimizer = getattr(fused, name)(params, lr=0.1, **options)
    for step_grads in grads:
        for param, grad in zip(params, step_grads, strict=True):
            param.grad = grad
        optimizer.step()
    states = [value for param in params for value in optimizer.state[param].values()]
    return optimizer.backend, [param.detach() for param in params] + [torch.as_tensor(value) for value in states]


def minimize(backend: str, dtype: torch.dtype, length: int) -> tuple[str, list[Tensor]]:
    """A few iterations of L-BFGS on a quadratic function of condition 10."""
    os.environ["OPTBENCH_FUSED_BACKEND"] = backend
    weight = random((length,), dtype, 0).requires_grad_()
    scales = torch.linspace(1.0, 10.0, length, dtype=dtype)
    optimizer = fused.LBFGS([weight], lr=0.1, max_iter=4, history_size=2)

    def closure() -> Tensor:
        weight.grad = scales * weight.detach()
        return (0.5 * scales * weight.detach() ** 2).sum()

    optimizer.step(closure)
    state = optimizer.state[weight]
    return str(optimizer.backend), [weight.detach(), state["d"], *state["old_dirs"], *state["ro"], *state["al"]]


def differences() -> Iterator[dict[str, Any]]:
    """The largest difference of the two backends, in spacings of the dtype at each tensor's largest number."""
    for case, (name, dtype) in itertools.product(CASES, DTYPES.items()):
        if dtype == torch.float32 or case == "sparse adam" or (case == "adafactor" and dtype != torch.float16):
            yield compare(f"{case} {name}", dtype, lambda backend: step(backend, case, dtype))  # noqa: B023
    # one chunk, and a last chunk of one element, where the step in half precision would be lost
    lengths = [(5, "float16"), (5, "bfloat16"), (4097, "float32"), (4097, "float64")]
    for length, name in lengths:
        dtype = DTYPES[name]
        yield compare(f"lbfgs {length} {name}", dtype, lambda backend: minimize(backend, dtype, length))  # noqa: B023


def compare(case: str, dtype: torch.dtype, run: Callable[[str], tuple[str, list[Tensor]]]) -> dict[str, Any]:
    (backend, ours), (other, theirs) = run("triton"), run("numba")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        a, b = (x.to_dense().double() for x in (a, b))
        unit = torch.finfo(dtype).eps * b.abs().max().item() if b.numel() else 1.0
        worst = max(worst, (a - b).abs().max().item() / (unit or 1.0) if b.numel() else 0.0)
    return {"case": case, "difference": worst, "backends": [backend, other]}


def main() -> None:
    torch.set_num_threads(1)
    # torch says once that it does not check sparse tensors; those made here are checked
    warnings.simplefilter("ignore", UserWarning)
    for report in differences():
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    sys.exit(main())
