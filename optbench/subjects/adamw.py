"""AdamW's declaration: Adam with decoupled weight decay and a default of 0.01 for it."""

from ._declare import Option, Paper, Subject
from .adam import (
    ADAM_LATER,
    AMSGRAD,
    AMSGRAD_PAPER,
    BETAS,
    CAPTURABLE,
    EDGES,
    EPS,
    FULLEST,
    ILLEGAL,
    LR,
    MAXIMIZE,
    STATE,
)

SUBJECT = Subject(
    name="adamw",
    class_name="AdamW",
    kind="optimizer",
    summary="Adam whose weight decay shrinks the parameter instead of joining the gradient",
    papers=(
        Paper("I. Loshchilov, F. Hutter", "Decoupled Weight Decay Regularization", 2019, "https://arxiv.org/abs/1711.05101"),
        AMSGRAD_PAPER,
    ),
    rule="""\
g = -g                                  if maximize
p = p - lr*weight_decay*p
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g*g
v_max = max(v_max, v)                   if amsgrad, which then divides by v_max
p = p - lr/(1 - beta1**t) * m / (sqrt(v)/sqrt(1 - beta2**t) + eps)""",
    options=(
        LR, BETAS, EPS,
        Option("weight_decay", 1e-2, (1e-2, 0, 0.3), "weight_decay >= 0", "decay of the parameter, times lr",
               decays=True),
        AMSGRAD, MAXIMIZE, CAPTURABLE,
    ),
    state=STATE,
    illegal=ILLEGAL,
    edges=EDGES,
    fullest=FULLEST,
    later=ADAM_LATER,
    tuned={
        "quadratic": {"lr": 0.3, "weight_decay": 0}, "rosenbrock": {"lr": 0.1, "weight_decay": 0},
        "network": {"lr": 0.1, "weight_decay": 0},
    },
)  # fmt: skip
