"""RAdam's declaration."""

from ._declare import Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, FLOAT_BETAS, LATER, LR_VALUES, MAXIMIZE, WEIGHT_DECAY, refused, refused_betas

SUBJECT = Subject(
    name="radam",
    class_name="RAdam",
    kind="optimizer",
    summary="Adam that leaves the denominator out of its first steps and rectifies its variance later",
    papers=(
        Paper("L. Liu, H. Jiang, P. He, W. Chen, X. Liu, J. Gao, J. Han",
              "On the Variance of the Adaptive Learning Rate and Beyond", 2020, "https://arxiv.org/abs/1908.03265"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay (coupled)
p = p - lr*weight_decay*p               if decoupled_weight_decay
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g*g
n = m/(1 - beta1**t)
R = 2/(1 - beta2) - 1
r = R - 2*t*beta2**t/(1 - beta2**t)
d = (sqrt(v) + eps)/sqrt(1 - beta2**t)
c = sqrt((r - 4)*(r - 2)*R / ((R - 4)*(R - 2)*r))
p = p - lr*n * (c/d if r > 5 else 1)""",
    options=(
        Option("lr", 1e-3, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        FLOAT_BETAS,
        Option("eps", 1e-8, (1e-8, 1e-3), "eps >= 0", "added to the root of the second moment"),
        WEIGHT_DECAY,
        Option("decoupled_weight_decay", False, (False, True), "bool", "shrink the parameter instead",
               needs={"weight_decay": 0.1}),
        MAXIMIZE, CAPTURABLE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
        StateEntry("exp_avg", "element", "running mean of the gradient", drives=True),
        StateEntry("exp_avg_sq", "element", "running mean of the squared gradient"),
    ),
    illegal=(*refused("lr", "eps", "weight_decay"), *refused_betas()),
    fullest={"weight_decay": 0.1},
    # The length of the average is 7 where 1,999 and 1,992 are subtracted.
    cancels=float(1 << 14),
    # The first five steps are not rectified.
    steps=8,
    later=(*LATER, "decoupled_weight_decay"),
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.1, "betas": (0.9, 0.95)}, "network": {"lr": 0.3}},
)  # fmt: skip
