"""Figures that no clock decides, as asv follows them: what a step launches, moves, allocates and keeps."""

from __future__ import annotations

import math
from typing import Any

from optbench import registry, subjects

from ._what import MATRICES, NAMES, TABLES, TIERS, VERSION, algos, wanted, workload

Key = tuple[str, ...]
Rows = dict[Key, dict[str, Any]]


def setup_cache() -> Rows:
    """For each (algo, implementation, workload) its figures; asv calls this once a commit."""
    from optbench.timing import steady
    from optbench.timing.entrant import Refused
    from optbench.timing.workloads import parse

    kinds: tuple[Any, ...] = (Optimizers, Matrices, Tables, Averages, Schedulers)
    rows: Rows = {}
    with steady.one_thread():
        for algo, name in [pair for kind in kinds for pair in wanted(kind.params)]:
            load = workload(name)
            load = parse(load) if isinstance(load, str) else load
            for tier in TIERS:
                try:
                    found = steady.measure(subjects.load(algo), registry.find(tier), load).to_json()
                except Refused as why:
                    found = {"refused": str(why)}
                rows[algo, tier, name] = found
    return rows


setup_cache.timeout = 1200  # type: ignore[attr-defined]


def _figure(rows: Rows, key: Key, name: str) -> float:
    row = rows.get(key, {})
    if row.get("refused"):
        # asv calls it a failure, and its comparison a regression.
        raise RuntimeError(f"{' '.join(key)}: {row['refused']}")
    return float(row.get(name, math.nan))


class _Counted:
    param_names = NAMES

    def track_dispatched_ops(self, rows: Rows, *key: str) -> float:
        return _figure(rows, key, "dispatched_ops")

    def track_launches(self, rows: Rows, *key: str) -> float:
        return _figure(rows, key, "launches")

    def track_bytes_moved(self, rows: Rows, *key: str) -> float:
        return _figure(rows, key, "moved_bytes")

    def track_peak_memory(self, rows: Rows, *key: str) -> float:
        return _figure(rows, key, "temporary_bytes")

    def track_state(self, rows: Rows, *key: str) -> float:
        return _figure(rows, key, "state_bytes")

    track_dispatched_ops.unit = "ops"  # type: ignore[attr-defined]
    track_launches.unit = "launches"  # type: ignore[attr-defined]
    for _track in (track_bytes_moved, track_peak_memory, track_state):
        _track.unit = "bytes"  # type: ignore[attr-defined]
    for _track in (track_dispatched_ops, track_launches, track_bytes_moved, track_peak_memory, track_state):
        _track.version = VERSION  # type: ignore[attr-defined]
    del _track


class Optimizers(_Counted):
    """A step on dense gradients; LBFGS's calls a closure that costs nothing."""

    params = (algos("optimizer"), TIERS, ["100x64", "100x1024", "1x16K"])


class Matrices(_Counted):
    """A step of an optimizer that sees whole matrices."""

    params = (algos("optimizer", "matrices"), TIERS, MATRICES)


class Tables(_Counted):
    """A step on sparse gradients."""

    params = (algos("optimizer", "rows"), TIERS, TABLES)


class Averages(_Counted):
    """An update of an average of weights."""

    params = (algos("averager"), TIERS, ["100x64", "1x16K"])


class Schedulers:
    """A step of a schedule, which is the host's work alone."""

    params = (algos("scheduler"), TIERS, ["100groups"])
    param_names = NAMES

    def track_host_calls(self, rows: Rows, *key: str) -> float:
        """Functions called, in Python and in C; another version of either counts otherwise."""
        return _figure(rows, key, "host_calls")

    track_host_calls.unit = "calls"  # type: ignore[attr-defined]
    track_host_calls.version = VERSION  # type: ignore[attr-defined]
