"""Adam's declaration."""

from dataclasses import replace

from optbench.case import AsTensor

from ._declare import Illegal, Option, Paper, StateEntry, Subject

LR_VALUES = (1e-3, 0.1, AsTensor(0.0625))
LR = Option("lr", 1e-3, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size")
BETAS = Option("betas", (0.9, 0.999), ((0.9, 0.999), (0.5, 0.8), (0.0, 0.5)),
               "0 <= beta < 1, both floats or both tensors", "decay rates of the first and second moment",
               tensors=True)  # fmt: skip
FLOAT_BETAS = replace(BETAS, legal="0 <= beta < 1", tensors=False)
EPS = Option("eps", 1e-8, (1e-8, 1e-3), "eps >= 0", "added to the root of the second moment")
WEIGHT_DECAY = Option("weight_decay", 0, (0, 0.1), "weight_decay >= 0", "L2 penalty, added to the gradient",
                      decays=True)  # fmt: skip
AMSGRAD = Option("amsgrad", False, (False, True), "bool", "divide by the running maximum of the second moment",
                 settled=True)  # fmt: skip
MAXIMIZE = Option("maximize", False, (False, True), "bool", "ascend instead of descend")
CAPTURABLE = Option("capturable", False, (False, True), "bool", "keep the step counter on the parameter's device",
                    idle="it says where a number is kept")  # fmt: skip

# What a group gained since the first releases.
LATER = ("foreach", "maximize", "differentiable", "capturable")
ADAM_LATER = (*LATER, "amsgrad", "decoupled_weight_decay", "fused")

STATE = (
    StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
    StateEntry("exp_avg", "element", "running mean of the gradient", drives=True),
    StateEntry("exp_avg_sq", "element", "running mean of the squared gradient"),
    StateEntry("max_exp_avg_sq", "element", "running maximum of exp_avg_sq", when="amsgrad"),
)


def refused(*names: str) -> tuple[Illegal, ...]:
    """The calls with a negative number for each of these options; for lr, which is the first, with NaN too."""
    negative = [Illegal({name: -0.125 * (2 + i)}, "ValueError", f"{-0.125 * (2 + i)}") for i, name in enumerate(names)]
    return (*negative, Illegal({names[0]: float("nan")}, "ValueError", "nan"))


def refused_betas() -> tuple[Illegal, ...]:
    """The calls with betas outside their range."""
    return (
        Illegal({"betas": (1.0, 0.999)}, "ValueError", "1.0"),
        Illegal({"betas": (0.9, -0.125)}, "ValueError", "-0.125"),
        Illegal({"betas": (0.9, 1.5)}, "ValueError", "1.5"),
    )


FULLEST = {"amsgrad": True, "weight_decay": 0.1}

# Where a tensor rate is one of several tensors after all, it has to stay on its device.
EDGES = ({"lr": AsTensor(0.1), "foreach": True, "capturable": True}, {"lr": 0.0}, {"eps": 0.0}, {"betas": (0.0, 0.0)})
ILLEGAL = (
    *refused("lr", "eps", "weight_decay"),
    *refused_betas(),
    Illegal({"betas": (0.9, AsTensor(0.999))}, "ValueError", "betas"),
    Illegal({"fused": True, "foreach": True}, "RuntimeError", "fused"),
    Illegal({"fused": True, "differentiable": True}, "RuntimeError", "differentiable"),
)

PAPER = Paper(
    "D. P. Kingma, J. Ba", "Adam: A Method for Stochastic Optimization", 2015, "https://arxiv.org/abs/1412.6980"
)
AMSGRAD_PAPER = Paper("S. J. Reddi, S. Kale, S. Kumar", "On the Convergence of Adam and Beyond", 2018,
                      "https://openreview.net/forum?id=ryQu7f-RZ")  # fmt: skip

SUBJECT = Subject(
    name="adam",
    class_name="Adam",
    kind="optimizer",
    summary="steps by the ratio of the gradient's running mean to the root of its running mean square",
    papers=(PAPER, AMSGRAD_PAPER),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay (coupled)
p = p - lr*weight_decay*p               if decoupled_weight_decay
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g*g
v_max = max(v_max, v)                   if amsgrad, which then divides by v_max
p = p - lr/(1 - beta1**t) * m / (sqrt(v)/sqrt(1 - beta2**t) + eps)""",
    options=(
        LR, BETAS, EPS,
        WEIGHT_DECAY, AMSGRAD, MAXIMIZE, CAPTURABLE,
        Option("decoupled_weight_decay", False, (False, True), "bool", "shrink the parameter instead (AdamW)",
               needs={"weight_decay": 0.1}),
    ),
    state=STATE,
    illegal=ILLEGAL,
    edges=EDGES,
    fullest=FULLEST,
    later=ADAM_LATER,
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.1}, "network": {"lr": 0.1}},
)  # fmt: skip
