"""ASGD's declaration."""

from ._declare import Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, LATER, LR_VALUES, MAXIMIZE, WEIGHT_DECAY, refused

SUBJECT = Subject(
    name="asgd",
    class_name="ASGD",
    kind="optimizer",
    summary="SGD with a decaying rate that also keeps the average of the parameters it passed",
    papers=(
        Paper("B. T. Polyak, A. B. Juditsky", "Acceleration of stochastic approximation by averaging", 1992,
              "https://doi.org/10.1137/0330046"),
    ),
    rule="""\
g = -g                                  if maximize
g = g + weight_decay*p                  if weight_decay
p = (1 - lambd*eta)*p - eta*g           from eta = lr
ax = p if mu == 1 else ax + mu*(p - ax) from mu = 1
eta = lr/(1 + lambd*lr*t)**alpha
mu = 1/max(1, t - t0)""",
    options=(
        Option("lr", 1e-2, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size at first"),
        Option("lambd", 1e-4, (1e-4, 0.25), "any", "decay of the parameter and of the rate",
               decays=True),
        Option("alpha", 0.75, (0.75, 0.5), "any", "power of the rate's decay", needs={"lambd": 0.25}),
        Option("t0", 1e6, (1e6, 1.0), "any", "step after which averaging starts"),
        WEIGHT_DECAY, MAXIMIZE, CAPTURABLE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
        StateEntry("eta", "number", "rate of the next step"),
        StateEntry("mu", "number", "weight of the next parameter in the average"),
        # While mu is 1 the average is overwritten.
        StateEntry("ax", "element", "average of the parameters", reads=False),
    ),
    illegal=refused("lr", "weight_decay"),
    fullest={"t0": 1.0, "lambd": 0.25},
    # The average is what the algorithm returns; it moves no parameter.
    results=("param", "ax"),
    steps=5,
    later=LATER,
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.03}, "network": {"lr": 0.3}},
)  # fmt: skip
