"""LinearLR's declaration."""

import math

from ._declare import Illegal, Option, Subject
from ._schedule import GOYAL, TOTAL_ITERS

SUBJECT = Subject(
    name="linearlr",
    class_name="LinearLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="a factor that goes from start_factor to end_factor in a straight line: a warm-up",
    papers=(GOYAL,),
    rule="lr(t) = initial_lr * (start_factor + (end_factor - start_factor) * min(t, total_iters) / total_iters)",
    options=(
        Option("start_factor", 1.0 / 3, (1.0 / 3, 0.25, 1.0), "0 < start_factor <= 1", "the factor at epoch 0"),
        Option("end_factor", 1.0, (1.0, 0.5, 0.125), "0 <= end_factor <= 1", "the factor at the end"),
        TOTAL_ITERS,
    ),
    state=(),
    illegal=(
        Illegal({"start_factor": 0.0}, "ValueError", "0.0"),
        Illegal({"start_factor": 1.0001}, "ValueError", "1.0001"),
        Illegal({"start_factor": -0.25}, "ValueError", "-0.25"),
        Illegal({"end_factor": 1.0001}, "ValueError", "1.0001"),
        Illegal({"end_factor": -0.25}, "ValueError", "-0.25"),
    ),
    fullest={"start_factor": 0.25, "end_factor": 0.5, "total_iters": 4},
    dtypes=("float64",),
    degenerate=(
        {"end_factor": 0.0}, {"total_iters": 0}, {"total_iters": 1}, {"total_iters": 2.5}, {"total_iters": 10**9},
        {"total_iters": math.inf},
        {"start_factor": 1e-300}, {"start_factor": 0.3, "end_factor": 0.0, "total_iters": 7},
    ),
)  # fmt: skip
