"""Where torch.optim itself breaks a law: one table. Our tiers keep the law; a script of plain torch shows each row."""

from __future__ import annotations

import fnmatch

from optbench.deviation import Deviation
from optbench.deviations_schedulers import ROWS as SCHEDULERS
from optbench.deviations_state import ROWS as STATE
from optbench.results import Result

_STRIDES = (
    "expanded_grad", "grad_unlike", "param_unlike", "grad_strided", "param_strided", "other_strides", "same_address",
)  # fmt: skip

TABLE: tuple[Deviation, ...] = (
    Deviation(
        "D-001",
        "adagrad adam adamw sgd",
        "opt.layouts opt.oracle opt.replaced",
        "torch-fused",
        "the fused CPU kernels pair elements by memory order, wrong where parameter and gradient differ in strides",
        "elements pair by index; unlike strides go through contiguous scratch",
        """\
import torch
p = torch.zeros(2, 3, requires_grad=True)
p.grad = torch.arange(6.0).reshape(3, 2).t()
torch.optim.SGD([p], lr=1.0, fused=True).step()
assert not torch.equal(p.detach(), -p.grad)
""",
        cases=_STRIDES,
    ),
    Deviation(
        "D-002",
        "adagrad adam adamw sgd",
        "opt.layouts opt.oracle",
        "torch-fused",
        "the fused CPU kernels walk a strided view as if it were dense: they write between its elements",
        "a view's own elements are updated, memory around them stays untouched",
        """\
import torch
buffer = torch.zeros(8)
p = buffer[::2].requires_grad_()
p.grad = torch.ones(8)[::2]
torch.optim.SGD([p], lr=1.0, fused=True).step()
assert buffer.tolist() == [-1, -1, -1, -1, 0, 0, 0, 0]
""",
        cases=("strided",),
    ),
    Deviation(
        "D-003",
        "adagrad adam adamw sgd",
        "opt.version",
        "torch-fused",
        "the fused CPU kernels do not raise version counters, so that autograd uses changed weights in silence",
        "version counters rise; a stale backward raises",
        """\
import torch
p = torch.ones(3, requires_grad=True)
p.grad = torch.ones(3)
torch.optim.SGD([p], lr=1.0, fused=True).step()
assert p._version == 0
""",
    ),
    Deviation(
        "D-004",
        "sgd",
        "opt.*",
        "torch-fused",
        "the fused CPU SGD leaves bfloat16 and float16 tensors of 16 elements or more as they were",
        "every dtype is updated, in float32, and rounded once",
        """\
import torch
p = torch.ones(16, dtype=torch.bfloat16, requires_grad=True)
p.grad = torch.ones(16, dtype=torch.bfloat16)
torch.optim.SGD([p], lr=0.5, fused=True).step()
assert torch.equal(p.detach(), torch.ones(16, dtype=torch.bfloat16))
""",
        cases=("bfloat16", "float16"),
        upstream="pytorch#191763",
    ),
    Deviation(
        "D-005",
        "sgd",
        "opt.pure opt.oracle",
        "torch-foreach",
        "foreach SGD with Nesterov and without decay adds the momentum into the caller's .grad (or raises)",
        ".grad is never written",
        """\
import torch
p = torch.zeros(3, requires_grad=True)
p.grad = torch.ones(3)
torch.optim.SGD([p], lr=1.0, momentum=0.5, nesterov=True, foreach=True).step()
assert p.grad.tolist() == [1.5, 1.5, 1.5]
""",
        cases=("nesterov=True",),
    ),
    Deviation(
        "D-006",
        "adafactor adam adamax adamw muon nadam sparse_adam",
        "opt.oracle opt.matches_reference",
        "torch-forloop torch-fused",
        "a float32 tensor lr has the for-loop round what it multiplies, as 1 - lr*weight_decay, to float32 for float64",
        "the number in the tensor is used; scalars stay in float64",
        """\
import torch
p = torch.ones(1, dtype=torch.float64, requires_grad=True)
p.grad = torch.zeros(1, dtype=torch.float64)
torch.optim.AdamW([p], lr=torch.tensor(0.0625), weight_decay=0.3, foreach=False).step()
assert abs(p.item() - (1 - 0.0625 * 0.3)) > 1e-9
""",
        cases=("float64 lr=tensor",),
    ),
    Deviation(
        "D-007",
        "sgd",
        "opt.*",
        "torch-fused",
        "fused SGD with momentum raises TypeError when some parameters have a momentum buffer and others not yet",
        "a parameter's first step is its own",
        """\
import torch
p, q = (torch.zeros(2, requires_grad=True) for _ in range(2))
optimizer = torch.optim.SGD([p, q], lr=1.0, momentum=0.9, fused=True)
p.grad = torch.ones(2)
optimizer.step()
q.grad = torch.ones(2)
try: optimizer.step()
except TypeError as error: refused = error
assert "NoneType" in str(refused)
""",
        cases=("late momentum=0.9", "state.pop"),
    ),
    Deviation(
        "D-008",
        "adadelta adam adamax adamw asgd nadam radam rmsprop rprop",
        "opt.oracle",
        "torch-forloop torch-foreach torch-fused",
        "capturable=True is refused on a CPU, at the first step",
        "capturable=True works everywhere; on a CPU it changes nothing but the counter's home",
        """\
import torch
p = torch.zeros(2, requires_grad=True)
p.grad = torch.ones(2)
try: torch.optim.Adam([p], capturable=True, foreach=False).step()
except AssertionError as error: refused = error
assert "capturable" in str(refused)
""",
        cases=("capturable=True",),
    ),
    Deviation(
        "D-009",
        "adam adamax adamw nadam radam sparse_adam",
        "opt.oracle opt.matches_reference",
        # torch's for-loop judges the reference, so that its loss shows there too.
        "torch-forloop torch-foreach reference",
        "1 - beta2**t is computed as it stands, which loses some 250 units of float64 at t = 2 (verdict: precision)",
        "-expm1(t*log(beta)), right to the last digits",
        """\
import math
beta2, exact = 0.999, -math.expm1(2 * math.log(0.999))
assert abs((1 - beta2**2) - exact) / exact > 30 * 2**-52
""",
        cases=("float64",),
    ),
    Deviation(
        "D-010",
        "*",
        "opt.snapshot",
        "torch-*",
        "load_state_dict keeps the very tensors it was given, so that training on changes the checkpoint in memory",
        "what is loaded is copied",
        """\
import torch
p = torch.zeros(2, requires_grad=True)
p.grad = torch.ones(2)
first, second = (torch.optim.SGD([p], lr=1.0, momentum=0.9, foreach=False) for _ in range(2))
first.step()
saved = first.state_dict()
second.load_state_dict(saved)
assert second.state[p]["momentum_buffer"] is saved["state"][0]["momentum_buffer"]
""",
        cases=("loaded",),
        upstream="pytorch#196083",
    ),
    Deviation(
        "D-011",
        "adagrad",
        "opt.groups",
        "torch-*",
        "Adagrad starts every group's sums from the constructor's initial_accumulator_value and ignores the group's",
        "a group's own value holds for it",
        """\
import torch
p = torch.ones(1, requires_grad=True)
optimizer = torch.optim.Adagrad([{"params": [p], "initial_accumulator_value": 0.5}])
assert optimizer.state[p]["sum"].item() == 0.0
""",
        cases=("per-group_options",),
    ),
    Deviation(
        "D-012",
        "asgd lbfgs nadam",
        "opt.oracle opt.round_trip opt.interchange",
        "torch-*",
        "load_state_dict gives eta, mu, mu_product and LBFGS's t the parameter's dtype: bfloat16 loses five digits",
        "0-d state keeps the dtype that it was saved in",
        """\
import torch
p = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
p.grad = torch.ones(1, dtype=torch.bfloat16)
first, second = (torch.optim.ASGD([p], lr=0.001, foreach=False) for _ in range(2))
first.step()
second.load_state_dict(first.state_dict())
assert first.state[p]["eta"].dtype == torch.float32
assert second.state[p]["eta"].dtype == torch.bfloat16
""",
        cases=("resumed", "torch.save"),
    ),
    Deviation(
        "D-013",
        "adafactor",
        "opt.oracle opt.pure opt.shapes opt.sparse_in_time",
        "torch-*",
        "Adafactor raises ZeroDivisionError where a parameter has no elements",
        "a parameter without elements counts its steps, and nothing else happens",
        """\
import torch
p = torch.zeros(0, requires_grad=True)
p.grad = torch.zeros(0)
try: torch.optim.Adafactor([p], foreach=False).step()
except ZeroDivisionError as error: refused = error
assert "division by zero" in str(refused)
""",
    ),
    Deviation(
        "D-014",
        "sparse_adam",
        "opt.oracle",
        "torch-forloop",
        "adding a sparse tensor to a 0-d view counts the view's offset twice: SparseAdam writes into other memory",
        "a 0-d parameter is updated where it lies",
        """\
import torch
buffer = torch.zeros(8)
p = buffer[2].requires_grad_()
p.grad = torch.ones(()).to_sparse(0)
torch.optim.SparseAdam([p], lr=1.0).step()
assert buffer.nonzero().tolist() == [[4]]
""",
        cases=("strided",),
    ),
    Deviation(
        "D-015",
        "asgd",
        "opt.replaced",
        "torch-foreach",
        "before averaging starts, foreach ASGD moves ax by p - ax where the for-loop copies p, and keeps ax' rounding",
        "while mu is 1 the average is the parameter",
        """\
import torch
p = torch.full((1,), 0.1, requires_grad=True)
p.grad = torch.zeros(1)
optimizer = torch.optim.ASGD([p], lambd=0.0, foreach=True)
optimizer.step()
optimizer.state[p]["ax"].fill_(1e6)
optimizer.step()
assert not torch.equal(optimizer.state[p]["ax"], p)
""",
    ),
    Deviation(
        "D-016",
        "muon",
        "opt.*",
        "torch-forloop",
        "without nesterov a bfloat16 momentum buffer is itself divided by its norm, because .bfloat16() makes no copy",
        "the buffer is the running mean of the gradient in every dtype",
        """\
import torch
p = torch.zeros(2, 2, dtype=torch.bfloat16, requires_grad=True)
p.grad = torch.full((2, 2), 8.0, dtype=torch.bfloat16)
optimizer = torch.optim.Muon([p], momentum=0.5, nesterov=False)
optimizer.step()
assert optimizer.state[p]["momentum_buffer"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
""",
        cases=("bfloat16 nesterov=False",),
    ),
    Deviation(
        "D-017",
        "muon",
        "opt.shapes",
        "torch-forloop",
        "Muon raises ZeroDivisionError for a matrix without columns, to whose rate it gives the factor rows/columns",
        "there is nothing to update",
        """\
import torch
p = torch.zeros(2, 0, requires_grad=True)
p.grad = torch.zeros(2, 0)
try: torch.optim.Muon([p]).step()
except ZeroDivisionError as error: refused = error
assert "division by zero" in str(refused)
""",
        cases=("zero",),
    ),
    Deviation(
        "D-018",
        "lbfgs",
        "opt.*",
        "torch-forloop",
        "LBFGS raises RuntimeError where a gradient cannot be viewed as a vector without a copy",
        "gradients of any layout are taken",
        """\
import torch
p = torch.zeros(2, 3, requires_grad=True)
p.grad = torch.ones(3, 2).t()
try: torch.optim.LBFGS([p]).step(lambda: 1.0)
except RuntimeError as error: refused = error
assert "view size is not compatible" in str(refused)
""",
        cases=("transposed", "channels_last", "unlike", "strided", "expanded"),
    ),
    Deviation(
        "D-019",
        "lbfgs",
        "opt.replaced opt.round_trip",
        "torch-forloop",
        "a copied or unpickled LBFGS has lost its list of parameters, and its first step raises AttributeError",
        "copies go on",
        """\
import copy, torch
optimizer = copy.deepcopy(torch.optim.LBFGS([torch.zeros(2, requires_grad=True)]))
try: optimizer.step(lambda: 1.0)
except AttributeError as error: refused = error
assert "_params" in str(refused)
""",
        cases=("deepcopy", "pickle"),
    ),
    Deviation(
        "D-020",
        "swa",
        "avg.*",
        "torch-foreach",
        "the mean by lists of tensors raises RuntimeError where a model has buffers of whole numbers",
        "whole numbers are averaged in either form",
        """\
import torch
mean = torch.optim.swa_utils.get_swa_multi_avg_fn()
try: mean([torch.tensor([2])], [torch.tensor([4])], torch.tensor(1))
except RuntimeError as error: refused = error
assert "addcdiv" in str(refused)
""",
        cases=("use_buffers=True",),
    ),
    Deviation(
        "D-021",
        "ema swa",
        "avg.oracle avg.round_trip",
        "torch-*",
        "averages of whole numbers are cut off at every update: the mean of a counter that counts up stays at 0",
        "the average is kept in float64, and the buffer holds it rounded",
        """\
import torch
mean, averaged = torch.optim.swa_utils.get_swa_avg_fn(), torch.tensor([0])
for n in range(1, 100):
    averaged.copy_(mean(averaged, torch.tensor([n]), n))
assert averaged.item() == 0
""",
        cases=("use_buffers=True",),
    ),
    Deviation(
        "D-022",
        "ema swa",
        "avg.precision",
        "torch-*",
        "an average has the digits of its tensors: 16-bit ones stand still, and float32 ones drift as rounding adds up",
        "16-bit averages are kept in float32, and what small updates lose in wider ones is kept too",
        """\
import torch
ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
averaged = torch.zeros(1, dtype=torch.bfloat16)
for _ in range(10_000):
    ema([averaged], [torch.ones(1, dtype=torch.bfloat16)], torch.tensor(1))
assert averaged.item() <= 0.5
""",
    ),
    Deviation(
        "D-023",
        "swa",
        "avg.oracle page.examples",
        "torch-foreach",
        "the mean by lists of tensors takes its weight 1/(n + 1) from a float32 tensor, in float64 models too",
        "the weight is a float64 number",
        """\
import torch
averaged = torch.zeros(1, dtype=torch.float64)
mean = torch.optim.swa_utils.get_swa_multi_avg_fn()
mean([averaged], [torch.ones(1, dtype=torch.float64)], torch.tensor(2))
assert 1e-9 < abs(averaged.item() - 1 / 3) < 1e-7
""",
        cases=("float64", "other_dtypes"),
    ),
    Deviation(
        "D-024",
        "ema swa",
        "avg.round_trip",
        "torch-*",
        "torch's averaging functions are local functions: an AveragedModel that has one cannot be pickled",
        "they are objects that can be pickled",
        """\
import pickle, torch
try: pickle.dumps(torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
except (AttributeError, pickle.PicklingError) as error: refused = error
assert "local" in str(refused)
""",
        cases=("pickle",),
    ),
    Deviation(
        "D-025",
        "swa",
        "avg.bn",
        "torch-*",
        "update_bn leaves momenta at None and the model in training mode where the loader or the model raises",
        "momenta and modes are restored, whatever is raised",
        """\
import torch
norm = torch.nn.BatchNorm1d(2).eval()
try: torch.optim.swa_utils.update_bn(["no tensor"], norm)
except Exception: pass
assert norm.momentum is None and norm.training
""",
        cases=("raises",),
    ),
    Deviation(
        "D-026",
        "swa",
        "avg.bn",
        "torch-*",
        "update_bn gives every module the mode of the whole: parts in another mode lose theirs",
        "each module's own mode is restored",
        """\
import torch
model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout()).train()
model[1].eval()
torch.optim.swa_utils.update_bn([torch.randn(4, 2)], model)
assert model[1].training
""",
        cases=("mixed_modes",),
    ),
    Deviation(
        "D-027",
        "swa",
        "avg.bn",
        "torch-*",
        "update_bn with a loader that has no batch forgets the statistics: means become 0 and variances 1",
        "without data the statistics stay",
        """\
import torch
norm = torch.nn.BatchNorm1d(2)
norm.running_mean.fill_(3.0)
torch.optim.swa_utils.update_bn([], norm)
assert norm.running_mean.tolist() == [0.0, 0.0]
""",
        cases=("empty_loader",),
    ),
    *SCHEDULERS,
    *STATE,
)


def explain(result: Result) -> Deviation | None:
    """The row that accounts for a broken law, if there is one."""
    for row in TABLE:
        if (
            _any(row.subjects, result.subject)
            and _any(row.laws, result.law)
            and _any(row.implementations, result.implementation)
            and (not row.cases or any(_all(texts, result.case) for texts in row.cases))
        ):
            return row
    return None


def _any(globs: str, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs.split())


def _all(texts: str, case: str) -> bool:
    return all(text in case for text in texts.split())
