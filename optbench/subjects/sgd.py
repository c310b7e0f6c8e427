"""SGD's declaration: plain, with momentum, with Nesterov momentum."""

from optbench.case import AsTensor

from ._declare import Illegal, Option, Paper, StateEntry, Subject

SUBJECT = Subject(
    name="sgd",
    class_name="SGD",
    kind="optimizer",
    summary="steps along the gradient, or along its decaying sum (momentum)",
    papers=(
        Paper("I. Sutskever, J. Martens, G. Dahl, G. Hinton",
              "On the importance of initialization and momentum in deep learning", 2013,
              "https://proceedings.mlr.press/v28/sutskever13.html"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay
b = g                                   on the parameter's first step, if momentum
b = momentum*b + (1 - dampening)*g      on later steps, if momentum
g = g + momentum*b if nesterov else b   if momentum
p = p - lr*g""",
    options=(
        Option("lr", 1e-3, (1e-3, 0.1, AsTensor(0.0625)), "lr >= 0, a float or a 1-element tensor", "step size"),
        Option("momentum", 0, (0, 0.9), "momentum >= 0", "decay of the buffer"),
        Option("dampening", 0, (0, 0.25), "any; 0 with nesterov", "fraction of the gradient kept out of the buffer",
               needs={"momentum": 0.9}),
        Option("weight_decay", 0, (0, 0.1), "weight_decay >= 0", "L2 penalty, added to the gradient", decays=True),
        Option("nesterov", False, (False, True), "bool; with momentum, no dampening", "look ahead along the buffer",
               needs={"momentum": 0.9}),
        Option("maximize", False, (False, True), "bool", "ascend instead of descend"),
    ),
    state=(StateEntry("momentum_buffer", "element", "decaying sum of gradients", when="momentum", drives=True),),
    forbidden=(
        (("nesterov", True), ("momentum", 0)),
        (("nesterov", True), ("dampening", 0.25)),
    ),
    illegal=(
        Illegal({"lr": -0.5}, "ValueError", "-0.5"),
        Illegal({"momentum": -0.25}, "ValueError", "-0.25"),
        Illegal({"weight_decay": -0.75}, "ValueError", "-0.75"),
        Illegal({"nesterov": True}, "ValueError", "momentum"),
        Illegal({"nesterov": True, "momentum": 0.9, "dampening": 0.5}, "ValueError", "dampening"),
        Illegal({"fused": True, "foreach": True}, "RuntimeError", "fused"),
        Illegal({"fused": True, "differentiable": True}, "RuntimeError", "differentiable"),
    ),
    fullest={"momentum": 0.9, "dampening": 0.25},
    sparse_without=("weight_decay",),
    later=("nesterov", "maximize", "foreach", "differentiable", "fused"),
    tuned={
        "quadratic": {"lr": 0.3, "momentum": 0.5}, "rosenbrock": {"lr": 0.01, "momentum": 0.9},
        "network": {"lr": 0.1, "momentum": 0.9},
    },
)  # fmt: skip
