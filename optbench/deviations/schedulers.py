"""Where torch.optim.lr_scheduler breaks a law. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-028",
        "steplr multisteplr constantlr",
        "sch.resume_anywhere sch.tensor_lr",
        "torch",
        "resumed by last_epoch exactly at a boundary, the rate that stands is scaled once more",
        "building in the middle of a run leaves the rate as it is",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([{"params": [p], "initial_lr": 1.0, "lr": 0.1}])
torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, last_epoch=2)
assert abs(optimizer.param_groups[0]["lr"] - 0.01) < 1e-9
""",
        effect="wrong result",
        proof="""\
The rate 0.1 is what a run has at epoch 3, where last_epoch=2 resumes; ExponentialLR and LinearLR leave the rate
of a resumed run as it is, for this very reason, by a comment in their source.
""",
        cases=("last_epoch",),
        upstream="pytorch#102261",
    ),
    Deviation(
        "D-029",
        "lambdalr constantlr linearlr chainedscheduler sequentiallr cycliclr onecyclelr cosineannealingwarmrestarts",
        "sch.resume_anywhere",
        "torch",
        "building overwrites the rates of an optimizer loaded before, and loading the scheduler does not restore them",
        "load_state_dict sets the rates that the state tells",
        """\
import torch
make = lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5)
first, second = (torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0) for _ in range(2))
scheduler = make(first)
second.load_state_dict(first.state_dict())
make(second).load_state_dict(scheduler.state_dict())
assert (first.param_groups[0]["lr"], second.param_groups[0]["lr"]) == (0.5, 0.25)
""",
        effect="convention",
        proof="""\
The documentation of LRScheduler warns that a constructor overwrites the rates, and asks to build schedulers
before Optimizer.load_state_dict. Other orders are not supported.
""",
        cases=("load_optimizer,_build",),
    ),
    Deviation(
        "D-030",
        "sequentiallr",
        "sch.resume_anywhere sch.tensor_lr",
        "torch",
        "SequentialLR's last_epoch moves its counter only: rate and parts are put at epoch 0",
        "last_epoch puts every part where a run has it at that epoch",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
parts = [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma) for gamma in (0.5, 0.9)]
torch.optim.lr_scheduler.SequentialLR(optimizer, parts, [4], last_epoch=2)
assert (optimizer.param_groups[0]["lr"], parts[0].last_epoch) == (1.0, 0)
""",
        effect="wrong result",
        proof="""\
last_epoch is documented as the index of the last epoch; ExponentialLR, given it, goes on from there. The rate
of a run at epoch 3 is 0.125, and 1 is the rate at epoch 0.
""",
        cases=("last_epoch",),
        upstream="pytorch#162591",
    ),
    Deviation(
        "D-031",
        "cosineannealingwarmrestarts",
        "sch.resume_anywhere",
        "torch",
        "last_epoch beyond the second cycle is taken modulo T_0, wrong where T_mult is not 1",
        "cycles are counted as they grow",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([{"params": [p], "initial_lr": 1.0, "lr": 0.5}])
torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2, last_epoch=3)
assert optimizer.param_groups[0]["lr"] == 1.0
""",
        effect="wrong result",
        proof="""\
With T_0=2 and T_mult=2 the second cycle goes from epoch 2 to epoch 5; the constructor's step to epoch 4 is in
its middle, where step(4) of an unresumed scheduler gives 0.5.
""",
        cases=("last_epoch",),
        upstream="pytorch#88791",
    ),
    Deviation(
        "D-032",
        "swalr",
        "sch.resume_anywhere sch.tensor_lr",
        "torch",
        "SWALR counts its calls instead of epochs, so that last_epoch does not move it",
        "the epoch counts",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([{"params": [p], "initial_lr": 1.0, "lr": 0.5}])
scheduler = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.0, anneal_epochs=2, anneal_strategy="linear", last_epoch=0)
optimizer.step()
scheduler.step()
assert optimizer.param_groups[0]["lr"] == 0.25
""",
        effect="wrong result",
        proof="""\
last_epoch is documented as the index of the last epoch, and of two schedulers that resume at the same epoch
those of torch.optim.lr_scheduler go on from there. Here the annealing starts anew.
""",
        cases=("last_epoch",),
    ),
    Deviation(
        "D-033",
        "onecyclelr",
        "sch.resume_anywhere",
        "torch",
        "OneCycleLR with last_epoch raises KeyError where the groups do not hold its bounds",
        "the bounds come from the arguments where the groups do not hold them",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([{"params": [p], "initial_lr": 0.004, "lr": 0.05}], momentum=0.9)
try: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10, last_epoch=2)
except KeyError as error: refused = error
assert "max_lr" in str(refused)
""",
        effect="raises",
        proof="""\
The bounds are arguments of the constructor, and it is given them; it reads them from the groups, which hold
them only where the optimizer was loaded from a run with this very scheduler.
""",
        cases=("last_epoch",),
    ),
    Deviation(
        "D-034",
        "lambdalr multiplicativelr sequentiallr cycliclr onecyclelr cosineannealingwarmrestarts swalr",
        "sch.groups sch.tensor_lr",
        "torch",
        "the step after add_param_group raises ValueError or KeyError: lists of the constructor are too short",
        "a new group goes on from its rate",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5)
optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
optimizer.step()
try: scheduler.step()
except ValueError as error: refused = error
assert "zip()" in str(refused)
""",
        effect="raises",
        proof="""\
add_param_group is documented for fine-tuning, where layers are unfrozen in the middle of a run; StepLR,
ExponentialLR, CosineAnnealingLR and others go on.
""",
        cases=("group_joins_late", "group_joins_lists"),
        upstream="pytorch#79888",
    ),
    Deviation(
        "D-035",
        "steplr constantlr cosineannealinglr polynomiallr",
        "sch.degenerate sch.scaled",
        "torch",
        "a step_size, T_max or factor of 0, or a negative power, is accepted; a later step raises ZeroDivisionError",
        "refused at construction, or the limit",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=0)
optimizer.step()
try: scheduler.step()
except ZeroDivisionError as error: refused = error
assert "zero" in str(refused)
""",
        effect="raises",
        proof="""\
The constructor takes the value; OneCycleLR and CosineAnnealingWarmRestarts refuse lengths of 0 with a
ValueError, and for a factor of 0 the documentation says that 0 is legal.
""",
        cases=("step_size=0", "T_max=0", "factor=0", "power=-1"),
        upstream="pytorch#177833",
    ),
    Deviation(
        "D-036",
        "steplr multisteplr constantlr linearlr polynomiallr sequentiallr",
        "sch.degenerate sch.scaled",
        "torch",
        "a milestone or a length that no step meets, as 2.5 or -2, never takes effect, but with step(epoch)",
        "a boundary takes effect at the first epoch that is not before it",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1.5])
for _ in range(4):
    optimizer.step()
    scheduler.step()
assert optimizer.param_groups[0]["lr"] == 1.0
""",
        effect="wrong result",
        proof="""\
Its own closed form, step(epoch), decays at the first epoch after 1.5. The documentation asks for whole numbers,
and the constructor takes others without a word.
""",
        cases=("=2.5", "milestones=-2:3"),
    ),
    Deviation(
        "D-037",
        "constantlr linearlr polynomiallr",
        "sch.degenerate sch.scaled",
        "torch",
        "with total_iters=0 the first rate stays for ever, and step(epoch) divides by zero",
        "a schedule of no length is over at once",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=0)
optimizer.step()
scheduler.step()
assert optimizer.param_groups[0]["lr"] == 0.5
""",
        effect="wrong result",
        proof="""\
The multiplication is documented to last until total_iters is reached, which it is at once; its own step(epoch)
raises ZeroDivisionError for LinearLR and PolynomialLR.
""",
        cases=("total_iters=0",),
        upstream="pytorch#189374",
    ),
    Deviation(
        "D-038",
        "linearlr constantlr cosineannealinglr swalr",
        "sch.formula sch.degenerate",
        "torch",
        "rates that come from the last rate gather rounding: LinearLR to zero ends at -7e-19, and ascends",
        "rates come from the closed form until somebody else sets one, and ends are exact",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 3, end_factor=0.0, total_iters=5)
for _ in range(5):
    optimizer.step()
    scheduler.step()
assert -1e-18 < optimizer.param_groups[0]["lr"] < 0
""",
        effect="digits lost",
        proof="""\
The documentation says that the factor at the end is end_factor, 0 here, and its own step(epoch) gives 0. With
other factors LinearLR ends beyond end_factor or short of it, and CosineAnnealingLR comes back to more than the
initial rate.
""",
        says="a rounding apart",
    ),
    Deviation(
        "D-039",
        "multisteplr",
        "sch.round_trip",
        "torch",
        "milestones whose integer keys JSON made strings are never met again",
        "keys are integers again when they are loaded",
        """\
import torch
import json
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1])
scheduler.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
optimizer.step()
scheduler.step()
assert optimizer.param_groups[0]["lr"] == 1.0
""",
        effect="convention",
        proof="""\
No documentation promises that a state dict survives JSON, whose keys are strings; pickle and torch.save keep
it.
""",
        cases=("json",),
    ),
    Deviation(
        "D-040",
        "constantlr cycliclr linearlr reducelronplateau lambdalr multiplicativelr",
        "sch.errors",
        "torch",
        "messages do not name the value that they refuse",
        "every message names the value",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
try: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.5)
except ValueError as error: refused = error
assert "1.5" not in str(refused)
""",
        effect="convention",
        proof="""\
The type of the error is right, and the message tells what is legal; the value is left out, which other
constructors name.
""",
        says="the message names",
    ),
    Deviation(
        "D-041",
        "cycliclr onecyclelr swalr",
        "sch.errors",
        "torch",
        "arguments are written into the groups before others are refused",
        "what is refused has changed nothing",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
try: torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, mode="square")
except ValueError: pass
assert optimizer.param_groups[0]["lr"] == 0.01
""",
        effect="input changed",
        proof="""\
A constructor that raises has made nothing, yet the optimizer trains on with other rates than before: arguments
are written to the groups one by one, before the last of them is checked.
""",
        says="the groups after the refusal",
    ),
    Deviation(
        "D-042",
        "sequentiallr",
        "sch.compose",
        "torch",
        "a composite that comes first in SequentialLR is a step ahead",
        "every part begins at its epoch 0, however deep it is",
        """\
import torch
schedulers, optimizer = torch.optim.lr_scheduler, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
inner = schedulers.SequentialLR(optimizer, [schedulers.ExponentialLR(optimizer, 0.5) for _ in range(2)], [4])
optimizer.step()
schedulers.SequentialLR(optimizer, [inner], [])
assert inner.last_epoch == 1
""",
        effect="wrong result",
        proof="""\
SequentialLR takes back the steps that its parts made when they were built, and steps the first one again; of a
composite it takes back the parts and not the composite's own counter.
""",
        cases=("nested_first", "nested_alone", "chained_first"),
        upstream="pytorch#196243",
    ),
    Deviation(
        "D-043",
        "sequentiallr chainedscheduler",
        "sch.compose sch.resume_anywhere",
        "torch",
        "a composite that comes later in SequentialLR raises NotImplementedError at its milestone",
        "composites may come anywhere",
        """\
import torch
schedulers, optimizer = torch.optim.lr_scheduler, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
parts = [schedulers.ExponentialLR(optimizer, 0.5) for _ in range(2)]
outer = schedulers.SequentialLR(optimizer, [parts[0], schedulers.ChainedScheduler([parts[1]])], [1])
optimizer.step()
try: outer.step()
except NotImplementedError as error: refused = error
assert isinstance(refused, NotImplementedError)
""",
        effect="raises",
        proof="""\
Composites are accepted by the constructor, and work as the first part. At a milestone the part's _update_lr is
called, which SequentialLR and ChainedScheduler inherit without a get_lr.
""",
        cases=("nested_second", "nested_between", "chained_second", "second_in_Sequential_of_torch",
               ":sequentiallr"),
    ),
    Deviation(
        "D-044",
        "cycliclr",
        "sch.compose sch.scaled",
        "torch",
        "CyclicLR built after another scheduler takes its first rate from that one's initial_lr",
        "it begins at base_lr",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.01, max_lr=0.1)
assert optimizer.param_groups[0]["lr"] == 1.0
""",
        effect="wrong result",
        proof="""\
The documentation calls base_lr the initial rate, and that is what the rate is where CyclicLR is built first;
base_lrs is set after the first rate has been computed from initial_lr.
""",
        cases=("built_after_another", "changed_before"),
        upstream="pytorch#21965",
    ),
    Deviation(
        "D-045",
        "cycliclr onecyclelr",
        "sch.degenerate sch.errors",
        "torch",
        "a phase of no length or a div_factor of 0 raises ZeroDivisionError: step_size_up=0, pct_start*total_steps = 1",
        "refused with ValueError, or the limit",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
try: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=2, pct_start=0.5)
except ZeroDivisionError as error: refused = error
assert "zero" in str(refused)
""",
        effect="raises",
        proof="""\
OneCycleLR documents pct_start between 0 and 1 and checks it; CyclicLR documents whole numbers, and both
constructors answer with the division that went wrong, of which the message names no argument.
""",
        cases=("step_size_up=0", "pct_start", "div_factor=0"),
        upstream="pytorch#189374",
    ),
    Deviation(
        "D-046",
        "cycliclr",
        "sch.round_trip",
        "torch",
        "load_state_dict takes an entry out of what it was given, which then cannot be loaded again",
        "what is loaded stays as it is",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.01, max_lr=0.1)
saved = scheduler.state_dict()
scheduler.load_state_dict(saved)
assert "_scale_fn_custom" not in saved
""",
        effect="input changed",
        proof="""\
LambdaLR and SequentialLR put the entry back that they take out, by a comment in their source to prevent this
very effect; here it is missing, and loading a second time raises KeyError.
""",
        cases=("/state_dict",),
    ),
    Deviation(
        "D-047",
        "onecyclelr",
        "sch.formula",
        "torch",
        "one step beyond total_steps is let go, and of a linear phase it leaves the bounds: the rate is negative",
        "bounds hold for as long as steps are taken",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5, anneal_strategy="linear")
for _ in range(5):
    optimizer.step()
    scheduler.step()
assert optimizer.param_groups[0]["lr"] < -0.01
""",
        effect="wrong result",
        proof="""\
total_steps is documented as the number of steps in the cycle, and a step beyond raises ValueError; the
comparison is off by one, so that one more step is computed from a phase that is over, beyond the bounds.
""",
        cases=("past_its_end",),
        upstream="pytorch#91765",
    ),
    Deviation(
        "D-048",
        "cosineannealingwarmrestarts",
        "sch.degenerate",
        "torch",
        "step(epoch) counts restarts by a logarithm, which may come out below the integer: one is missed",
        "cycles are counted in integers",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=10)
optimizer.step()
scheduler.step(111)
assert optimizer.param_groups[0]["lr"] == 0.0
""",
        effect="wrong result",
        proof="""\
Cycles begin at epochs 0, 1, 11 and 111, where the rate is the initial one: a run step by step has it there. The
logarithm of 1000 to base 10 comes out as 2.9999999999999996.
""",
        cases=("T_mult",),
    ),
    Deviation(
        "D-049",
        "cosineannealingwarmrestarts",
        "sch.order",
        "torch",
        "CosineAnnealingWarmRestarts does not warn of the wrong order of calls",
        "every scheduler warns of it",
        """\
import torch
import warnings
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=5)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    scheduler.step()
assert not told
""",
        effect="no warning",
        proof="""\
Every other scheduler warns, as the documentation of the call order says; this one has a step of its own, which
leaves the check out.
""",
        cases=("scheduler_first", "is_replaced"),
    ),
    Deviation(
        "D-050",
        "cosineannealinglr cosineannealingwarmrestarts onecyclelr",
        "sch.formula",
        "torch",
        "1 + cos(x) loses its digits near the end: 1e-11 of the rate an epoch before an end at 1,000",
        "the square of a sine, right to the last digits",
        """\
import torch
import math
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)
for _ in range(999):
    optimizer.step()
    scheduler.step()
assert abs(optimizer.param_groups[0]["lr"] / math.sin(math.pi / 2000) ** 2 - 1) > 5e-12
""",
        effect="digits lost",
        proof="""\
(1 + cos x)/2 is cos(x/2)**2, which has no cancellation: near x = pi the sum of 1 and nearly -1 keeps the
absolute error.
""",
        cases=("a_long_way",),
        says="a rounding apart",
    ),
    Deviation(
        "D-051",
        "cycliclr onecyclelr",
        "sch.tensor_lr",
        "torch",
        "a beta1 that is a tensor is replaced by a float",
        "a tensor is written in place, be it lr or beta1",
        """\
import torch
betas = (torch.tensor(0.9), torch.tensor(0.999))
optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0, betas=betas, foreach=False)
torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
assert isinstance(optimizer.param_groups[0]["betas"][0], float)
""",
        effect="state lost",
        proof="""\
Adam's own constructor refuses betas of which one is a float and one a tensor, which is what it is left with; a
rate that is a tensor is written in place by the same scheduler.
""",
        cases=("tensor_betas",),
    ),
    Deviation(
        "D-096",
        "sequentiallr",
        "sch.errors",
        "torch",
        "SequentialLR takes milestones that decrease, and passes a part over",
        "refused with ValueError",
        """\
import torch
schedulers, optimizer = torch.optim.lr_scheduler, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
parts = [schedulers.LambdaLR(optimizer, lambda epoch, of=k: float(of)) for k in (1, 2, 3)]
scheduler, seen = schedulers.SequentialLR(optimizer, parts, [4, 2]), set()
for _ in range(9):
    optimizer.step()
    scheduler.step()
    seen.add(scheduler.get_last_lr()[0])
assert seen == {1.0, 3.0}
""",
        effect="no warning",
        proof="""\
The part that is due is found by bisection, which is for sorted lists; MultiStepLR, which does the same with its
milestones in its closed form, sorts them before.
""",
        cases=("milestones=7:3",),
    ),
    Deviation(
        "D-097",
        "sequentiallr",
        "sch.groups",
        "torch",
        "SequentialLR keeps the caller's list of milestones: what the caller does to it later changes the schedule",
        "a list is read when it is given",
        """\
import torch
schedulers, optimizer = torch.optim.lr_scheduler, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
parts, milestones = [schedulers.ExponentialLR(optimizer, gamma) for gamma in (1.0, 0.5)], [1]
scheduler = schedulers.SequentialLR(optimizer, parts, milestones)
milestones[0] = 7
for _ in range(3):
    optimizer.step()
    scheduler.step()
assert scheduler.get_last_lr() == [1.0]
""",
        effect="wrong result",
        proof="""\
Every other scheduler reads the lists that it is given, and keeps one of its own: LambdaLR, MultiStepLR, CyclicLR,
OneCycleLR, SWALR and ReduceLROnPlateau.
""",
        cases=("lists_that_the_caller",),
    ),
    Deviation(
        "D-098",
        "cycliclr",
        "sch.errors",
        "torch",
        "a negative or infinite number of epochs up or down is accepted, or raises ZeroDivisionError",
        "refused with ValueError, which names the number",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.1, max_lr=1.0, step_size_up=-3, step_size_down=5)
assert abs(optimizer.param_groups[0]["lr"] - 0.46) < 1e-9
""",
        effect="no warning",
        proof="""\
Both are documented as numbers of training iterations. OneCycleLR refuses a total_steps below 1; here the first rate
is neither base_lr nor anything that a cycle begins with.
""",
        cases=("step_size_up=-", "step_size_down=-", "=inf"),
    ),
    Deviation(
        "D-099",
        "onecyclelr",
        "sch.errors",
        "torch",
        "a step that OneCycleLR refuses because the cycle is over is counted all the same",
        "what is refused changes nothing",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=1)
optimizer.step()
for _ in range(3):
    try: scheduler.step()
    except ValueError: pass
assert scheduler.last_epoch == 3
""",
        effect="input changed",
        proof="""\
last_epoch is documented as the index of the last epoch, and is what a checkpoint holds: of a cycle of one step it
tells three, whose rates were never set.
""",
        cases=("an_epoch_that_is_not_there",),
        says="last_epoch after the refusal",
    ),
    Deviation(
        "D-100",
        "*lr cosineannealingwarmrestarts chainedscheduler reducelronplateau",
        "sch.round_trip",
        "torch",
        "load_state_dict keeps the lists that it is given: who changes them later changes the scheduler",
        "what is loaded is copied",
        """\
import copy, torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
state = copy.deepcopy(scheduler.state_dict())
scheduler.load_state_dict(state)
state["base_lrs"][0] = 7.0
assert scheduler.base_lrs == [7.0]
""",
        effect="wrong result",
        proof="""\
Optimizer.load_state_dict copies what it is given; two schedulers that load one checkpoint, which is in memory, share
their milestones and base rates.
""",
        cases=("emptied_when_it_was_loaded",),
    ),
    Deviation(
        "D-101",
        "cycliclr",
        "sch.tensor_lr",
        "torch",
        "CyclicLR keeps a base_lr that is a tensor as the group's rate itself, so that the base moves with the rate",
        "a bound that is a tensor is read, and nobody writes to it",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
base = torch.tensor(0.01, dtype=torch.float64)
scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, base, 0.1, step_size_up=4)
for _ in range(2): optimizer.step(); scheduler.step()
assert abs(scheduler.get_last_lr()[0] - 0.06625) < 1e-9
""",
        effect="wrong result",
        proof="""\
Half way up from 0.01 to 0.1 the rate is 0.055, which it is where base_lr is a number. The entries of base_lrs are the
tensors that each step writes.
""",
        cases=("tensor_bounds",),
        says="tensor bounds",
    ),
    Deviation(
        "D-102",
        "cosineannealingwarmrestarts",
        "sch.formula",
        "torch",
        "CosineAnnealingWarmRestarts counts no steps: its _step_count stays 0, also in a checkpoint",
        "every scheduler counts its steps",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=5)
for _ in range(3): optimizer.step(); scheduler.step()
assert scheduler.state_dict()["_step_count"] == 0 and scheduler.last_epoch == 3
""",
        effect="state lost",
        proof="""\
Every other scheduler has 4 there, one of them the constructor's own step. This one has a step of its own, which leaves
the count out; last_epoch and the rates are right.
""",
        cases=("any_epoch",),
        says="steps taken",
    ),
)
