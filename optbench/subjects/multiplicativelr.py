"""MultiplicativeLR's declaration."""

from ._declare import REQUIRED, Option, Subject
from ._schedule import Constant, Each, Plain, Power, Ramp
from .lambdalr import ILLEGAL

LR_LAMBDA = Option(
    "lr_lambda", REQUIRED, (Constant(0.95), Each((Power(0.9), Ramp(4))), Plain(Ramp(6))), "a function of the epoch, or "
    "a list of one for each group", "the factor between one rate and the next",
)  # fmt: skip

SUBJECT = Subject(
    name="multiplicativelr",
    class_name="MultiplicativeLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="the last rate times a function of the epoch; LambdaLR multiplies the initial one",
    papers=(),
    rule="""\
lr(t) = lr(t - 1) * lr_lambda(t)        t = 1, 2, ...
      = initial_lr * lr_lambda(1) * ... * lr_lambda(t)""",
    options=(LR_LAMBDA,),
    state=(),
    illegal=ILLEGAL,
    base={"lr_lambda": Constant(0.95)},
    fullest={"lr_lambda": Each((Power(0.9), Ramp(4)))},
    dtypes=("float64",),
    degenerate=({"lr_lambda": Constant(0.0)}, {"lr_lambda": Constant(1.0)}),
)
