"""Rprop's declaration."""

from ._declare import Exempt, Illegal, Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, LATER, LR_VALUES, MAXIMIZE, refused

SUBJECT = Subject(
    name="rprop",
    class_name="Rprop",
    kind="optimizer",
    summary="steps by a size of each element's own that grows while the gradient keeps its sign",
    papers=(
        Paper("M. Riedmiller, H. Braun",
              "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm", 1993,
              "https://doi.org/10.1109/ICNN.1993.298623"),
    ),
    rule="""\
g = -g                                  if maximize
s = s*eta_plus                          where g*prev > 0, from s = lr
s = s*eta_minus                         where g*prev < 0
s = min(max(s, smallest), largest)
g = 0                                   where g*prev < 0
p = p - s*sign(g)
prev = g""",
    options=(
        Option("lr", 1e-2, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size at first",
               settled=True),
        Option("etas", (0.5, 1.2), ((0.5, 1.2), (0.3, 1.6)), "0 < eta_minus < 1 < eta_plus",
               "factors of the step size where the sign changed, where it held"),
        Option("step_sizes", (1e-6, 50), ((1e-6, 50), (2e-3, 0.11)), "any", "smallest and largest step size",
               needs={"lr": 1e-3}),
        CAPTURABLE, MAXIMIZE,
    ),
    # Where a sign changed, an element is left out.
    per_tensor=2,
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor", idle="it only counts"),
        StateEntry("prev", "element", "gradient of the step before, zero where its sign had changed"),
        StateEntry("step_size", "element", "step size of each element"),
    ),
    illegal=(
        *refused("lr"),
        Illegal({"etas": (1.0001, 1.5)}, "ValueError", "1.0001"),
        Illegal({"etas": (0.0, 1.5)}, "ValueError", "0.0"),
        Illegal({"etas": (0.5, 1.0)}, "ValueError", "1.0"),
    ),
    edges=({"lr": 0.0}, {"etas": (0.9999, 1.0001)}),
    # With lr 0 the smallest step size is left.
    rests=None,
    later=LATER,
    exempt=(
        Exempt("opt.invariant", "small_rates", "step sizes have a smallest one, below which no rate brings them"),
        Exempt("opt.denormal", "float64", "what judges the reference multiplies two gradients, which is zero there"),
    ),
    tuned={"quadratic": {"lr": 0.1}, "rosenbrock": {"lr": 0.1}, "network": {"lr": 0.1}},
)  # fmt: skip
