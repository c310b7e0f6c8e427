"""SparseAdam's declaration."""

from ._declare import REAL, Exempt, Illegal, Option, StateEntry, Subject
from .adam import FLOAT_BETAS, LR_VALUES, MAXIMIZE, PAPER, refused, refused_betas

SUBJECT = Subject(
    name="sparse_adam",
    class_name="SparseAdam",
    kind="optimizer",
    summary="Adam for sparse gradients: rows without a gradient keep their values and their moments",
    papers=(PAPER,),
    rule="""\
for the rows that the gradient holds, duplicates summed:
g = -g                                  if maximize
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g*g
p = p - lr*sqrt(1 - beta2**t)/(1 - beta1**t) * m/(sqrt(v) + eps)""",
    options=(
        Option("lr", 1e-3, LR_VALUES, "lr > 0, a float or a 1-element tensor", "step size"),
        FLOAT_BETAS,
        Option("eps", 1e-8, (1e-8, 1e-3), "eps > 0", "added to the root of the second moment"),
        MAXIMIZE,
    ),
    state=(
        StateEntry("step", "integer", "number of steps taken, an int"),
        StateEntry("exp_avg", "element", "running mean of the gradient, where there was one", drives=True),
        StateEntry("exp_avg_sq", "element", "running mean of the squared gradient, where there was one"),
    ),
    illegal=(
        *refused("lr", "eps"),
        Illegal({"lr": 0.0}, "ValueError", "0.0"),
        Illegal({"eps": 0.0}, "ValueError", "0.0"),
        *refused_betas(),
    ),
    sees="tensor",
    dtypes=REAL,
    sparse=True,
    # Rows are gathered and scattered tensor by tensor.
    per_tensor=6,
    sparse_without=(),
    rests=None,
    # Of a mean with a beta1 of 0 torch leaves the rounding, which is as much larger as the gradient before was (D-093).
    cancels=float(1 << 18),
    eps=(1e-8, 1e-3, 1.0),
    exempt=(Exempt("opt.replaced", "gradient_at_the_same_address", "a sparse gradient has no strides"),),
    later=("maximize",),
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.1}, "network": {"lr": 0.1}},
)  # fmt: skip
