"""Where torch.optim breaks a law at an edge: of a dtype's range, of what stands beside, of what can be given."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-071",
        "adafactor",
        "opt.groups",
        "torch-forloop torch-foreach",
        "with eps[0]=None Adafactor gives every parameter of a group the epsilon of the first one's dtype",
        "every parameter has the epsilon of its own dtype",
        """\
import torch
p, q = (torch.ones(4, dtype=dtype, requires_grad=True) for dtype in (torch.bfloat16, torch.float32))
p.grad, q.grad = (torch.full((4,), 1e-4, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
torch.optim.Adafactor([p, q]).step()
assert abs(1 - q[0].item() - 0.000128) < 1e-6
p, q = q.detach() * 0 + 1, q.grad
p.requires_grad_().grad = q
torch.optim.Adafactor([p]).step()
assert abs(1 - p[0].item() - 0.01) < 1e-6
""",
        effect="wrong result",
        proof="""\
Alone in its group the same parameter moves by 0.01, which is 80 times as far. The loop over parameters replaces
None by an epsilon once, and keeps it; so does the loop over dtypes of foreach.
""",
        cases=("mixed_dtypes",),
        says="beside other dtypes",
    ),
    Deviation(
        "D-072",
        "adafactor",
        "opt.eps_regime",
        "torch-forloop torch-foreach",
        "Adafactor squares norms and multiplies means in float16, out of its range: rows of 1,024 eights make NaN",
        "squares are summed in float32, and a mean is divided before it is multiplied",
        """\
import torch
p = torch.ones(2, 1024, dtype=torch.float16, requires_grad=True)
p.grad = torch.full((2, 1024), 8.0, dtype=torch.float16)
torch.optim.Adafactor([p]).step()
assert p.isnan().all()
""",
        effect="wrong result",
        proof="""\
The mean of the squares is 64. Its documentation says that means are taken in place of the paper's sums for the
sake of large sums; the square of the norm, 65,536, is infinite before it is divided by the number of elements.
""",
        cases=("float16 long_rows",),
    ),
    Deviation(
        "D-073",
        "rprop",
        "opt.eps_regime opt.denormal",
        "torch-forloop torch-foreach",
        "Rprop takes the sign of a product that underflows: step sizes stand still for gradients below 2e-4 in float16",
        "the signs are compared",
        """\
import torch
p = torch.zeros(1, dtype=torch.float16, requires_grad=True)
p.grad = torch.full((1,), 1e-4, dtype=torch.float16)
optimizer = torch.optim.Rprop([p], lr=0.5, foreach=False)
for _ in range(3):
    optimizer.step()
assert optimizer.state[p]["step_size"].item() == 0.5
""",
        effect="wrong result",
        proof="""\
The gradient keeps its sign, so that the step size grows by 1.2 twice, to 0.72, as it does for a gradient of
1e-3. The method is built on signs alone, whatever the size; in float32 the limit is at 1e-23.
""",
        cases=("scale=1e-24", "float16", "all_denormal"),
    ),
    Deviation(
        "D-074",
        "radam",
        "opt.eps_regime",
        "torch-foreach",
        "foreach RAdam with eps=0 makes a parameter NaN whose gradient is zero in the first steps",
        "a step of no size",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
p.grad = torch.zeros(1)
torch.optim.RAdam([p], eps=0.0, foreach=True).step()
assert p.isnan().all()
""",
        effect="wrong result",
        proof="""\
The first steps of RAdam do not divide by the second moment, by its formula and in its own for-loop, which
leaves the parameter at 0. Foreach divides by it all the same, and then weighs the outcome with 0.
""",
        cases=("scale=0/ eps=0",),
    ),
    Deviation(
        "D-075",
        "adagrad adam adamw sgd",
        "opt.amp_skip",
        "torch-fused",
        "with fused=True and a checkpoint of a for-loop, torch.amp.GradScaler makes the step raise AssertionError",
        "what a step does with a scale does not hang on a flag that a checkpoint brings along",
        """\
import torch
first, second = (torch.zeros(1, requires_grad=True) for _ in range(2))
optimizer = torch.optim.Adam([second], fused=True)
optimizer.load_state_dict(torch.optim.Adam([first], foreach=False).state_dict())
scaler = torch.amp.GradScaler("cpu")
scaler.scale(second.sum()).backward()
try: scaler.step(optimizer)
except AssertionError as error: refused = error
assert "grad_scale and found_inf" in str(refused)
""",
        effect="raises",
        proof="""\
Loading replaces the flag in the groups, so that the for-loop runs, while the optimizer still tells the scaler
that its step unscales by itself. Both are legal, and without the scaler the run goes on.
""",
        cases=("after_loading",),
    ),
    Deviation(
        "D-076",
        "lambdalr multiplicativelr cycliclr",
        "sch.round_trip",
        "torch",
        "state_dict raises AttributeError where the function is a builtin, or an object with __slots__",
        "what has no attributes has none to save",
        """\
import math, torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, math.exp2)
try: scheduler.state_dict()
except AttributeError as error: refused = error
assert "__dict__" in str(refused)
""",
        effect="raises",
        proof="""\
The documentation says that functions are not saved, and objects are. What is no function of Python's own making
is taken for an object with a __dict__, and the training has run for a while when its checkpoint fails.
""",
        cases=("builtin",),
    ),
    Deviation(
        "D-077",
        "onecyclelr sequentiallr",
        "sch.compose",
        "torch",
        "OneCycleLR as a later part of SequentialLR replaces the initial rate, and the part before starts from that",
        "parts keep the rate that the optimizer was made with",
        """\
import torch
schedulers, optimizer = torch.optim.lr_scheduler, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
warm_up = schedulers.ExponentialLR(optimizer, 0.5)
cycle = schedulers.OneCycleLR(optimizer, 0.1, total_steps=10, cycle_momentum=False)
schedulers.SequentialLR(optimizer, [warm_up, cycle], [3])
assert optimizer.param_groups[0]["lr"] == 0.004
""",
        effect="wrong result",
        proof="""\
The first part's base_lrs say 1.0, and its own closed form gives 1.0 at epoch 0. SequentialLR puts the rate back
to initial_lr for the sake of its first part, and a constructor that came later has written max_lr/div_factor
there.
""",
        cases=("second_in_a_Sequential", "one_cycle_last"),
    ),
    Deviation(
        "D-078",
        "onecyclelr cycliclr",
        "sch.formula sch.degenerate",
        "torch",
        "start + (end - start)*1 misses the end: 6e-12 of OneCycleLR's last rate are lost, CyclicLR misses max_lr",
        "the ends of a phase are exact",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5, anneal_strategy="linear")
for _ in range(4):
    optimizer.step()
    scheduler.step()
group = optimizer.param_groups[0]
assert 1e-12 < abs(group["lr"] / group["min_lr"] - 1) < 1e-11
""",
        effect="digits lost",
        proof="""\
The last rate is documented as initial_lr/final_div_factor, 4e-7 here, and stands in the group. The sum is the
end only up to the rounding of the start, 250,000 times as large. The first rate of a cosine phase, and the
upper bound of CyclicLR, are missed by an ulp in the same way, with which a comparison to the bound goes wrong.
""",
        says="a rounding apart",
    ),
    Deviation(
        "D-079",
        "swa",
        "avg.oracle",
        "torch-*",
        "the mean raises RuntimeError at the second update of a model with a buffer of bools",
        "flags are averaged as zeros and ones, and the buffer holds the nearer",
        """\
import torch
mean = torch.optim.swa_utils.get_swa_avg_fn()
try: mean(torch.tensor([True]), torch.tensor([False]), 1)
except RuntimeError as error: refused = error
assert "Subtraction" in str(refused)
""",
        effect="raises",
        proof="""\
use_buffers=True is documented to average all buffers of the model, and masks are buffers. The exponential
average takes them, and so does the mean of the first model, which is a copy.
""",
        cases=("flags/use_buffers=True",),
    ),
    Deviation(
        "D-080",
        "ema",
        "avg.oracle",
        "torch-*",
        "a buffer of bools that was once true stays true in the exponential average for ever",
        "flags are averaged as zeros and ones, and the buffer holds the nearer",
        """\
import torch
ema, averaged = torch.optim.swa_utils.get_ema_avg_fn(0.9), torch.tensor([True])
for _ in range(1000):
    averaged.copy_(ema(averaged, torch.tensor([False]), 1))
assert averaged.item() is True
""",
        effect="wrong result",
        proof="""\
After 1,000 updates the average is 0.9**1000, some 1e-46. As a bool anything but zero is true, so that each
update starts from 1 again.
""",
        cases=("flags/decay=0.9,use_buffers=True",),
    ),
    Deviation(
        "D-081",
        "ema swa",
        "avg.oracle",
        "torch-foreach",
        "a model without parameters makes AveragedModel raise RuntimeError at its second update",
        "there is nothing to average, and the updates are counted",
        """\
import torch
model = torch.nn.ReLU()
averaged = torch.optim.swa_utils.AveragedModel(model)
averaged.update_parameters(model)
try: averaged.update_parameters(model)
except RuntimeError as error: refused = error
assert "empty()" in str(refused)
""",
        effect="raises",
        proof="""\
With an avg_fn the same model goes through, and the first update does in either form; the message itself asks to
be reported.
""",
        cases=("a_model_without_tensors",),
    ),
    Deviation(
        "D-085",
        "*",
        "opt.params",
        "torch-*",
        "the dicts of groups are taken as they are: a second optimizer made of them has the options of the first",
        "groups are copied, and the caller's stay as they are",
        """\
import torch
groups = [{"params": [torch.zeros(1, requires_grad=True)]}]
first, second = (torch.optim.SGD(groups, lr=lr) for lr in (0.1, 0.5))
assert second.param_groups[0]["lr"] == 0.1 and "momentum" in groups[0]
""",
        effect="input changed",
        proof="""\
The second optimizer was asked for a rate of 0.5, and its defaults say so. Every default was written into the
caller's dict by the first one, and both optimizers hold that very dict: a scheduler of one sets the rate of
both.
""",
        cases=("served_before",),
        upstream="pytorch#51794",
    ),
    Deviation(
        "D-086",
        "lbfgs",
        "opt.errors",
        "torch-forloop",
        "LBFGS accepts any line_search_fn and a history_size of 0, and a step raises RuntimeError or IndexError",
        "refused by the constructor",
        """\
import torch
p = torch.ones(1, requires_grad=True)
p.grad = torch.ones(1)
optimizer = torch.optim.LBFGS([p], line_search_fn="armijo")
try: optimizer.step(lambda: 1.0)
except RuntimeError as error: refused = error
assert "strong_wolfe" in str(refused)
""",
        effect="raises",
        proof="""\
The documentation of line_search_fn names two values, and the constructor checks lr. Without a history the
second iteration takes a pair out of an empty list.
""",
        cases=("line_search_fn=armijo", "history_size=0"),
    ),
    Deviation(
        "D-087",
        "muon",
        "opt.errors",
        "torch-forloop",
        "Muon accepts 100 Newton-Schulz steps, or two coefficients, and its first step raises ValueError",
        "refused by the constructor",
        """\
import torch
p = torch.ones(2, 2, requires_grad=True)
p.grad = torch.ones(2, 2)
optimizer = torch.optim.Muon([p], ns_steps=100)
try: optimizer.step()
except ValueError as error: refused = error
assert "less than 100" in str(refused)
""",
        effect="raises",
        proof="""\
The rule is Muon's own, and needs no gradient to be checked; its other arguments are checked by the constructor.
Before the check the momentum has been updated, so that a step that raised has half been taken.
""",
        cases=("ns_steps", "ns_coefficients"),
        upstream="pytorch#185542",
    ),
    Deviation(
        "D-088",
        "muon lbfgs",
        "opt.errors",
        "torch-forloop",
        "add_param_group takes what the constructor refuses, Muon a vector, LBFGS a second group, and steps raise",
        "refused when it is added, and the optimizer goes on",
        """\
import torch
p, q = torch.ones(2, 2, requires_grad=True), torch.ones(2, requires_grad=True)
p.grad, q.grad = torch.ones(2, 2), torch.ones(2)
optimizer = torch.optim.Muon([p])
optimizer.add_param_group({"params": [q]})
try: optimizer.step()
except ValueError as error: refused = error
assert "2D matrix" in str(refused) and p[0, 0].item() != 1.0
""",
        effect="raises",
        proof="""\
The same group in the constructor is refused by name. Here every step from now on raises, after the groups
before it have moved, and no call takes the group out again.
""",
        cases=("adding_a",),
    ),
    Deviation(
        "D-089",
        "multiplicativelr",
        "sch.compose",
        "torch",
        "MultiplicativeLR as a later part of SequentialLR goes on from where the part before ended, times lr_lambda(0)",
        "it begins at the initial rate, as every part does, and lr_lambda is first called for epoch 1",
        """\
import torch
schedulers, optimizer = torch.optim.lr_scheduler, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
warm_up = schedulers.ConstantLR(optimizer, 0.1)
product = schedulers.MultiplicativeLR(optimizer, lambda epoch: 0.5)
sequence = schedulers.SequentialLR(optimizer, [warm_up, product], [1])
optimizer.step()
sequence.step()
assert sequence.get_last_lr() == [0.05]
""",
        effect="wrong result",
        proof="""\
Its documentation has it start at the initial rate, and alone it never asks lr_lambda for epoch 0. At a
milestone SequentialLR has a part compute epoch 0 by its closed form, with which LambdaLR, StepLR and the others
begin at the initial rate; MultiplicativeLR has none, and takes one more step instead.
""",
        cases=("second_in_a_Sequential", "second_in_Sequential_of_torch"),
    ),
    Deviation(
        "D-092",
        "lbfgs",
        "opt.params",
        "torch-forloop",
        "LBFGS with a group that has no parameter is accepted, and its step raises IndexError",
        "the closure is called once, its loss returned, and nothing else happens",
        """\
import torch
optimizer = torch.optim.LBFGS([{"params": []}])
try: optimizer.step(lambda: 1.0)
except IndexError as error: refused = error
assert "out of range" in str(refused)
""",
        effect="raises",
        proof="""\
Every other optimizer takes such a group, and its step returns the closure's loss. LBFGS keeps its state under
the first parameter, and asks for it first of all.
""",
        cases=("an_empty_group",),
        upstream="pytorch#191666",
    ),
    Deviation(
        "D-108",
        "lbfgs",
        "opt.errors",
        "torch-forloop",
        "LBFGS with a line search and a rate of 0 raises ZeroDivisionError in its second step",
        "the parameters stay where they are, as without a line search",
        """\
import torch
p = torch.ones(1, requires_grad=True)
p.grad = torch.tensor([2.0])
optimizer = torch.optim.LBFGS([p], lr=0.0, line_search_fn="strong_wolfe")
optimizer.step(lambda: 1.0)
try: optimizer.step(lambda: 1.0)
except ZeroDivisionError as error: refused = error
assert "division by zero" in str(refused)
""",
        effect="raises",
        says="ZeroDivisionError",
        proof="""\
A rate of 0 is legal, and schedules that warm up begin with it. The search begins at t = 0, which is where the start
is, and interpolates between the two: it divides by their distance. The first step's t is a tensor, whose division
gives NaN and is looked after; later ones are Python's numbers.
""",
        cases=("lr=0",),
    ),
)
