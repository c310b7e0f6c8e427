"""Makes run records of a realistic shape. The figures are drawn at random: they measure nothing and are nobody's."""

from __future__ import annotations

import itertools
import random
from typing import Any

from optbench.runs.results import Measurement, Result

JUDGED = {"reference": "torch", "foreach": "foreach", "fused": "numba", "fused-triton": "triton-interpreter"}
CONTEXT = {"torch-forloop": "torch", "torch-foreach": "torch", "torch-fused": "torch"}
LAWS = {
    "opt.oracle": ("math", 24),
    "opt.matches_reference": ("math", 24),
    "opt.bit_exact": ("math", 8),
    "opt.eps_regime": ("math", 6),
    "opt.layouts": ("math", 14),
    "opt.shapes": ("math", 8),
    "opt.sparse_in_time": ("math", 6),
    "opt.pure": ("state", 5),
    "opt.groups": ("state", 4),
    "opt.round_trip": ("state", 5),
    "opt.interchange": ("torch", 6),
    "opt.replaced": ("torch", 4),
    "opt.version": ("torch", 4),
    "opt.errors": ("torch", 12),
}
DTYPES = ("float32", "float64", "bfloat16", "float16", "complex64")
LAYOUTS = ("contiguous", "transposed", "channels_last", "strided", "expanded")
# GB/s that the made-up implementations reach, and seconds that one of their calls costs.
SPEED = {
    "reference": (4.1, 4.0e-5),
    "foreach": (6.2, 5.0e-5),
    "fused": (19.4, 1.2e-5),
    "torch-forloop": (4.0, 3.8e-5),
    "torch-foreach": (6.0, 4.4e-5),
    "torch-fused": (17.3, 1.5e-5),
}
TENSORS = {"1000x64": (1000, 64000), "1000x64/autograd": (1000, 64000), "1x16M": (1, 1 << 24)}
CURVE = {"1x1K": 1 << 10, "1x16K": 1 << 14, "1x256K": 1 << 18, "1x4M": 1 << 22}
ROOF = 21.6e9
DEVIATIONS = {
    "D-007": {
        "torch_does": "pairs elements by memory order where the strides of parameter and gradient differ",
        "ours": "every layout gives the result of the contiguous one",
        "upstream": "https://github.com/pytorch/pytorch/issues/0",
        "script": "import torch\np = torch.zeros(2, 3).t().requires_grad_()\nassert True",
    },
    "D-011": {"torch_does": "a fused step on the CPU leaves the version counter as it was", "ours": "", "upstream": ""},
}


def make(
    subjects: tuple[str, ...] = ("adam", "sgd"),
    broken: bool = False,
    results: bool = True,
    measurements: bool = True,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """A record of one run.

    Args:
        broken: whether a judged implementation breaks a law.
        results: whether conformance was checked.
        measurements: whether anything was timed.
        device: "cpu", or "cuda" for a record of another machine.
    """
    rng = random.Random(seed)
    rows = [row for subject in subjects for row in _results(subject, broken, rng)] if results else []
    timed = [row for subject in subjects for row in _measurements(subject, device, rng)] if measurements else []
    return {
        "schema": "optbench.run/1",
        "command": f"optbench compare --algo {','.join(subjects)} --device {device}",
        "started": "2026-03-01T12:00:00+00:00",
        "finished": "2026-03-01T12:00:27+00:00",
        "environment": _environment(device),
        "plan": {"subjects": list(subjects), "suite": "quick", "device": device, "seed": seed},
        "results": [row.to_json() for row in rows],
        "measurements": [row.to_json() for row in timed],
        "coverage": {subject: _coverage() for subject in subjects} if results else {},
        "laws": {law: {"statement": f"what {law} says"} for law in LAWS} if results else {},
        "deviations": DEVIATIONS if results else {},
        "summary": _summary(broken, len(rows)),
    }


def _environment(device: str) -> dict[str, Any]:
    gpu = {"name": "Example GPU", "driver": "1.2.3", "runtime": "CUDA 12.8", "memory_bytes": 80 << 30}
    return {
        "optbench": "0.1.0", "python": "3.11.9", "torch": "2.13.0+cpu", "triton": "3.9.0", "numba": "0.68.1",
        "numpy": "2.4.6", "os": "Linux 6.1 x86_64", "cpu": "Example CPU", "cores": 2, "usable_cores": 2,
        "last_level_cache_bytes": 32 << 20, "memory_bytes": 24 << 30, "torch_threads": 2, "numba_threads": 2,
        "device": device, "gpu": gpu if device == "cuda" else None, "load_average": [0.4, 0.3, 0.2],
        "commit": "c0ffee" + "0" * 34, "dirty": False, "time": "2026-03-01T12:00:00+00:00", "seed": 0,
        "machine": "aaaa00000001" if device == "cpu" else "bbbb00000002",
    }  # fmt: skip


def _summary(broken: bool, count: int) -> dict[str, Any]:
    context = "Context: torch-fused breaks opt.layouts (known, D-007) and opt.version (known, D-011)."
    if broken:
        return {"sentence": f"BROKEN: foreach breaks opt.errors in 2 of {count} cases. {context}", "exit_status": 1}
    return {"sentence": f"OK: our 4 keep all {len(LAWS)} laws in {count} cases. {context}", "exit_status": 0}


def _results(subject: str, broken: bool, rng: random.Random) -> list[Result]:
    rows = []
    for law, (level, count) in LAWS.items():
        for name, backend in {**JUDGED, **CONTEXT}.items():
            for number in range(count):
                dtype, layout = DTYPES[number % 5], LAYOUTS[number // 2 % 5]
                case = f"{dtype}/{layout}/case{number}"
                plain: dict[str, Any] = {
                    "law": law,
                    "level": level,
                    "subject": subject,
                    "implementation": name,
                    "backend": backend,
                    "judged": name in JUDGED,
                    "case": case,
                    "reproduce": f"optbench check --algo {subject} --impl {name} -k '{law}[{case}]'",
                }
                rows.append(Result(**{**plain, **_outcome(law, level, name, number, dtype, layout, broken, rng)}))
    return rows


def _outcome(
    law: str, level: str, name: str, number: int, dtype: str, layout: str, broken: bool, rng: random.Random
) -> dict[str, Any]:
    error = {"error_ulp": abs(rng.gauss(0.8, 0.9)), "cap_ulp": 8.0} if level == "math" else {}
    passed: dict[str, Any] = {"verdict": "pass", "comparisons": 4096, **error}
    if name == "torch-fused" and dtype == "complex64":
        reason = "torch's fused path takes real floating-point parameters only"
        return {"verdict": "skip", "comparisons": 0, "message": reason}
    if name == "torch-fused" and law == "opt.layouts" and layout in ("transposed", "channels_last", "strided"):
        text = f"param {number}: scaled error 1.3e+06 (cap 8) in 511 of 4096 elements,\nfirst at [0, 1]: 0.25 for -0.75"
        return {
            "verdict": "fail",
            "comparisons": 4096,
            "error_ulp": 1.3e6,
            "cap_ulp": 8.0,
            "message": text,
            "deviation": "D-007",
        }
    if name == "torch-fused" and law == "opt.version":
        text = "the version counter of param 0 stayed at 3 over a step"
        return {"verdict": "fail", "comparisons": 12, "message": text, "deviation": "D-011"}
    if broken and name == "foreach" and law == "opt.errors" and number < 2:
        message = "TypeError: '<' not supported between 'str' and 'int'"
        finding = {
            "says": "Appears with lr=-0.25. Likely: illegal argument accepted.",
            "script": "assert False, '<b>'\n",
            "reproduce": f"optbench check --impl {name} -k 'opt.errors[1]'",
        }
        return {"verdict": "error", "comparisons": 0, "message": message, "finding": finding if not number else None}
    if law == "opt.bit_exact" and name == "foreach" and dtype == "float16":
        text = "not bit-exact: 3 of 4096 elements differ in the last place"
        return {"verdict": "precision", "comparisons": 4096, "error_ulp": 1.0, "cap_ulp": 8.0, "message": text}
    if law == "opt.bit_exact" and name == "reference":
        return {**passed, "error_ulp": 0.0}
    return passed


def _measurements(subject: str, device: str, rng: random.Random) -> list[Measurement]:
    rows = []
    for workload in (*TENSORS, *CURVE):
        tensors, elements = TENSORS.get(workload, (1, CURVE.get(workload, 0)))
        seconds = {name: _seconds(name, elements, tensors, rng) for name in SPEED}
        for name, own in seconds.items():
            ratio = seconds["torch-fused"] / own
            width = 1 + abs(rng.gauss(0, 0.02))
            shared: dict[str, Any] = {
                "subject": subject,
                "implementation": name,
                "backend": {**JUDGED, **CONTEXT}[name],
                "workload": workload,
                "device": device,
                "dtype": "float32",
                "judged": name in JUDGED,
                "elements": elements,
                "tensors": tensors,
                "baseline": "torch-fused",
                "gradients": "moving" if "autograd" in workload else "standing",
                "noise_floor": 0.021,
                "curve": workload in CURVE,
            }
            if _refused(subject, name, workload):
                reason = "fails the oracle on this workload: param 0 did not move"
                rows.append(Measurement(**shared, refused=reason))
                continue
            verdict = "same" if abs(ratio - 1) < 0.03 else "faster" if ratio > 1 else "slower"
            rows.append(
                Measurement(
                    **shared,
                    **_timing(own, elements),
                    ratio_to_baseline=ratio,
                    ratio_low=ratio / width,
                    ratio_high=ratio * width,
                    verdict="unsure" if rng.random() < 0.05 else verdict,
                    state_bytes_per_element=8.0,
                    peak_temporary_bytes=0 if "fused" in name else 8 * elements,
                    dispatched_ops=1 if "fused" in name else 12 * tensors,
                    first_call_s=0.3,
                )
            )
    return rows


def _timing(seconds: float, elements: int) -> dict[str, Any]:
    speed = 28 * elements / seconds
    return {
        "median_s": seconds,
        "min_s": seconds * 0.97,
        "iqr_s": seconds * 0.04,
        "cpu_s": seconds * 1.9,
        "rounds": 31,
        "bytes_per_step": 28 * elements,
        "bandwidth_bytes_per_s": speed,
        "roof_bytes_per_s": ROOF,
        "bandwidth_fraction": speed / ROOF,
    }


def _refused(subject: str, name: str, workload: str) -> bool:
    return subject == "sgd" and name == "torch-fused" and workload == "1000x64/autograd"


def _seconds(name: str, elements: int, tensors: int, rng: random.Random) -> float:
    cached = 2.5 if elements < 1 << 20 else 1.0
    per_tensor = 0.02 if name == "fused" else 0.5
    speed, call = SPEED[name]
    overhead = call * (1 + per_tensor * (tensors - 1))
    return (overhead + 28 * elements / (speed * 1e9 * cached)) * abs(rng.gauss(1, 0.02))


def _coverage() -> dict[str, Any]:
    factors = {
        "amsgrad": ["False", "True"],
        "maximize": ["False", "True"],
        "weight_decay": ["0", "0.1"],
        "betas": ["0.9:0.999", "0:0.9"],
        "dtype": list(DTYPES),
        "layout": list(LAYOUTS),
        "moment": ["every step", "late", "gap", "none"],
    }
    names = list(factors)
    pairs: list[list[Any]] = []
    for first, second in itertools.combinations(names, 2):
        total = len(factors[first]) * len(factors[second])
        pairs.append([first, second, total, total])
    covered = sum(pair[2] for pair in pairs)
    return {"factors": factors, "covered": covered, "total": covered, "pairs": pairs}
