"""Compiles the Triton kernels that are not elementwise for GPUs that are not here, and reads faults off the code.

Run as a program, in an environment with Triton and without need of torch or a GPU:

    python tests/impls/fused/triton_compile_own.py [--full] [--plant FAULT]

The gather launcher's kernel of each rule that takes sparse gradients, Adafactor's three launches, the passes of L-BFGS,
and the launches of learning-rate schedules. It prints one JSON object a kernel and ends with 1 if any has a fault:
spilled registers, approximate float32 square roots and quotients, contraction into fused multiply-adds.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import triton
import triton_compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton_compile import FUSED, STORAGES, TARGETS, load_rule, triton_kernels, triton_lang

_package = triton_kernels.__package__
adafactor = importlib.import_module(f"{_package}.triton_adafactor_kernels")
rows = importlib.import_module(f"{_package}.triton_row_kernels")
vectors = importlib.import_module(f"{_package}.triton_vector_kernels")
rates = importlib.import_module(f"{_package}.lr_scheduler.triton_rates")

SPARSE_RULES = ("sparse_adam.py", "sgd.py", "adagrad.py")
SCHEDULES = (
    *(f"lr_scheduler/{name}.py" for name in (
        "constantlr", "cosineannealinglr", "cosineannealingwarmrestarts", "cycliclr", "exponentiallr", "lambdalr",
        "linearlr", "multiplicativelr", "multisteplr", "onecyclelr", "polynomiallr", "steplr",
    )),
    "swa_utils/swalr.py",
)  # fmt: skip
POINTERS = {"tensors": "*i64", "tiles": "*i64", "table": "*i64", "block_map": "*i32"} | dict.fromkeys(
    ("totals", "scalars", "before", "after", "sums", "rate"), "*fp64"
)
RATES_POINTERS = dict.fromkeys(("rates", "momenta", "counters", "span"), "*i64") | dict.fromkeys(
    ("base_rates", "last_rates", "columns", "shared", "rows"), "*fp64"
)


class Kernel(NamedTuple):
    """A kernel to compile, with the values of its constants."""

    name: str
    function: Any
    dtype: str
    constants: dict[str, Any]


def kernels(dtypes: Iterable[str]) -> Iterator[Kernel]:
    """Every kernel in these dtypes."""
    for dtype in dtypes:
        storage = STORAGES[dtype]
        work = STORAGES["float64" if dtype == "float64" else "float32"]
        common = {"STORAGE": storage, "WORK": work}
        for file in SPARSE_RULES:
            rule = load_rule(FUSED / file)
            function = rows.rows_kernel(rule).rows_kernel
            for flags in {(False,) * len(rule.flags), (True,) * len(rule.flags)}:
                constants = triton_kernels.flag_values(rule, flags) | common | {"BLOCK": rows.ROWS_BLOCK}
                yield Kernel(f"rows of {rule.name} {flags}", function, dtype, constants)
        itemsize = triton_compile.ITEMSIZES[dtype]
        tile = {"ROWS": adafactor.ROWS_BY_ITEMSIZE[itemsize], "COLS": adafactor.COLS}
        for name in ("sums", "moments", "step"):
            yield Kernel(f"adafactor {name}", getattr(adafactor, f"{name}_kernel"), dtype, common | tile)
        for loop in (0, 1, 2):
            constants = common | {"LOOP": loop, "BLOCK": vectors.BLOCK}
            yield Kernel(f"advance {loop}", vectors.advance_kernel, dtype, constants)
        yield Kernel("remember", vectors.remember_kernel, dtype, common | {"BLOCK": vectors.BLOCK})
        if dtype in ("float32", "float64"):
            yield from schedules(dtype)


def schedules(dtype: str) -> Iterator[Kernel]:
    """The launch of every schedule, for rates of this dtype, and momenta where it moves those."""
    for file in SCHEDULES:
        schedule = load_rule(FUSED / file, "SCHEDULE")
        constants = {"RATE": STORAGES[dtype], "MOMENTUM": STORAGES[dtype], "BLOCK": rates.BLOCK}
        if len(schedule.results) == 1:
            constants |= {"momenta": None, "MOMENTUM": None}
        yield Kernel(f"rates of {schedule.name}", rates.rates_kernel(schedule), dtype, constants)


def build(kernel: Kernel, target: GPUTarget, **options: Any) -> Any:
    """Compile one kernel to machine code."""
    names = [parameter.name for parameter in kernel.function.params]
    pointers = POINTERS | {"scalar_table": "*fp64" if kernel.dtype == "float64" else "*fp32"}
    if kernel.name.startswith("rates of"):
        pointers = RATES_POINTERS
    types = {name: "constexpr" if name in kernel.constants else pointers.get(name, "i64") for name in names}
    attributes = {
        (index,): [["tt.divisibility", 16]] for index, kind in enumerate(types.values()) if kind.startswith("*")
    }
    source = ASTSource(fn=kernel.function, signature=types, constexprs=kernel.constants, attrs=attributes)
    return triton.compile(source, target=target, options=triton_kernels.compile_options(target) | options)


def examine(kernel: Kernel, target_name: str, plant: str | None) -> dict[str, Any]:
    """Compile one kernel and describe it."""
    target = TARGETS[target_name]
    planted = {"fusion": {"enable_fp_fusion": True}, "registers": {"maxnreg": 24}}.get(plant or "", {})
    compiled = build(kernel, target, **planted)
    used = triton_compile.resources(compiled, target)
    if target.backend == "hip":
        # Scalar registers are saved in vector registers, which costs no memory.
        saved = r"\.(?:private_segment_fixed_size|vgpr_spill_count):\s+(\d+)$"
        used["spilled"] = sum(map(int, re.findall(saved, compiled.asm["amdgcn"], re.MULTILINE)))
    faults = {"spills": used["spilled"], "approximate": triton_compile.approximations(compiled, target)}
    # This GPU divides integers by multiply-adds in float32: where rows are found by division, contraction cannot be
    # told apart.
    if target.backend != "hip" or not kernel.name.startswith("rows"):
        faults["fused"] = triton_compile.contractions(compiled, target)
    found = [f"{fault}: {count}" for fault, count in faults.items() if count]
    return {"kernel": kernel.name, "target": target_name, "dtype": kernel.dtype, **used, "faults": found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plant", choices=["approximate", "fusion", "registers"], help="put a fault into the kernels")
    parser.add_argument("--full", action="store_true", help="every dtype, and not float32 only")
    arguments = parser.parse_args()
    chosen = list(kernels(STORAGES if arguments.full else ["float32"]))
    if arguments.plant:
        wanted = {"adafactor step": "float32", f"rows of sparse_adam {(False,)}": "float32", "advance 2": "float32"}
        chosen = [kernel for kernel in chosen if wanted.get(kernel.name) == kernel.dtype]
    if arguments.plant == "approximate":
        triton_compile.plant_approximations()
        vars(adafactor).update(sqrt=triton_lang.sqrt, div=triton_lang.div)
    faulty = 0
    for kernel, target in itertools.product(chosen, TARGETS):
        report = examine(kernel, target, arguments.plant)
        faulty += bool(report["faults"])
        print(json.dumps(report), flush=True)
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
