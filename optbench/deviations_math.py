"""Where torch.optim itself breaks a law of what has to hold whatever the formula is. Our tiers keep the law."""

from __future__ import annotations

from optbench.deviation import Deviation

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
)
