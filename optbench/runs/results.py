"""What a run produces: results of laws, and measurements. Plain data, ready for JSON; importing this needs no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "fail", "precision", "error", "crash", "skip", "xfail", "xpass"]
Level = Literal["math", "state", "torch"]

VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "precision", "error", "crash", "skip", "xfail", "xpass")
# The verdicts that break a law. `precision` is a true loss of accuracy without a wrong formula: reported, not failed.
BROKEN: frozenset[Verdict] = frozenset({"fail", "error", "crash", "xpass"})


# How skips end that an option of the command line would have asked.
WITH_TORCH = "is asked of foreign code with --require torch"
WITH_DTYPE = "are asked of foreign code when --dtype names them"


@dataclass(frozen=True)
class Result:
    """The outcome of one law on one case of one implementation.

    Args:
        law: id of the law, "opt.layouts".
        level: "math", "state" or "torch".
        subject: the algorithm, "adam".
        implementation: name in the registry, or what `--impl` said.
        backend: what really ran it: "torch", "foreach", "numba", "triton", "triton-interpreter".
        judged: whether a broken law changes the exit status.
        case: id of the case, unique within law and subject.
        verdict: one of `VERDICTS`.
        comparisons: number of elements (or facts) compared; zero with verdict "pass" is refused.
        error_ulp: worst scaled error seen, None where the law has no numeric error.
        cap_ulp: the largest scaled error that passes, None likewise.
        message: one or a few lines: the first wrong quantity, by how much; for "skip" the reason.
        deviation: id of the row in the table of deviations that explains the failure, or None.
        reproduce: the command that reruns this very case.
        seconds: wall time of the check.
        finding: the first wrong quantity as plain data, see `optbench.failures.finding`; None where nothing was wrong.
    """

    law: str
    level: Level
    subject: str
    implementation: str
    backend: str
    judged: bool
    case: str
    verdict: Verdict
    comparisons: int
    error_ulp: float | None = None
    cap_ulp: float | None = None
    message: str = ""
    deviation: str | None = None
    reproduce: str = ""
    seconds: float = 0.0
    finding: dict[str, Any] | None = None

    @property
    def broken(self) -> bool:
        return self.verdict in BROKEN

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Measurement:
    """One implementation timed on one workload. Times are seconds per optimizer step.

    `ratio_to_baseline` is the median of the paired ratios baseline/this (above 1: this is faster than the baseline),
    with its bootstrap interval in `ratio_low`, `ratio_high`; `verdict` is "faster", "slower", "same" or "unsure".
    Where the implementation did not match the oracle on this very workload, or cannot run it, `refused` says why and
    every time is None: no number is printed for a wrong result.

    `noise_floor` is how far the baseline strayed from itself in the same run (0.02: its interval reaches 2% from 1);
    `scaled_error` the largest error that the check before timing saw; `curve` marks a point that is there for the
    throughput-against-size curve only; `peak_temporary_bytes` counts tensors that torch's dispatcher made for a step;
    `gradients` is "none" where a step needs none; `groups` counts a scheduler's parameter groups, 0 elsewhere.
    """

    subject: str
    implementation: str
    backend: str
    workload: str
    device: str
    dtype: str
    judged: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    gradients: str = "standing"
    elements: int = 0
    tensors: int = 0
    groups: int = 0
    median_s: float | None = None
    min_s: float | None = None
    iqr_s: float | None = None
    cpu_s: float | None = None
    rounds: int = 0
    bytes_per_step: int | None = None
    bandwidth_bytes_per_s: float | None = None
    roof_bytes_per_s: float | None = None
    bandwidth_fraction: float | None = None
    baseline: str = ""
    ratio_to_baseline: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    noise_floor: float | None = None
    verdict: str = ""
    state_bytes_per_element: float | None = None
    peak_temporary_bytes: int | None = None
    dispatched_ops: int | None = None
    first_call_s: float | None = None
    scaled_error: float | None = None
    threads: int | None = None
    load_average: float | None = None
    curve: bool = False
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
