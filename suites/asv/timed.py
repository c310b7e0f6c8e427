"""Times, as asv follows them: a step's seconds over those of torch.optim's default path, so that less is better.

All times of a commit come from one run, which asv makes once (`setup_cache`): a heat a workload, in one process, every
implementation in turn with torch's, on one thread: where others use the machine too, a second one waits now and then,
and a ratio says more about that than about a step. A benchmark looks its ratio up.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

from optbench import registry, subjects
from optbench.timing import bench

from ._what import MATRICES, NAMES, TABLES, TIERS, VERSION, algos, wanted, workload

_SECONDS = float(os.environ.get("OPTBENCH_ASV_SECONDS", "1"))

Key = tuple[str, ...]
Rows = dict[Key, dict[str, Any]]


def setup_cache() -> Rows:
    """For each (algo, implementation, workload) its row of a run."""
    from optbench.timing.steady import one_thread

    kinds: tuple[Any, ...] = (Optimizers, Matrices, Tables, Averages, Schedulers)
    with one_thread():
        return {key: row for kind in kinds for pair in wanted(kind.params) for key, row in _heat(*pair)}


setup_cache.timeout = 1200  # type: ignore[attr-defined]


def _heat(algo: str, name: str) -> Iterator[tuple[Key, dict[str, Any]]]:
    plan = bench.BenchPlan(
        [subjects.load(algo)],
        [registry.find(tier) for tier in TIERS],
        frozenset(TIERS),
        workloads=[workload(name)],
        # Not torch's fastest path, which may be another one the next time.
        baseline=bench.TORCH,
        seconds=_SECONDS,
    )
    for measurement in bench.run(plan):
        yield (algo, measurement.implementation, name), measurement.to_json()


class _Timed:
    param_names = NAMES

    def track_time(self, rows: Rows, *key: str) -> float:
        row = rows.get(key, {})
        if row.get("refused"):
            # asv calls it a failure, and its comparison a regression.
            raise RuntimeError(f"{' '.join(key)}: {row['refused']}")
        ratio = row.get("ratio_to_baseline")
        # More digits would only be noise in what is kept.
        return float(f"{1 / ratio:.4g}") if ratio else math.nan

    track_time.unit = "of torch's time"  # type: ignore[attr-defined]
    track_time.version = VERSION  # type: ignore[attr-defined]


class Optimizers(_Timed):
    """A step on dense gradients: the host's overhead, a small model, memory."""

    params = (algos("optimizer", closures=False), TIERS, ["100x64", "100x1024", "1x1M"])


class Matrices(_Timed):
    """A step of an optimizer that sees whole matrices."""

    params = (algos("optimizer", "matrices"), TIERS, MATRICES)


class Tables(_Timed):
    """A step on sparse gradients."""

    params = (algos("optimizer", "rows"), TIERS, TABLES)


class Averages(_Timed):
    """An update of an average of weights."""

    params = (algos("averager"), TIERS, ["100x64", "1x1M"])


class Schedulers(_Timed):
    """A step of a schedule."""

    params = (algos("scheduler"), TIERS, ["100groups"])
