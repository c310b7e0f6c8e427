"""PolynomialLR's declaration."""

import math

from ._declare import Option, Paper, Subject
from ._schedule import TOTAL_ITERS

SUBJECT = Subject(
    name="polynomiallr",
    class_name="PolynomialLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="falls to zero as a power of the epochs that are left",
    papers=(Paper("W. Liu, A. Rabinovich, A. C. Berg", "ParseNet: Looking Wider to See Better", 2015,
                  "https://arxiv.org/abs/1506.04579"),),
    rule="lr(t) = initial_lr * (1 - min(t, total_iters) / total_iters)**power",
    options=(TOTAL_ITERS, Option("power", 1.0, (1.0, 0.5, 2.0), "power >= 0", "the exponent")),
    state=(),
    fullest={"total_iters": 8, "power": 2.0},
    dtypes=("float64",),
    degenerate=(
        {"total_iters": 0}, {"total_iters": 1}, {"total_iters": 2.5}, {"total_iters": 10**9},
        {"total_iters": math.inf}, {"power": 0.0},
        {"power": 30.0}, {"power": -1.0},
    ),
)  # fmt: skip
