"""Where steps of torch.optim break a law: what they compute, write and raise. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

_STRIDES = (
    "expanded_grad", "grad_unlike", "param_unlike", "grad_strided", "param_strided", "other_strides", "same_address",
)  # fmt: skip

ROWS: tuple[Deviation, ...] = (
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
        effect="wrong result",
        proof="""\
Its own for-loop and foreach give -grad here: an element's update depends on that element alone, wherever it
lies.
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
        effect="memory damaged",
        proof="""\
Its own for-loop updates the four elements of the view and nothing else; here two of them stay as they were, and
two elements that belong to somebody else are overwritten.
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
        effect="wrong result",
        proof="""\
Autograd's documentation promises an error where a tensor saved for backward was changed in place, and finds it
by this counter. The for-loop and foreach raise it; after a fused step a stale backward gives gradients of the
new weights.
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
        effect="wrong result",
        proof="""\
The page of SGD lists float16 and bfloat16 for fused=True, and its own for-loop gives 0.5 here. Tensors below 16
elements are updated, so the vectorised part of the kernel computes a result and never stores it.
""",
        cases=("bfloat16", "float16"),
        upstream="pytorch#191763",
    ),
    Deviation(
        "D-005",
        "sgd",
        "opt.pure opt.oracle opt.sparse",
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
        effect="input changed",
        proof="""\
The for-loop leaves .grad as it was, and so does foreach itself with any weight decay, with maximize, or without
nesterov, where it works on a copy. Gradients that are accumulated over steps go wrong.
""",
        cases=("nesterov=True",),
    ),
    Deviation(
        "D-006",
        "adafactor adagrad adam adamax adamw asgd muon nadam sparse_adam lbfgs",
        "opt.oracle opt.matches_reference opt.precision opt.tensor_lr lbfgs.search",
        "torch-forloop torch-fused",
        "a float32 tensor lr has 1 - lr*weight_decay, or steps of a line search, rounded to float32 for float64",
        "the number in the tensor is used; scalars stay in float64",
        """\
import torch
p = torch.ones(1, dtype=torch.float64, requires_grad=True)
p.grad = torch.zeros(1, dtype=torch.float64)
torch.optim.AdamW([p], lr=torch.tensor(0.0625), weight_decay=0.3, foreach=False).step()
assert abs(p.item() - (1 - 0.0625 * 0.3)) > 1e-9
""",
        effect="digits lost",
        proof="""\
The tensor 0.0625 is exact, and as a float the same rate gives all digits of float64: only the type of lr
differs.
""",
        cases=("float64/ lr=tensor",),
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
        effect="raises",
        proof="""\
The for-loop and foreach take a parameter whose first gradient comes late, and so does fused SGD in an optimizer
of its own: that a parameter starts is decided for the whole group here.
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
        effect="convention",
        proof="""\
The documentation of capturable says that tensors are capturable on accelerators only; the refusal is
documented, its moment (the first step, not the constructor) is not.
""",
        cases=("capturable=True",),
    ),
    Deviation(
        "D-009",
        "radam adam adamax adamw nadam sparse_adam",
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
        effect="digits lost",
        proof="""\
Cancellation: 1 - x with x near 1 keeps the absolute error of x, while -expm1(t*log(beta2)) is right to the last
digit in the same precision.
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
        effect="input changed",
        proof="""\
load_state_dict copies the groups deeply, and its helper for the state is documented as a deep copy; where dtype
and device fit already nothing is copied. Of two optimizers that share a checkpoint each moves the other's
state.
""",
        cases=("loaded",),
        upstream="pytorch#196083",
        inherited="load_state_dict",
    ),
    Deviation(
        "D-011",
        "adagrad",
        "opt.groups opt.sparse",
        "torch-*",
        "Adagrad starts every group's sums from the constructor's initial_accumulator_value and ignores the group's",
        "a group's own value holds for it",
        """\
import torch
p = torch.ones(1, requires_grad=True)
optimizer = torch.optim.Adagrad([{"params": [p], "initial_accumulator_value": 0.5}])
assert optimizer.state[p]["sum"].item() == 0.0
""",
        effect="wrong result",
        proof="""\
Every constructor argument is an option of a group by the documentation of per-parameter options, and the group
holds 0.5 here: the sum starts from the default nevertheless.
""",
        cases=("per-group_options", "group_joins_late", "/pair/ initial_accumulator_value=0.5"),
    ),
    Deviation(
        "D-012",
        "asgd lbfgs nadam",
        "opt.oracle opt.round_trip opt.interchange opt.old_checkpoints",
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
        effect="digits lost",
        proof="""\
The state is float32 before it is saved and bfloat16 after it is loaded: a resumed run differs from one that was
never interrupted. Only the entry called step is spared the cast to the parameter's dtype.
""",
        cases=("resumed", "torch.save", "numbers_as_floats"),
        upstream="pytorch#43706",
    ),
    Deviation(
        "D-013",
        "adafactor",
        "opt.oracle opt.groups opt.layouts opt.partition opt.pure opt.shapes opt.sparse_in_time",
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
        effect="raises",
        proof="""\
An empty parameter has nothing to update; Adam, SGD and the others step over it. The mean square of no elements
is divided by their number.
""",
        says="ZeroDivisionError",
    ),
    Deviation(
        "D-014",
        "sparse_adam",
        "opt.oracle opt.layouts",
        "torch-forloop",
        "adding one number, a sparse tensor, to a dense view counts its offset twice: other memory is written",
        "a parameter is updated where it lies",
        """\
import torch
buffer = torch.zeros(8)
p = buffer[2:4].requires_grad_()
p.grad = torch.tensor([0.0, 1.0]).to_sparse()
torch.optim.SparseAdam([p], lr=1.0).step()
assert buffer.nonzero().tolist() == [[5]]
""",
        effect="memory damaged",
        proof="""\
The parameter is elements 2 and 3 of the buffer, its gradient is of element 3, and element 5 is written. The cause is
add_ of a coalesced sparse tensor without dense dimensions to a contiguous view, which counts the view's offset twice;
strides, whole rows or duplicates take another path, which is right. SparseAdam and Adagrad make a tensor that counts as
coalesced where it holds one number; SGD adds the gradient itself, and so is wrong with every coalesced one.
""",
        cases=("strided", "offset"),
        says="parameter",
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
        effect="digits lost",
        proof="""\
While mu is 1 the average is the parameter, which the for-loop copies for that reason; x + 1*(p - x) is p only
up to the rounding of x, here of 1e6.
""",
        cases=("state_entry_replaced_early",),
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
        effect="wrong result",
        proof="""\
The first momentum buffer is (1 - 0.5)*8 = 4, as in float32, where .bfloat16() makes the copy that div_ is then
free to change. All later steps average gradients with a matrix of norm 1.
""",
        cases=("bfloat16 nesterov=False",),
        upstream="pytorch#194664",
    ),
    Deviation(
        "D-017",
        "muon",
        "opt.shapes opt.layouts opt.oracle opt.sparse_in_time",
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
        effect="raises",
        proof="""\
A matrix without elements has nothing to update, and one without rows is stepped over.
""",
        cases=("zero", "x0"),
    ),
    Deviation(
        "D-018",
        "lbfgs",
        "opt.layouts opt.oracle opt.round_trip opt.* lbfgs.views",
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
        effect="raises",
        proof="""\
Every other optimizer takes a gradient of any strides, and the gradient of a convolution's weight in
channels_last has such; the parameter itself is read by views of its own shape.
""",
        cases=("transposed/", "channels_last", "grad_unlike", "strided/", "expanded_grad"),
        upstream="pytorch#130346",
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
        effect="raises",
        proof="""\
copy.deepcopy and pickle work for every other optimizer: what Optimizer.__getstate__ keeps is groups, state and
defaults, and LBFGS keeps its parameters beside them.
""",
        cases=("deepcopy", "pickle"),
    ),
    Deviation(
        "D-093",
        "sparse_adam",
        "opt.oracle opt.matches_reference opt.groups opt.layouts opt.shapes opt.sparse_in_time",
        # torch's for-loop judges the reference, so that its loss shows there too.
        "torch-forloop reference",
        "SparseAdam adds (1 - beta1)*(g - m) to m whatever beta1 is: with a beta1 of 0 it leaves the rounding of m",
        "the mean is taken from the nearer end: with a beta1 of 0 it is the gradient",
        """\
import torch
p = torch.zeros(1, dtype=torch.bfloat16, requires_grad=True)
optimizer = torch.optim.SparseAdam([p], betas=(0.0, 0.5))
for grad in (1.0, 2.0**-10):
    p.grad = torch.tensor([grad], dtype=torch.bfloat16).to_sparse()
    optimizer.step()
assert optimizer.state[p]["exp_avg"].item() == 0.0
""",
        effect="digits lost",
        proof="""\
A beta1 of 0 is legal, and m is then g by the rule. torch's Adam, which takes means by lerp, gives it to the last bit.
""",
        cases=("betas=0:0.5", "option_changed"),
        says="exp_avg of",
    ),
    Deviation(
        "D-095",
        "adagrad adam adamw sgd",
        "opt.layouts",
        "torch-fused",
        "the fused paths refuse a gradient whose negation has not been computed yet",
        "it is what it reads as",
        """\
import torch
p = torch.ones(2, requires_grad=True)
p.grad = torch.complex(torch.zeros(2), torch.ones(2)).conj().imag
optimizer = torch.optim.AdamW([p], fused=True)
try: optimizer.step()
except RuntimeError as error: refused = error
assert "negation" in str(refused)
""",
        effect="raises",
        proof="""\
The imaginary part of a conjugate is such a tensor. The for-loop and foreach paths of the same class take it, and the
documentation of fused names no such limit.
""",
        cases=("grad_negative",),
        says="negation",
    ),
    Deviation(
        "D-105",
        "adam adadelta adafactor adagrad adamax adamw asgd nadam radam rmsprop rprop sgd",
        "opt.layouts",
        "torch-foreach torch-fused",
        "the foreach and fused paths refuse a parameter whose negation has not been computed yet",
        "it is written as it reads",
        """\
import torch
p = torch.complex(torch.zeros(2), torch.ones(2)).conj().imag.requires_grad_()
p.grad = torch.ones(2)
optimizer = torch.optim.Adam([p], foreach=True)
try: optimizer.step()
except RuntimeError as error: refused = error
assert "negation" in str(refused)
""",
        effect="raises",
        proof="""\
The imaginary part of a conjugate is a leaf as good as any. The for-loop path of the same class takes it, and foreach is
documented to compute the same.
""",
        cases=("param_negative",),
        says="negation",
    ),
)
