"""`optbench bench`: the timing half."""

from __future__ import annotations

from . import options
from .options import Format, Request, Suite, split


def bench(
    algo: options.Algo,
    impl: options.Impl = None,
    baseline: options.Baseline = "torch-best",
    device: options.Device = "cpu",
    dtype: options.Dtype = None,
    suite: options.SuiteOption = Suite.quick,
    workload: options.Workload = None,
    seed: options.Seed = 0,
    format: options.FormatOption = Format.table,
    output: options.Output = "-",
    html: options.Html = None,
    resume: options.Resume = None,
) -> None:
    """Time an algorithm's implementations; what computes wrong results is not timed.

    Example: optbench bench --algo adamw --workload train.py:build_model
    """
    from .running import execute

    execute(
        Request(
            "bench", algo, split(impl), baseline, device, split(dtype), suite, split(workload), "", (), seed,
            format, output, html, resume, check=False,
        )
    )  # fmt: skip
