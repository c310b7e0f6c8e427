"""Compiles the fused rules' Triton kernels for GPUs that are not here, and reads faults off the machine code.

Run as a program, in an environment with Triton and without need of torch or a GPU:

    python tests/impls/fused/triton_compile.py [--full] [--plant FAULT]

It prints one JSON object a kernel and ends with 1 if any kernel has a fault. What it looks for, in every kernel:
spilled registers, approximate float32 square roots and quotients, contraction into fused multiply-adds. In the update
of aligned tensors also: full blocks move every array once, by 16-byte accesses, and absent state not at all. And of
every rule: whether other hyperparameters or another number of tensors would compile it again.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

# Triton's interpreter replaces what is to be compiled here.
os.environ.pop("TRITON_INTERPRET", None)

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import create_function_from_signature

FUSED = Path(__file__).resolve().parents[3] / "impls" / "fused"
# The first of them stands for all where what is looked at does not depend on the rule.
RULES = (
    "adam", "adadelta", "adagrad", "adamax", "asgd", "lion", "nadam", "radam", "rmsprop", "rprop", "sgd",
    "swa_utils/average",
)  # fmt: skip
# What a rule stores without reading it, by the flag under which it does.
UNREAD = {"average": {"SHADOW": "param"}}

# The package's own __init__ may import torch, so its modules are imported under a package without one.
_package = ModuleType("fused_without_torch")
_package.__path__ = [str(FUSED)]
sys.modules[_package.__name__] = _package
for _folder in ("lr_scheduler", "swa_utils"):
    _subpackage = ModuleType(f"{_package.__name__}.{_folder}")
    _subpackage.__path__ = [str(FUSED / _folder)]
    sys.modules[_subpackage.__name__] = _subpackage
triton_kernels = importlib.import_module(f"{_package.__name__}.triton_kernels")
triton_lang = importlib.import_module(f"{_package.__name__}.triton_lang")

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
STORAGES = {"float32": tl.float32, "bfloat16": tl.bfloat16, "float16": tl.float16, "float64": tl.float64}
ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
TRITON_NAMES = {"float32": "fp32", "float64": "fp64"}


@dataclass(frozen=True)
class Variant:
    """One specialisation of a kernel.

    Args:
        kernel: `update` or `prepare`.
        flags: values of the rule's flags.
        dtype: storage of the tensors; of `prepare`, decides the type of the scalars.
        aligned: whether the tensors are declared 16-byte aligned.
        shared: whether the scalars are arguments of the launch; of `prepare`, whether the rate is.
        amp: whether a gradient scale and a found_inf are given.
        step: type of the stored steps, None for a rule that stores none; of `prepare`.
        stored: type of other 0-d state, None for a rule that has none; of `prepare`.
        working: type of the arithmetic; by default the one that the dtype asks for.
    """

    kernel: str
    flags: tuple[bool, ...]
    dtype: str
    aligned: bool = True
    shared: bool = True
    amp: bool = False
    step: str | None = None
    stored: str | None = None
    working: str = ""

    def __post_init__(self) -> None:
        if not self.working:
            object.__setattr__(self, "working", "float64" if self.dtype == "float64" else "float32")


def load_rule(path: Path, record: str = "RULE") -> Any:
    """The RULE of a rule file, without running the imports and the class around it, which need torch."""
    tree = ast.parse(path.read_text())

    def belongs(node: ast.stmt) -> bool:
        match node:
            case ast.ImportFrom(module="lang" | "schedule" | "lr_scheduler.schedule" | "__future__"):
                return True
            case ast.FunctionDef(decorator_list=[ast.Name(id="rule")]):
                return True
            case ast.Assign(targets=[ast.Name(id=name)]) if name == record:
                return True
        return False

    tree.body = [node for node in tree.body if belongs(node)]
    module = ModuleType(f"{_package.__name__}.{path.stem}")
    module.__package__ = ".".join([_package.__name__, *path.relative_to(FUSED).parent.parts])
    # The file's own name and line numbers let inspect find the functions' source.
    exec(compile(tree, str(path), "exec"), module.__dict__)
    return getattr(module, record)


def signature_of(rule: Any, variant: Variant) -> tuple[dict[str, str], dict[str, Any]]:
    """Types of a kernel's arguments and values of its constants, as the launches in triton_backend have them."""
    kernel = getattr(triton_kernels.kernels(rule), f"{variant.kernel}_kernel")
    working = TRITON_NAMES[variant.working]
    types = {
        "table": "*i64",
        "block_map": "*i32",
        "hyper_table": "*fp64",
        "scalar_table": f"*{working}",
        "tensors": "i32",
    }
    types |= {"grad_scale": "*fp32", "found_inf": "*fp32", "lr_tensor": "*fp32"}
    absent = set() if variant.amp else {"grad_scale", "found_inf"}
    if variant.shared:
        absent.add("scalar_table" if variant.kernel == "update" else "lr_tensor")
    constants = triton_kernels.flag_values(rule, variant.flags) | dict.fromkeys(absent)
    constants |= {"WORK": STORAGES[variant.working]}
    if variant.kernel == "update":
        constants |= {"STORAGE": STORAGES[variant.dtype], "ALIGNED": variant.aligned}
        constants |= {"BLOCK": triton_kernels.block_size(ITEMSIZES[variant.dtype], variant.aligned)}
    else:
        constants |= {"STEP": STORAGES.get(variant.step or ""), "STORED": STORAGES.get(variant.stored or "")}
        constants |= {"BLOCK": triton_kernels.PREPARE_BLOCK}
    names = [parameter.name for parameter in kernel.params]
    constants = {name: value for name, value in constants.items() if name in names}
    return {name: "constexpr" if name in constants else types.get(name, "fp64") for name in names}, constants


def build(rule: Any, variant: Variant, target: GPUTarget, **options: Any) -> Any:
    """Compile one kernel to machine code."""
    kernel = getattr(triton_kernels.kernels(rule), f"{variant.kernel}_kernel")
    signature, constants = signature_of(rule, variant)
    tables = ("table", "block_map", "hyper_table", "scalar_table")
    attributes = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(signature)
        if name in tables and name not in constants
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=target, options=triton_kernels.compile_options(target) | options)


def _tally(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text, re.MULTILINE))


def resources(compiled: Any, target: GPUTarget) -> dict[str, int]:
    """Registers of a thread, and bytes or registers that it spills to memory."""
    if target.backend == "hip":
        found = dict(re.findall(r"\.(\w+):\s+(\d+)$", compiled.asm["amdgcn"], re.MULTILINE))
        spilled = ("private_segment_fixed_size", "vgpr_spill_count", "sgpr_spill_count")
        return {"registers": int(found["vgpr_count"]), "spilled": sum(int(found[name]) for name in spilled)}
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        output = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(\w+):(\d+)", output[output.index("REG:") :]))
    return {"registers": int(found["REG"]), "spilled": int(found["STACK"]) + int(found["LOCAL"])}


def accesses(compiled: Any, target: GPUTarget) -> dict[str, int]:
    """How many loads and stores of 16 bytes a program's thread has, and how many narrower stores."""
    if target.backend == "hip":
        code = compiled.asm["amdgcn"]
        wide, store = r"^\s*(?:global|buffer|flat)_{}_(?:dwordx4|b128)\b", r"^\s*(?:global|buffer|flat)_store_"
    else:
        code = compiled.asm["ptx"]
        wide, store = r"\b{}\.global\S*\.(?:v4\.[bfu]32|v2\.[bfu]64)\b", r"\bst\.global"
    load_name, store_name = ("load", "store") if target.backend == "hip" else ("ld", "st")
    stores = _tally(wide.format(store_name), code)
    return {
        "wide_loads": _tally(wide.format(load_name), code),
        "wide_stores": stores,
        "narrow_stores": _tally(store, code) - stores,
    }


def access_faults(rule: Any, variant: Variant, found: dict[str, int]) -> Iterator[str]:
    """Compare the accesses with the fewest that move every present array once, block by full block."""
    itemsize = ITEMSIZES[variant.dtype]
    elements = triton_kernels.block_size(itemsize, aligned=True) // triton_kernels.THREADS
    present = [name for name, exists in zip(rule.state, rule.present(variant.flags), strict=True) if exists]
    sizes = {name: ITEMSIZES[variant.working] if name in rule.wide else itemsize for name in ("param", *present)}
    vectors = {name: elements * size // 16 for name, size in sizes.items()}
    flags = dict(zip(rule.flags, variant.flags, strict=True))
    unread = {name for flag, name in UNREAD.get(rule.name, {}).items() if flags[flag]}
    read = sum(count for name, count in vectors.items() if name not in unread)
    # The masked path of a tensor's last block goes element by element.
    expected = {
        "wide_loads": read + elements * itemsize // 16,
        "wide_stores": sum(vectors.values()),
        "narrow_stores": len(vectors) * elements,
    }
    for name, count in expected.items():
        if found[name] != count:
            yield f"{name.replace('_', ' ')}: {found[name]} a thread, {count} expected"


def approximations(compiled: Any, target: GPUTarget) -> int:
    """How many float32 square roots and quotients are not correctly rounded."""
    if target.backend != "hip":
        return _tally(r"\b(?:sqrt|div|rcp|rsqrt)\.(?:approx|full)\S*f32", compiled.asm["ptx"])
    code = compiled.asm["llir"]
    # Triton 3.6 writes its exact square root out, as a reciprocal square root refined by multiply-adds.
    unrefined = "sqrt|rcp" if "@llvm.fma" in code else "sqrt|rcp|rsq"
    return _tally(rf"call .*@llvm\.amdgcn\.(?:{unrefined})\.f32", code)


def contractions(compiled: Any, target: GPUTarget) -> int:
    """How many float32 multiply-adds the compiler made of the rule's products and sums."""
    if target.backend != "hip":
        return _tally(r"\bfma\.\S*f32", compiled.asm["ptx"])
    code = compiled.asm["amdgcn"]
    # Exact quotients and square roots consist of multiply-adds: such a kernel cannot be told from a contracted one.
    exact = _tally(r"v_(?:div_fixup|sqrt|rsq)_f32", code)
    return 0 if exact else _tally(r"v_(?:pk_)?(?:fma|fmac|fmamk|fmaak|mad|mac)_f32", code)


def float64_operations(compiled: Any, target: GPUTarget) -> int:
    if target.backend != "hip":
        return _tally(r"\b(?:add|mul|sub|div|fma|sqrt)\.\S*f64", compiled.asm["ptx"])
    return _tally(r"= f(?:add|mul|sub|div) (?:<\d+ x )?double", compiled.asm["llir"])


def arithmetic_faults(variant: Variant, compiled: Any, target: GPUTarget) -> Iterator[str]:
    """Find approximations, contractions, and float64 arithmetic on the elements of float32 kernels."""
    counts = {"approximate": approximations(compiled, target), "fused": contractions(compiled, target)}
    # The inverse of the gradient scale is taken in float64, once a program.
    if variant.kernel == "update" and variant.dtype != "float64" and not variant.amp:
        counts["float64"] = float64_operations(compiled, target)
    for fault, count in counts.items():
        if count:
            yield f"{fault}: {count} operations"


@triton.jit
def approximate_sqrt(value):
    return tl.sqrt(value)


@triton.jit
def approximate_div(numerator, denominator):
    return numerator / denominator


# Faults to put into the kernels, to see that each is found: what changes in the rule, the specialisation, the options.
PLANTS: dict[str, Callable[[Any, Variant], tuple[Any, Variant, dict[str, Any]]]] = {
    "alignment": lambda rule, variant: (rule, replace(variant, aligned=False), {}),
    "absent-state": lambda rule, variant: (with_all_state(rule), variant, {}),
    "approximate": lambda rule, variant: (rule, variant, {}),
    "fusion": lambda rule, variant: (rule, variant, {"enable_fp_fusion": True}),
    "registers": lambda rule, variant: (rule, variant, {"maxnreg": 24}),
    "double": lambda rule, variant: (rule, replace(variant, working="float64"), {}),
    "specialise": lambda rule, variant: (rule, variant, {}),
}


@cache
def with_all_state(rule: Any) -> Any:
    """The rule with state that its flags do not ask for."""
    return replace(rule, optional={})


def plant_approximations() -> None:
    """Make rules use Triton's own square root and quotient."""
    vars(triton_lang).update(sqrt=approximate_sqrt, div=approximate_div)


def examine(rule: Any, variant: Variant, target_name: str, plant: str | None = None) -> dict[str, Any]:
    """Compile one kernel and describe it: its resources, its accesses and its faults."""
    target = TARGETS[target_name]
    built_rule, built, options = PLANTS[plant](rule, variant) if plant else (rule, variant, {})
    compiled = build(built_rule, built, target, **options)
    used, found = resources(compiled, target), accesses(compiled, target)
    faults = list(arithmetic_faults(variant, compiled, target))
    if used["spilled"]:
        faults.append(f"spills: {used['spilled']}")
    if variant.kernel == "update" and variant.aligned:
        faults += access_faults(rule, variant, found)
    where = {"rule": rule.name, "target": target_name, **vars(variant)}
    return {**where, **used, **found, "faults": faults}


class Pointer:
    """What a launch reads off a tensor to choose a specialisation."""

    dtype = "float32"

    def __init__(self, address: int) -> None:
        self.address = address

    def data_ptr(self) -> int:
        return self.address


def recompilations(rule: Any, plant: str | None = None) -> dict[str, Any]:
    """Ask Triton whether launches that differ in values only would be compiled separately."""
    backend = make_backend(TARGETS["sm_90"])
    faults = []
    for name in ("update", "prepare"):
        kernel = getattr(triton_kernels.kernels(rule), f"{name}_kernel")
        if plant == "specialise":
            kernel = triton.jit(kernel.fn)
        bind = create_function_from_signature(kernel.signature, kernel.params, backend)
        kinds: set[str] = set()
        for number, value, address in ((1, 1, 4), (16, 0.0, 64), (1000, 1e-3, 36)):
            values: dict[str, Any] = {parameter.name: value for parameter in kernel.params}
            tables = [table for table in ("table", "block_map", "scalar_table", "hyper_table") if table in values]
            scalars = [scalar for scalar in ("grad_scale", "found_inf", "lr_tensor") if scalar in values]
            values |= dict.fromkeys(tables, Pointer(4096)) | dict.fromkeys(scalars, Pointer(address))
            values |= {parameter.name: True for parameter in kernel.params if parameter.is_constexpr}
            if "tensors" in values:
                values["tensors"] = number
            kinds.add(repr(bind(**values)[1]))
        if len(kinds) > 1:
            faults.append(f"recompiles: {len(kinds)} kinds of {name}")
    return {"rule": rule.name, "kernel": "all", "faults": faults}


def flag_settings(rule: Any, full: bool) -> list[tuple[bool, ...]]:
    """Every setting of the flags, or: none, each alone, all."""
    settings = list(itertools.product((False, True), repeat=len(rule.flags)))
    return settings if full else [setting for setting in settings if sum(setting) in (0, 1, len(setting))]


# aligned, shared, amp
REST = ((True, True, False), (True, False, True), (False, False, False), (False, True, True))


def few_variants(rule: Any) -> Iterator[Variant]:
    """Every array and every flag, each kernel once."""
    setting = flag_settings(rule, full=False)[-1]
    yield Variant("update", setting, "float32")
    yield Variant("prepare", setting, "float32", shared=False, amp=True, **stored_types(rule)[0])


def some_variants(rule: Any) -> Iterator[Variant]:
    """A few of every kind."""
    settings = flag_settings(rule, full=False)
    for flags, dtype in itertools.product(settings, STORAGES):
        if dtype == "float32" or flags == settings[-1]:
            yield Variant("update", flags, dtype)
    for aligned, shared, amp in REST[1:]:
        yield Variant("update", settings[-1], "float32", aligned, shared, amp)
    for types, dtype in itertools.product(stored_types(rule), ("float32", "float64")):
        yield Variant("prepare", settings[-1], dtype, shared=False, amp=True, **types)


def all_variants(rule: Any) -> Iterator[Variant]:
    """Every flag with every dtype, and the rest in turn."""
    settings = flag_settings(rule, full=True)
    for (row, flags), (column, dtype) in itertools.product(enumerate(settings), enumerate(STORAGES)):
        yield Variant("update", flags, dtype, *REST[(row + column) % len(REST)])
    for flags, types, dtype in itertools.product(settings, stored_types(rule), ("float32", "float64")):
        yield Variant("prepare", flags, dtype, **types)
        yield Variant("prepare", flags, dtype, shared=False, amp=True, **types)


def stored_types(rule: Any) -> list[dict[str, str]]:
    """Types of the step and of other 0-d state."""
    if not rule.stores_step:
        return [{}]
    if not rule.tensor_state:
        return [{"step": "float32"}, {"step": "float64"}]
    return [
        {"step": "float32", "stored": "float32"},
        {"step": "float32", "stored": "bfloat16"},
        {"step": "float64", "stored": "float64"},
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every specialisation, in minutes rather than seconds")
    parser.add_argument("--plant", choices=list(PLANTS), help="put a fault into one kernel a rule, to see it found")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    arguments = parser.parse_args()
    if arguments.plant == "approximate":
        plant_approximations()
    faulty = 0
    for name in arguments.rules:
        rule = load_rule(FUSED / f"{name}.py")
        choose = all_variants if arguments.full else some_variants if name == RULES[0] else few_variants
        chosen = list(choose(rule))
        kernels = itertools.product(chosen[:1] if arguments.plant else chosen, TARGETS)
        reports = (examine(rule, variant, target, arguments.plant) for variant, target in kernels)
        for report in itertools.chain([recompilations(rule, arguments.plant)], reports):
            faulty += bool(report["faults"])
            print(json.dumps(report), flush=True)
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
