"""Where torch.optim itself breaks a law of what users hand over and get back. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-057",
        "*",
        "opt.params",
        "torch-*",
        "a set of parameters is taken where it is not in a group, and a frozen set anywhere",
        "sets are refused everywhere",
        """\
import torch
p, q = (torch.zeros(1, requires_grad=True) for _ in range(2))
optimizer = torch.optim.SGD({p, q})
assert len(optimizer.param_groups[0]["params"]) == 2
""",
        effect="no warning",
        proof="""\
The page says that parameters need an order that is the same in every run, and names sets; add_param_group refuses
them with TypeError. state_dict counts parameters by this order, so that a checkpoint can come back to others.
""",
        cases=("a_set", "frozen_set"),
        inherited="__init__",
    ),
    Deviation(
        "D-058",
        "adagrad sgd",
        "opt.sparse",
        "torch-fused",
        "fused=True refuses every sparse gradient, which both other paths take",
        "every tier takes sparse gradients",
        """\
import torch
p = torch.zeros(3, 2, requires_grad=True)
p.grad = torch.ones(3, 2).to_sparse(1)
try: torch.optim.SGD([p], fused=True).step()
except RuntimeError as error: refused = error
assert "does not support sparse gradients" in str(refused)
""",
        effect="convention",
        proof="The message says so, and the path has to be asked for where gradients are sparse.",
    ),
    Deviation(
        "D-059",
        "sgd",
        "opt.sparse",
        "torch-forloop torch-foreach",
        "with weight decay a sparse gradient raises an operation's error, after parameters before it have moved",
        "refused by the option's name before anything moves",
        """\
import torch
p, q = (torch.ones(2, 1, requires_grad=True) for _ in range(2))
p.grad, q.grad = torch.ones(2, 1), torch.ones(2, 1).to_sparse(1)
try: torch.optim.SGD([p, q], lr=1.0, weight_decay=0.5, foreach=False).step()
except RuntimeError as error: refused = error
assert str(refused).startswith("add(sparse, dense)") and p.tolist() == [[-0.5], [-0.5]]
""",
        effect="raises",
        proof="""\
Adagrad refuses the same pair by name. A step that raised has been taken for some parameters and not for others, and
taking it again moves the former twice.
""",
        cases=("rows_refused", "elements_twice_refused", "sparse_refused"),
        upstream="pytorch#30402",
    ),
    Deviation(
        "D-060",
        "sgd",
        "opt.sparse",
        "torch-forloop torch-foreach",
        "with momentum a gradient that is sparse at one step and dense at another raises RuntimeError",
        "a sparse gradient goes into a dense buffer, and a sparse buffer becomes dense",
        """\
import torch
p = torch.ones(2, 1, requires_grad=True)
optimizer = torch.optim.SGD([p], momentum=0.5, foreach=False)
p.grad = torch.ones(2, 1).to_sparse(1)
optimizer.step()
p.grad = torch.ones(2, 1)
try: optimizer.step()
except RuntimeError as error: refused = error
assert "add(sparse, dense)" in str(refused)
""",
        effect="raises",
        proof="""\
Both layouts hold the same numbers, and the rule is linear in them; without momentum, and in Adagrad, such gradients
are taken.
""",
        cases=("dense_at_first momentum", "dense_later momentum"),
    ),
    Deviation(
        "D-061",
        "adagrad",
        "opt.sparse",
        "torch-forloop torch-foreach",
        "a sparse complex gradient adds its complex square to the sum, a dense one the squares of both parts",
        "a complex parameter is a pair of real ones, whatever the gradient's layout",
        """\
import torch
p, q = (torch.zeros(1, 1, dtype=torch.complex64, requires_grad=True) for _ in range(2))
optimizer = torch.optim.Adagrad([p, q], foreach=False)
p.grad = torch.full((1, 1), 3 + 4j)
q.grad = p.grad.to_sparse(1)
with torch.sparse.check_sparse_tensor_invariants(False): optimizer.step()
assert optimizer.state[p]["sum"].item() == 9 + 16j
assert optimizer.state[q]["sum"].item() == (3 + 4j) ** 2
""",
        effect="wrong result",
        proof="""\
The same gradient gives two results. A sum of squares must not be negative: this one is -7 + 24j, and the step divides
by its complex root.
""",
        cases=("complex64",),
        upstream="pytorch#65711",
    ),
    Deviation(
        "D-062",
        "adagrad",
        "opt.sparse",
        "torch-forloop torch-foreach",
        "a sparse gradient that weight decay forbids is refused after the parameters before it have moved",
        "refused before anything moves",
        """\
import torch
p, q = (torch.ones(2, 1, requires_grad=True) for _ in range(2))
p.grad, q.grad = torch.ones(2, 1), torch.ones(2, 1).to_sparse(1)
try: torch.optim.Adagrad([p, q], weight_decay=0.5, foreach=False).step()
except RuntimeError as error: refused = error
assert "weight_decay" in str(refused) and p[0].item() < 1.0
""",
        effect="input changed",
        proof="""\
A step that raised has been taken for some parameters and not for others; Adam and others look at all gradients before
the first parameter moves.
""",
        cases=("refused",),
    ),
    Deviation(
        "D-063",
        "sparse_adam",
        "opt.sparse",
        "torch-forloop",
        "a dense gradient is refused after the steps of the parameters before it were counted",
        "refused before anything is counted",
        """\
import torch
p, q = (torch.ones(2, 1, requires_grad=True) for _ in range(2))
optimizer = torch.optim.SparseAdam([p, q])
p.grad, q.grad = torch.ones(2, 1).to_sparse(1), torch.ones(2, 1)
try: optimizer.step()
except RuntimeError as error: refused = error
assert "does not support dense gradients" in str(refused)
assert optimizer.state[p]["step"] == 1 and p.tolist() == [[1.0], [1.0]]
""",
        effect="input changed",
        proof="""\
The parameter has not moved, yet its bias corrections count a step; Adam counts when it updates, and its refusal
leaves the counter alone.
""",
        cases=("dense_gradient_refused",),
    ),
    Deviation(
        "D-064",
        "asgd",
        "opt.old_checkpoints",
        "torch-foreach",
        "a step counter of shape [1] makes foreach ASGD raise RuntimeError",
        "a counter with one element counts, whatever its shape",
        """\
import torch
p = torch.ones(2, requires_grad=True)
optimizer = torch.optim.ASGD([p], foreach=True)
p.grad = torch.ones(2)
optimizer.step()
optimizer.state[p]["step"] = torch.tensor([1.0])
try: optimizer.step()
except RuntimeError as error: refused = error
assert "broadcast shape [1]" in str(refused)
""",
        effect="convention",
        proof="torch has never written such a counter; its for-loop, and foreach of the other optimizers, take it.",
        cases=("1-element_tensor",),
    ),
    Deviation(
        "D-070",
        "lbfgs",
        "opt.tensor_lr",
        "torch-forloop",
        "a tensor lr itself becomes the step length in the state, so that a new lr changes the step that was taken",
        "the state keeps a number of its own",
        """\
import torch
p, lr = torch.zeros(1, requires_grad=True), torch.tensor(0.25)
optimizer = torch.optim.LBFGS([p], lr=lr, max_iter=4)
def closure():
    p.grad = 2 * (p.detach() - 1)
    return ((p.detach() - 1) ** 2).item()
optimizer.step(closure)
lr.fill_(0.5)
assert optimizer.state[p]["t"].item() == 0.5
""",
        effect="wrong result",
        proof="""\
The next step computes s = t*d for the pair (s, y), which must be the step that y belongs to: with the new t the
curvature is wrong by the ratio of the two rates. A float lr gives the right pair.
""",
        cases=("lr,",),
    ),
    Deviation(
        "D-091",
        "adam adamw",
        "opt.tensor_lr",
        "torch-forloop torch-fused",
        "a tensor beta1 is rounded to the parameter's dtype: in bfloat16 0.999 is 1, and the first moment stays at 0",
        "betas in tensors are the numbers in them",
        """\
import torch
p = torch.zeros(1, dtype=torch.bfloat16, requires_grad=True)
p.grad = torch.ones(1, dtype=torch.bfloat16)
betas = torch.tensor(0.999), torch.tensor(0.999)
optimizer = torch.optim.Adam([p], betas=betas, foreach=False)
optimizer.step()
assert optimizer.state[p]["exp_avg"].item() == 0.0
""",
        effect="wrong result",
        proof="""\
Betas are documented as floats or tensors of the same meaning: with floats the moment is 0.001, and so it is in
float32. Only beta1 is cast, for lerp, before it is taken from 1.
""",
        cases=("bfloat16 betas,", "float16 betas,"),
    ),
    Deviation(
        "D-094",
        "adamw adam",
        "opt.tensor_lr",
        "torch-forloop",
        "with betas in tensors 1 - beta**t is computed in float32, which loses a hundred units of it at t = 2",
        "betas in tensors are the numbers in them; scalars stay in float64",
        """\
import torch
p, q = (torch.zeros(1, requires_grad=True) for _ in range(2))
for param, form in ((p, float), (q, torch.tensor)):
    optimizer = torch.optim.AdamW([param], lr=1.0, betas=(form(0.9), form(0.999)), weight_decay=0.0, foreach=False)
    param.grad = torch.ones(1)
    optimizer.step()
    optimizer.step()
assert abs(q.item() / p.item() - 1) > 1e-6
""",
        effect="digits lost",
        proof="""\
With the same betas as floats torch computes it in float64. Betas are documented as floats or tensors of the same
meaning.
""",
        cases=("float32 betas,",),
    ),
)
