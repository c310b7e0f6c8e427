"""What asv's benchmarks are parametrised by. Nothing here imports torch, so that asv's processes start at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from optbench import registry, subjects
from optbench.timing.workloads import ROWS, Workload

TIERS = [item.name for item in registry.IMPLEMENTATIONS.values() if item.ours and not item.worker]
NAMES = ("algo", "implementation", "workload")
# asv's own versions are hashes of the source text: a comment would begin a new history.
VERSION = "1"

_DECLARED = [subjects.load(name) for name in subjects.NAMES]
# Small ones, because torch's for-loop takes part in every round, and because kernels are gone through in Python.
_OWN = {
    workload.name: workload
    for workload in (
        Workload("16x(16,16)", ((16, 16),) * 16),
        Workload("8x(64,64)", ((64, 64),) * 8),
        Workload("8x(32,128)", ((32, 128),) * 8),
        Workload("8x(1024,64)/rows", ((1024, 64),) * 8, ROWS),
        Workload("64x(256,16)/rows", ((256, 16),) * 64, ROWS),
        Workload("1x(2048,64)/rows", ((2048, 64),), ROWS),
    )
}
MATRICES = [name for name in _OWN if not name.endswith(ROWS)]
TABLES = [name for name in _OWN if name.endswith(ROWS)]


def algos(kind: str, ground: str = "", closures: bool = True) -> list[str]:
    """The subjects of a kind, on the ground that they are timed on; those that call a closure on request only."""
    return [
        each.name
        for each in _DECLARED
        if each.kind == kind and each.ground == (ground or kind) and (closures or not each.closure)
    ]


def workload(name: str) -> str | Workload:
    """What `BenchPlan` takes for a name."""
    return _OWN.get(name, name)


def wanted(params: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    """(algo, workload) that are measured: all, or what OPTBENCH_ASV_ONLY says, as in "adam,sgd 1x1M".

    What is left out is not available to asv, rather than zero.
    """
    only = [item.strip() for item in os.environ.get("OPTBENCH_ASV_ONLY", "").split(",") if item.strip()]
    for algo in params[0]:
        for name in params[2]:
            if not only or algo in only or f"{algo} {name}" in only:
                yield algo, name
