"""Where torch.optim itself breaks a law of what has to hold whatever the formula is. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-055",
        "rmsprop",
        "opt.invariant",
        "torch-forloop torch-foreach",
        "centered RMSprop turns parameters into NaN where a gradient stays the same: v - a*a rounds to less than 0",
        "a variance below 0 is 0",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
p.grad = torch.full((1,), 3.0)
optimizer = torch.optim.RMSprop([p], alpha=0.9, centered=True, foreach=False)
for _ in range(200):
    optimizer.step()
assert p.isnan().all()
""",
        effect="wrong result",
        proof="""\
The formula on RMSprop's page takes the root of a variance, v - a*a, which is never negative. The class is documented
for centered=True without a limit, and one NaN stays.
""",
        cases=("constant_gradient",),
    ),
    Deviation(
        "D-056",
        "adadelta adagrad adam adamax adamw asgd lbfgs nadam radam rmsprop rprop sgd",
        "opt.complex",
        "torch-forloop torch-foreach",
        "a complex parameter or gradient that is a lazy conjugate raises RuntimeError",
        "conjugates are computed where they have to be, and a parameter's memory is written as it stands",
        """\
import torch
p = torch.ones(2, dtype=torch.complex64, requires_grad=True)
p.grad = torch.ones(2, dtype=torch.complex64).conj()
try: torch.optim.Adam([p], foreach=False).step()
except RuntimeError as error: refused = error
assert "view_as_real" in str(refused)
""",
        effect="raises",
        proof="""\
Complex parameters are supported, and Tensor.conj is documented to return a view whose conjugation is done lazily, as
it is needed.
""",
        cases=("conjugate",),
    ),
    Deviation(
        "D-084",
        "asgd",
        "opt.precision",
        "torch-forloop torch-foreach",
        "ASGD computes eta and mu in the default dtype: under float16 three digits are left, though both are float32",
        "scalars are computed in float64 and rounded to what holds them",
        """\
import torch
torch.set_default_dtype(torch.float16)
p = torch.ones(1, dtype=torch.float32, requires_grad=True)
p.grad = torch.ones(1, dtype=torch.float32)
optimizer = torch.optim.ASGD([p], lr=0.01, lambd=0.25, foreach=False)
optimizer.step()
torch.set_default_dtype(torch.float32)
eta = optimizer.state[p]["eta"]
assert eta.dtype == torch.float32 and abs(eta.item() / (0.01 / 1.0025**0.75) - 1) > 1e-4
""",
        effect="digits lost",
        proof="""\
The state is made in float32 whatever the default dtype is, and so are its counters, for the digits that they need.
torch.as_tensor of a Python number has the default dtype, from which the state is then filled.
""",
        cases=("million",),
    ),
    Deviation(
        "D-090",
        "lbfgs",
        "opt.shapes opt.layouts opt.oracle opt.pure opt.sparse_in_time",
        "torch-forloop",
        "L-BFGS raises RuntimeError where its parameters have no elements at all",
        "the closure is called once, its loss returned, and nothing else happens",
        """\
import torch
p = torch.zeros(0, requires_grad=True)
def closure():
    p.grad = torch.zeros(0)
    return (p * p).sum()
try: torch.optim.LBFGS([p]).step(closure)
except RuntimeError as error: refused = error
assert "input.numel() == 0" in str(refused)
""",
        effect="raises",
        proof="""\
Adam, SGD and the others step over a parameter without elements. The largest gradient is asked for before anything is
computed, and of no elements there is none.
""",
        cases=("all_zero", "_steps"),
    ),
)
