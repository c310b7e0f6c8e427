"""Adagrad's declaration."""

from ._declare import Illegal, Option, Paper, StateEntry, Subject
from .adam import LR_VALUES, MAXIMIZE, WEIGHT_DECAY, refused

SUBJECT = Subject(
    name="adagrad",
    class_name="Adagrad",
    kind="optimizer",
    summary="divides by the root of the sum of all squared gradients, so that its steps only shrink",
    papers=(
        Paper("J. Duchi, E. Hazan, Y. Singer",
              "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", 2011,
              "https://jmlr.org/papers/v12/duchi11a.html"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay
s = s + g*g                             from s = initial_accumulator_value
p = p - lr/(1 + (t - 1)*lr_decay) * g/(sqrt(s) + eps)""",
    options=(
        Option("lr", 1e-2, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        Option("lr_decay", 0, (0, 0.25), "lr_decay >= 0", "decay of the step size"),
        WEIGHT_DECAY,
        Option("initial_accumulator_value", 0, (0, 0.5), ">= 0", "what the sum starts from",
               settled=True),
        Option("eps", 1e-10, (1e-10, 1e-3), "eps >= 0", "added to the root of the sum"),
        MAXIMIZE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
        StateEntry("sum", "element", "sum of squared gradients"),
    ),
    illegal=(
        *refused("lr", "eps", "weight_decay", "lr_decay", "initial_accumulator_value"),
        Illegal({"fused": True, "foreach": True}, "RuntimeError", "fused"),
        Illegal({"fused": True, "differentiable": True}, "RuntimeError", "differentiable"),
    ),
    fullest={"lr_decay": 0.25, "initial_accumulator_value": 0.5},
    state_at_start=True,
    sparse_without=("weight_decay",),
    later=("foreach", "maximize", "differentiable", "fused"),
    tuned={"quadratic": {"lr": 1.0}, "rosenbrock": {"lr": 0.3}, "network": {"lr": 0.1}},
)  # fmt: skip
