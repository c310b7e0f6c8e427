"""RMSprop's declaration."""

from ._declare import Exempt, Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, LATER, LR_VALUES, MAXIMIZE, WEIGHT_DECAY, refused

SUBJECT = Subject(
    name="rmsprop",
    class_name="RMSprop",
    kind="optimizer",
    summary="divides the gradient by its running root mean square, or (centered) its running standard deviation",
    papers=(
        Paper("T. Tieleman, G. Hinton", "Lecture 6.5: rmsprop, divide the gradient by a running average of its recent "
              "magnitude", 2012, "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf"),
        Paper("A. Graves", "Generating Sequences With Recurrent Neural Networks", 2013,
              "https://arxiv.org/abs/1308.0850"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay
v = alpha*v + (1 - alpha)*g*g
a = alpha*a + (1 - alpha)*g             if centered
d = sqrt(v) + eps                       or sqrt(max(v - a*a, 0)) + eps if centered
b = momentum*b + g/d                    if momentum
p = p - lr*(b if momentum else g/d)""",
    options=(
        Option("lr", 1e-2, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        Option("alpha", 0.99, (0.99, 0.25), "alpha >= 0", "decay rate of the running means"),
        Option("eps", 1e-8, (1e-8, 1e-3), "eps >= 0", "added to the root"),
        WEIGHT_DECAY,
        Option("momentum", 0, (0, 0.9), "momentum >= 0", "decay of the buffer", settled=True),
        Option("centered", False, (False, True), "bool", "divide by the standard deviation", settled=True),
        CAPTURABLE, MAXIMIZE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor", idle="it only counts"),
        StateEntry("square_avg", "element", "running mean of the squared gradient"),
        StateEntry("momentum_buffer", "element", "decaying sum of scaled gradients", when="momentum", drives=True),
        StateEntry("grad_avg", "element", "running mean of the gradient", when="centered"),
    ),
    illegal=refused("lr", "eps", "weight_decay", "momentum", "alpha"),
    fullest={"momentum": 0.9, "centered": True},
    edges=({"alpha": 0.0},),
    exempt=(
        Exempt("opt.precision", "bfloat16/pair/long", "v - a*a may be less than v's rounding; what eps then makes of a "
               "step throws the parameter far away"),
    ),
    later=(*LATER, "momentum", "centered"),
    tuned={"quadratic": {"lr": 0.1}, "rosenbrock": {"lr": 0.03, "momentum": 0.9}, "network": {"lr": 0.01}},
)  # fmt: skip
