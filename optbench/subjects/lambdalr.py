"""LambdaLR's declaration."""

from ._declare import REQUIRED, Illegal, Option, Subject
from ._schedule import Constant, Each, Plain, Power, Ramp

LR_LAMBDA = Option(
    "lr_lambda", REQUIRED, (Power(0.9), Each((Power(0.9), Ramp(4))), Plain(Ramp(6))), "a function of the epoch, or a "
    "list of one for each group", "the factor",
)  # fmt: skip
ILLEGAL = (
    Illegal({"lr_lambda": Each((Power(0.9), Power(0.8), Power(0.7)))}, "ValueError", "3"),
    Illegal({"lr_lambda": 0.5}, "TypeError", "0.5"),
    Illegal({"lr_lambda": Each((Power(0.9), 0.25))}, "TypeError", "0.25"),
)

SUBJECT = Subject(
    name="lambdalr",
    class_name="LambdaLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="the initial rate times a function of the epoch",
    papers=(),
    rule="lr(t) = initial_lr * lr_lambda(t)",
    options=(LR_LAMBDA,),
    state=(),
    illegal=ILLEGAL,
    base={"lr_lambda": Power(0.9)},
    fullest={"lr_lambda": Each((Power(0.9), Ramp(4)))},
    dtypes=("float64",),
    absolute=True,
    degenerate=({"lr_lambda": Constant(0.0)}, {"lr_lambda": Constant(1.0)}, {"lr_lambda": Constant(1e100)}),
)
