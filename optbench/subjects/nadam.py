"""NAdam's declaration."""

from ._declare import Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, FLOAT_BETAS, LATER, LR_VALUES, MAXIMIZE, WEIGHT_DECAY, refused, refused_betas

SUBJECT = Subject(
    name="nadam",
    class_name="NAdam",
    kind="optimizer",
    summary="Adam with Nesterov momentum that warms up",
    papers=(
        Paper("T. Dozat", "Incorporating Nesterov Momentum into Adam", 2016,
              "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay (coupled)
p = p - lr*weight_decay*p               if decoupled_weight_decay
mu_t = beta1*(1 - 0.96**(t*momentum_decay)/2)
M = M*mu_t                              from M = 1
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g*g
n = (1 - mu_t)/(1 - M) * g + mu_(t+1)/(1 - M*mu_(t+1)) * m
p = p - lr*n/(sqrt(v/(1 - beta2**t)) + eps)""",
    options=(
        Option("lr", 2e-3, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        FLOAT_BETAS,
        Option("eps", 1e-8, (1e-8, 1e-3), "eps >= 0", "added to the root of the second moment"),
        WEIGHT_DECAY,
        Option("momentum_decay", 4e-3, (4e-3, 0.5), "momentum_decay >= 0", "how slowly the momentum warms up"),
        Option("decoupled_weight_decay", False, (False, True), "bool", "shrink the parameter instead",
               needs={"weight_decay": 0.1}),
        MAXIMIZE, CAPTURABLE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
        StateEntry("mu_product", "number", "product of the momenta of all steps"),
        StateEntry("exp_avg", "element", "running mean of the gradient", drives=True),
        StateEntry("exp_avg_sq", "element", "running mean of the squared gradient"),
    ),
    illegal=(*refused("lr", "eps", "weight_decay", "momentum_decay"), *refused_betas()),
    edges=({"lr": 0.0}, {"eps": 0.0}, {"momentum_decay": 0.0}, {"betas": (0.0, 0.0)}),
    fullest={"weight_decay": 0.1},
    later=(*LATER, "decoupled_weight_decay"),
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.1}, "network": {"lr": 0.1}},
)  # fmt: skip
