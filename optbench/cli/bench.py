"""`optbench bench`: the timing half."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optbench.errors import UsageError

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
    steady: Annotated[
        bool,
        typer.Option("--steady", help="Count instead of timing: operations, launches, bytes, calls of a step."),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="With --steady: figures to compare with; exit status 1 if any "
                                                       "is worse. `--steady --format json -o FILE` writes them."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Try the timer, for eight minutes: how far the same code is from itself, and "
                                         "which planted slowdowns are found. Later runs here report it."),
    ] = False,
) -> None:  # fmt: skip
    """Time an algorithm's implementations; what computes wrong results is not timed.

    Example: optbench bench --algo adamw --workload train.py:build_model
    """
    from .running import execute

    if against and not steady:
        raise UsageError("--against compares the figures of --steady: add --steady, or see `optbench diff`.")
    if steady or calibrate:
        mode = "--steady" if steady else "--calibrate"
        given = {
            "--calibrate": steady and calibrate, "--dtype": dtype, "--html": html, "--resume": resume,
            "--workload": workload, "--baseline": baseline != "torch-best", "--suite": suite != Suite.quick,
            "--device": device != "cpu",
        }  # fmt: skip
        for name, value in given.items():
            if value:
                raise UsageError(f"{name} means nothing beside {mode}: drop one of them.")
        if steady:
            from .steady import steady as count

            return count(algo, split(impl), against, format, output, seed)
        from .calibrate import calibrate as try_the_timer

        return try_the_timer(algo, split(impl), format, output, seed)
    execute(
        Request(
            "bench", algo, split(impl), baseline, device, split(dtype), suite, split(workload), "", (), seed,
            format, output, html, resume, check=False,
        )
    )  # fmt: skip
