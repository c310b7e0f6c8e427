"""`optbench compare`: laws and speed."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .options import Format, Request, Suite, split


def compare(
    algo: options.Algo,
    impl: options.Impl = None,
    baseline: options.Baseline = "torch-best",
    device: options.Device = "cpu",
    dtype: options.Dtype = None,
    suite: options.SuiteOption = Suite.quick,
    no_check: Annotated[bool, typer.Option("--no-check", help="Check no laws.")] = False,
    no_bench: Annotated[bool, typer.Option("--no-bench", help="Time nothing.")] = False,
    workload: options.Workload = None,
    keyword: options.Keyword = "",
    law: options.LawOption = None,
    seed: options.Seed = 0,
    require: options.RequireOption = None,
    expect: options.Expect = None,
    format: options.FormatOption = Format.table,
    output: options.Output = "-",
    html: options.Html = None,
    resume: options.Resume = None,
) -> None:
    """Check and time an algorithm's implementations; write a record and a report.

    Example: optbench compare --algo adam
    """
    from .running import execute

    execute(
        Request(
            "compare", algo, split(impl), baseline, device, split(dtype), suite, split(workload), keyword, split(law),
            seed, format, output, html, resume, require is not None, not no_check, not no_bench,
            expect,
        )
    )  # fmt: skip
