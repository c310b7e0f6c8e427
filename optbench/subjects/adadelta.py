"""Adadelta's declaration."""

from ._declare import Illegal, Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, LATER, LR_VALUES, MAXIMIZE, WEIGHT_DECAY, refused

SUBJECT = Subject(
    name="adadelta",
    class_name="Adadelta",
    kind="optimizer",
    summary="scales the gradient by the ratio of two running root mean squares, of updates and of gradients",
    papers=(
        Paper("M. D. Zeiler", "ADADELTA: An Adaptive Learning Rate Method", 2012, "https://arxiv.org/abs/1212.5701"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay
v = rho*v + (1 - rho)*g*g
u = sqrt(a + eps)/sqrt(v + eps) * g
a = rho*a + (1 - rho)*u*u
p = p - lr*u""",
    options=(
        Option("lr", 1.0, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "factor of the update"),
        Option("rho", 0.9, (0.9, 0.6), "0 <= rho <= 1", "decay rate of both running means"),
        Option("eps", 1e-6, (1e-6, 1e-3), "eps >= 0", "added below both roots"),
        WEIGHT_DECAY, CAPTURABLE, MAXIMIZE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor", idle="it only counts"),
        StateEntry("square_avg", "element", "running mean of the squared gradient"),
        StateEntry("acc_delta", "element", "running mean of the squared update"),
    ),
    illegal=(
        *refused("lr", "eps", "weight_decay"),
        Illegal({"rho": -0.25}, "ValueError", "-0.25"),
        Illegal({"rho": 1.0001}, "ValueError", "1.0001"),
    ),
    edges=({"rho": 0.0}, {"rho": 1.0}, {"lr": 0.0}, {"eps": 0.0}),
    fullest={"weight_decay": 0.1},
    later=LATER,
    tuned={
        "quadratic": {"lr": 10.0, "eps": 0.0001}, "rosenbrock": {"lr": 1.0, "eps": 0.0001},
        "network": {"lr": 10.0, "eps": 0.0001},
    },
)  # fmt: skip
