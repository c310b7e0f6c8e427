"""`make asv-compare`: what got worse between two commits, by asv's own comparison.

    python -m optbench.suites.regressions main --head HEAD --machine NAME

Counted figures are exact: any rise is a regression. A time is one if its ratio to torch's rose by more than a tenth,
and rose so again when both commits were measured a second time, longer: the better of the new figures against the
worse of the old ones. Commits that were measured before are measured again only for that.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from asv import config, results
from asv.commands.compare import Compare

FACTOR = 1.1
AGAIN_SECONDS = "3"
CONFIG = "asv.conf.json"


class Benchmark(NamedTuple):
    """One combination of parameters, as asv writes them."""

    name: str
    params: tuple[str, ...]
    environment: str = ""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.params)})"

    @property
    def pattern(self) -> str:
        """For asv's --bench."""
        return f"^{re.escape(str(self))}$"

    @property
    def measured(self) -> str:
        """For OPTBENCH_ASV_ONLY: "adam 1x1M"."""
        return f"{self.params[0]} {self.params[-1]}".replace("'", "")


Times = dict[Benchmark, float | None]


def beyond(before: Times, after: Times, factor: float) -> set[Benchmark]:
    """What rose beyond a factor; what failed, or was not measured, did not."""
    return {key for key, value in after.items() if (value or 0.0) > factor * (before.get(key) or math.inf)}


def _either(one: Times, other: Times, choose: Callable[[float, float], float]) -> Times:
    values = {key: (one.get(key), other.get(key)) for key in one.keys() & other.keys()}
    return {key: choose(a, b) if a and b else None for key, (a, b) in values.items()}


class Pair:
    """Two commits with their results on one machine.

    Args:
        conf: asv's.
        machine: asv's name of it.
        base: commit.
        head: commit.
    """

    def __init__(self, conf: Any, machine: str, base: str, head: str) -> None:
        self.conf, self.machine, self.base, self.head = conf, machine, base, head

    def measure(self, *arguments: str, only: Sequence[str] = ()) -> None:
        """Let asv run. Its status is not looked at: what failed has no value, and the comparison says so."""
        command = [sys.executable, "-m", "asv", "run", "--machine", self.machine, *arguments, "HASHFILE:-"]
        narrow = {"OPTBENCH_ASV_ONLY": ",".join(only), "OPTBENCH_ASV_SECONDS": AGAIN_SECONDS}
        environment = os.environ | (narrow if only else {})
        subprocess.run(command, input=f"{self.base}\n{self.head}\n", text=True, env=environment, check=False)

    def worse(self, prefix: str, factor: float) -> bool:
        """Print asv's comparison of the benchmarks that begin so; whether it calls any of them worse."""
        table = [list(self._rows(commit, prefix)) for commit in (self.base, self.head)]
        return bool(
            Compare.print_table(
                self.conf, self.base, self.head, factor, split=False, resultset_1=iter(table[0]),
                resultset_2=iter(table[1]), only_changed=True, sort="ratio",
            )[0]
        )  # fmt: skip

    def slower(self, factor: float) -> set[Benchmark]:
        """The times that rose beyond the factor."""
        return beyond(self.times(self.base), self.times(self.head), factor)

    def failed(self) -> set[Benchmark]:
        """Those that had a time, and now fail."""
        before, after = self.times(self.base), self.times(self.head)
        return {key for key, value in after.items() if value is None and before.get(key) is not None}

    def times(self, commit: str) -> Times:
        """Ratios to torch's time; None where it failed, no number where there is none."""
        found: Times = {}
        for name, params, values, *_, environment in self._rows(commit, "timed."):
            keys = [Benchmark(name, each, environment) for each in product(*params)]
            found.update(zip(keys, values or [None] * len(keys), strict=True))
        return found

    def _rows(self, commit: str, prefix: str) -> Iterator[tuple[Any, ...]]:
        """What asv's comparison takes: name, params, values, statistics, samples, version, machine, environment."""
        for found in results.iter_results_for_machine_and_hash(self.conf.results_dir, self.machine, commit):
            for name in found.get_all_result_keys():
                if name.startswith(prefix):
                    params = found.get_result_params(name)
                    read = (found.get_result_value, found.get_result_stats, found.get_result_samples)
                    yield (name, params, *(each(name, params) for each in read), found.benchmark_version.get(name),
                           self.machine, found.env_name)  # fmt: skip


def judge(pair: Pair) -> int:
    """Compare two measured commits: 1 for a regression, else 0."""
    print("Counted figures, exactly:", flush=True)
    rose = pair.worse("counted.", 1.0)
    slow = pair.slower(FACTOR)
    if slow:
        print(f"{len(slow)} of the ratios to torch's time rose by more than {FACTOR - 1:.0%}: again.", flush=True)
        patterns = [argument for each in sorted(slow) for argument in ("--bench", each.pattern)]
        first = pair.times(pair.base), pair.times(pair.head)
        pair.measure(*patterns, only=sorted({each.measured for each in slow}))
        before, after = _either(first[0], pair.times(pair.base), max), _either(first[1], pair.times(pair.head), min)
        slow &= beyond(before, after, FACTOR)
    print("Ratios to torch's time:", flush=True)
    pair.worse("timed.", FACTOR)
    for each in sorted(slow):
        print(f"slower, both times: {each}")
    found = bool(rose or slow or pair.failed())
    print("REGRESSION" if found else "OK: nothing that is followed got worse.", flush=True)
    return int(found)


def _commit(name: str) -> str:
    found = subprocess.run(["git", "rev-parse", "--verify", f"{name}^{{commit}}"], capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{name!r} is no commit of this repository: name a branch, a tag or a hash, as in BASE=main.")
    return found.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What got worse between two commits, by asv's comparison.")
    parser.add_argument("base", help="a branch, tag or hash")
    parser.add_argument("--head", default="HEAD", help="the commit that is judged")
    parser.add_argument("--machine", required=True, help="asv's name of this machine")
    given = parser.parse_args(arguments)
    base, head = _commit(given.base), _commit(given.head)
    if base == head:
        print(f"{given.base} and {given.head} are one commit, {head[:8]}: there is nothing to compare.")
        return 0
    pair = Pair(config.Config.load(CONFIG), given.machine, base, head)
    pair.measure("--skip-existing")
    return judge(pair)


if __name__ == "__main__":
    sys.exit(main())
