"""Adamax's declaration."""

from ._declare import Option, StateEntry, Subject
from .adam import CAPTURABLE, FLOAT_BETAS, LATER, LR_VALUES, MAXIMIZE, PAPER, WEIGHT_DECAY, refused, refused_betas

SUBJECT = Subject(
    name="adamax",
    class_name="Adamax",
    kind="optimizer",
    summary="Adam with the decayed largest gradient in the place of the root mean square",
    papers=(PAPER,),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay
m = beta1*m + (1 - beta1)*g
u = max(beta2*u, abs(g) + eps)
p = p - lr/(1 - beta1**t) * m/u""",
    options=(
        Option("lr", 2e-3, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        FLOAT_BETAS,
        Option("eps", 1e-8, (1e-8, 1e-3), "eps >= 0", "added to the size of the gradient"),
        WEIGHT_DECAY, MAXIMIZE, CAPTURABLE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
        StateEntry("exp_avg", "element", "running mean of the gradient", drives=True),
        StateEntry("exp_inf", "element", "decayed largest size of the gradient"),
    ),
    illegal=(*refused("lr", "eps", "weight_decay"), *refused_betas()),
    fullest={"weight_decay": 0.1},
    later=LATER,
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.2, "betas": (0.9, 0.95)}, "network": {"lr": 0.1}},
)  # fmt: skip
