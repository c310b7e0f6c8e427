"""ConstantLR's declaration."""

import math

from ._declare import Illegal, Option, Subject
from ._schedule import TOTAL_ITERS

SUBJECT = Subject(
    name="constantlr",
    class_name="ConstantLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="a factor until total_iters, 1 from there on",
    papers=(),
    rule="""\
lr(t) = initial_lr * factor             t < total_iters
      = initial_lr                      otherwise""",
    options=(Option("factor", 1.0 / 3, (1.0 / 3, 0.5, 1.0), "0 <= factor <= 1", "the factor"), TOTAL_ITERS),
    state=(),
    illegal=(
        Illegal({"factor": 1.0001}, "ValueError", "1.0001"),
        Illegal({"factor": -0.0001}, "ValueError", "-0.0001"),
    ),
    fullest={"factor": 0.5, "total_iters": 4},
    dtypes=("float64",),
    degenerate=(
        {"factor": 0.0}, {"total_iters": 0}, {"total_iters": 1}, {"total_iters": 2.5}, {"total_iters": 10**9},
        {"total_iters": math.inf},
        {"factor": 0.0, "total_iters": 0}, {"factor": 1.0},
    ),
)  # fmt: skip
