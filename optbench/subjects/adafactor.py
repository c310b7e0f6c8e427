"""Adafactor's declaration."""

from ._declare import REAL, Illegal, Option, Paper, StateEntry, Subject
from .adam import LR_VALUES, MAXIMIZE

SUBJECT = Subject(
    name="adafactor",
    class_name="Adafactor",
    kind="optimizer",
    summary="Adam's denominator from the row and column means of the squared gradient, and a rate relative to the "
    "parameter's size",
    papers=(
        Paper("N. Shazeer, M. Stern", "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
              "https://arxiv.org/abs/1804.04235"),
    ),
    rule="""\
g = -g                                  if maximize
b = t**beta2_decay
a = max(eps2, rms(p)) * min(lr, 1/sqrt(t))
p = p - lr*weight_decay*p               if weight_decay
R = R + b*(mean of g*g over columns - R)
C = C + b*(mean of g*g over rows - C)
V = R C / max(mean of R, eps1)          for a matrix
V = V + b*(g*g - V)                     for a vector
U = g/sqrt(max(V, eps1**2))
p = p - a*U/max(1, rms(U)/d)""",
    options=(
        # Above 1/sqrt(t) from the second step on.
        Option("lr", 1e-2, (1e-3, 2.0, LR_VALUES[2]), "lr >= 0, a float or a 1-element tensor",
               "largest relative step size"),
        Option("beta2_decay", -0.8, (-0.8, -0.5), "beta2_decay <= 0", "power of t in the second moment's decay rate"),
        Option("eps", (None, 1e-3), ((None, 1e-3), (1e-2, 0.5)), "both >= 0; eps1 None is the dtype's own",
               "least root of the second moment, least root mean square of the parameter"),
        Option("d", 1.0, (1.0, 1.25), "d >= 1", "root mean square above which the update is clipped"),
        Option("weight_decay", 0.0, (0.0, 0.1), "weight_decay >= 0", "decay of the parameter, times lr",
               decays=True),
        MAXIMIZE,
    ),
    state=(
        StateEntry("step", "counter", "number of steps taken, a 0-d float tensor"),
        StateEntry("row_var", "own", "running mean of the squared gradient of each row, of a matrix", span="rows"),
        StateEntry("col_var", "own", "running mean of the squared gradient of each column, of a matrix",
                   span="columns"),
        StateEntry("variance", "own", "running mean of the squared gradient, of a vector", span="no matrix"),
    ),
    illegal=(
        Illegal({"lr": -0.5}, "ValueError", "-0.5"),
        Illegal({"beta2_decay": 0.25}, "ValueError", "0.25"),
        Illegal({"eps": (-0.25, 1e-3)}, "ValueError", "-0.25"),
        Illegal({"eps": (None, -0.125)}, "ValueError", "-0.125"),
        Illegal({"d": 0.5}, "ValueError", "0.5"),
        Illegal({"weight_decay": -0.75}, "ValueError", "-0.75"),
    ),
    edges=({"lr": 0.0}, {"beta2_decay": 0.0}, {"eps": (0.0, 1e-3)}, {"eps": (None, 0.0)}, {"d": 1.0}),
    sees="tensor",
    fullest={"weight_decay": 0.1},
    dtypes=REAL,
    launches=4,
    # Norms, means and products along a dimension; of stacks of matrices one more.
    per_tensor=5,
    eps=((None, 1e-3), (1e-8, 0.0), (1e-3, 1e-3), (1.0, 1.0)),
    later=("foreach",),
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.1, "eps": (None, 1.0)}, "network": {"lr": 0.1}},
)  # fmt: skip
