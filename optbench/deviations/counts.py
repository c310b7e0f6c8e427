"""Where torch.optim itself launches more than its own words promise. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-082",
        "adam adagrad adamw sgd",
        "opt.launch",
        "torch-fused",
        "the fused path launches once a group: groups that differ in nothing but their rate cost as much as optimizers",
        "one launch for all groups; options stand in a table, a row a tensor",
        """\
import torch
from torch.utils._python_dispatch import TorchDispatchMode
class Watch(TorchDispatchMode):
    seen = []
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.__name__); return func(*args, **(kwargs or {}))
params = [torch.ones(2, requires_grad=True) for _ in range(3)]
for p in params: p.grad = torch.ones(2)
with Watch() as watch: torch.optim.SGD([{"params": [p]} for p in params], lr=0.1, fused=True).step()
assert sum("_fused_sgd_" in name for name in watch.seen) == 3
""",
        effect="convention",
        proof="""\
The page promises the operations of an update in one kernel and says nothing of groups. It costs time only, and only
where groups are many and small.
""",
        cases=("more_groups",),
    ),
    Deviation(
        "D-083",
        "rprop asgd adafactor",
        "opt.launch",
        "torch-foreach",
        "foreach Rprop, ASGD and Adafactor loop over tensors: twelve, five and six operations for each",
        "two, where a sign changed, none, and at most five, for norms and products along a dimension",
        """\
import torch
from torch.utils._python_dispatch import TorchDispatchMode
class Watch(TorchDispatchMode):
    seen = []
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.__name__); return func(*args, **(kwargs or {}))
params = [torch.ones(2, requires_grad=True) for _ in range(30)]
for p in params: p.grad = torch.ones(2)
with Watch() as watch: torch.optim.Rprop(params, foreach=True).step()
assert sum("foreach" not in name for name in watch.seen) > 30 * 10
""",
        effect="convention",
        proof="""\
The page says that foreach combines parameters into one kernel an operation. Part of these algorithms has no such
operation, and is looped over. It costs time only.
""",
        cases=("more_tensors",),
    ),
)
