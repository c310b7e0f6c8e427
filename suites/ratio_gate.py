"""`make ratio-gate`: is a step slower than it was at another commit, seen twice?

    python -m optbench.suites.ratio_gate main

Both the working tree and the commit are timed against torch.optim's own path, each in its own process, and
`optbench diff` compares the ratios. What it calls a regression is timed once more: only what is one both times fails
the gate. A result that became wrong, and has no time, fails at once. Counted figures have a gate of their own, where a
change that costs some can renew them: `make steady`.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from optbench.runs.diff import compare
from optbench.runs.difference import Difference, Row, describe
from optbench.timing.calibration import GATE

# Those whose steps are short enough for many rounds of torch's for-loop; asv follows the others.
ALGOS = "adadelta,adagrad,adam,adamax,adamw,asgd,lion,nadam,radam,rmsprop,rprop,sgd,ema,swa"
WORKLOADS = "100x64,1x1M"
# The reference is for readers, and nobody waits for it.
IMPLEMENTATIONS = "foreach,fused"
RECORDS = Path(".optbench/ratio-gate")
# Half of the slowdown that is to be found: measured, half of all tenths are a little less than a tenth.
THRESHOLD = GATE / 2
# 1: a judged implementation was refused. The comparison tells whether it was before.
_USABLE = (0, 1)

Measure = Callable[[str], Difference]


def gate(measure: Measure, algos: str = ALGOS) -> list[Row]:
    """The regressions that stand.

    Args:
        measure: times both sides on some algorithms and compares them.
        algos: as for `--algo`.
    """
    first = measure(algos).regressions
    standing = [row for row in first if row.kind == "timed"]
    slower = [row for row in first if row.kind == "time"]
    if slower and not standing:
        for row in slower:
            print(f"slower, once: {describe(row)}", flush=True)
        again = {_key(row) for row in measure(_algos(slower)).regressions}
        standing = [row for row in slower if _key(row) in again]
    return standing


def _key(row: Row) -> tuple[str, ...]:
    return row.kind, row.subject, row.implementation, row.where, row.what


def _algos(rows: Iterable[Row]) -> str:
    return ",".join(sorted({row.subject for row in rows}))


def measure_trees(base: Path, head: Path, workloads: str = WORKLOADS) -> Measure:
    """Times two source trees with this Python, one after the other; the records stay in `RECORDS`."""

    def measure(algos: str) -> Difference:
        RECORDS.mkdir(parents=True, exist_ok=True)
        records = []
        for name, tree in (("base", base), ("head", head)):
            record = (RECORDS / f"{name}.json").resolve()
            what = ["--algo", algos, "--impl", IMPLEMENTATIONS, "--workload", workloads, "--baseline", "torch"]
            command = [sys.executable, "-m", "optbench", "bench", *what, "--format", "json", "-o", str(record)]
            # -m puts the tree before everything that is installed.
            status = subprocess.run(command, cwd=tree, check=False).returncode
            if status not in _USABLE:
                raise SystemExit(f"optbench bench ended with {status} at {name}.")
            records.append(record)
        return compare(records[0], records[1], threshold=THRESHOLD)

    return measure


def _unpack(commit: str, place: Path) -> None:
    made = subprocess.run(["git", "archive", "--format=tar", commit], capture_output=True)
    if made.returncode:
        raise SystemExit(f"{commit!r} is no commit of this repository: name a branch, a tag or a hash.")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(place, filter="data")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Is a step slower than at another commit, seen twice?")
    parser.add_argument("base", help="a branch, tag or hash")
    parser.add_argument("--algo", default=ALGOS, help="algorithms, as for optbench bench")
    parser.add_argument("--workload", default=WORKLOADS, help="workloads that fit them all")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        _unpack(given.base, Path(place))
        found = gate(measure_trees(Path(place), Path.cwd(), given.workload), given.algo)
    for row in found:
        print(f"REGRESSION: {describe(row)}")
    if not found:
        print(f"OK: nothing is slower than at {given.base}, twice.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
