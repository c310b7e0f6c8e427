"""`optbench check`: the conformance half."""

from __future__ import annotations

from . import options
from .options import Format, Request, Suite, split


def check(
    algo: options.AlgoOrOwn = "",
    impl: options.Impl = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = None,
    suite: options.SuiteOption = Suite.quick,
    keyword: options.Keyword = "",
    law: options.LawOption = None,
    seed: options.Seed = 0,
    require: options.RequireOption = None,
    expect: options.Expect = None,
    oracle: options.OracleOption = "",
    format: options.FormatOption = Format.table,
    output: options.Output = "-",
    html: options.Html = None,
    resume: options.Resume = None,
    repro: options.Repro = None,
) -> None:
    """Check which laws an algorithm's implementations keep, or a class of your own.

    Example: optbench check --algo adam --impl path/to/my_adam.py:MyAdam
    """
    from .running import execute

    execute(
        Request(
            "check", algo, split(impl), "torch-best", device, split(dtype), suite, (), keyword, split(law), seed,
            format, output, html, resume, require is not None, bench=False, expect=expect, oracle=oracle, repro=repro,
        )
    )  # fmt: skip
