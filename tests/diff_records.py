"""Records of runs that never took place, as `optbench.runs.records.read` gives them."""

import copy

from optbench.runs.records import dumps
from tests.cli.fakes import measurement, result

COUNTED = {
    "bytes_per_step": 469762048, "dispatched_ops": 2, "peak_temporary_bytes": 0, "state_bytes_per_element": 8.0,
    "threads": 2,
}  # fmt: skip


def timing(implementation="fused", speed=1.31, spread=0.02, **fields):
    """A measurement whose interval reaches `spread` to both sides of its ratio."""
    own = {} if "judged" in fields else {"judged": not implementation.startswith("torch")}
    ratio = {"ratio_to_baseline": speed, "ratio_low": speed * (1 - spread), "ratio_high": speed * (1 + spread)}
    return measurement(**{"implementation": implementation, **COUNTED, **ratio, **own, **fields}).to_json()


def baseline(**fields):
    return timing("torch-fused", 1.0, 0.0, **fields)


def record(measurements=(), results=(), **environment):
    where = {"machine": "b888f84c3cff", "torch": "2.13.0+cpu", "cpu": "AMD EPYC", "torch_threads": 2, "seed": 0}
    return copy.deepcopy(
        {
            "schema": "optbench.run/1", "command": "optbench bench --algo adam", "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T00:01:00+00:00", "environment": {**where, **environment}, "plan": {},
            "results": [result(**row).to_json() for row in results], "measurements": list(measurements),
            "coverage": {}, "curves": {}, "laws": {}, "deviations": {}, "summary": {},
        }
    )  # fmt: skip


def save(path, *arguments, **fields):
    path.write_text(dumps(record(*arguments, **fields)), encoding="utf-8")
    return path
