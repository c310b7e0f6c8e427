"""Where torch's schedulers lose their way: resumed, with groups that join, or as parts of others. Ours keep the law."""

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
        "sch.resume_anywhere sch.tensor_lr",
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
        cases=("last_epoch", "tensor_bounds_in_lists"),
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
        cases=("group_joins_late", "group_joins_lists", "group_joins_between"),
        upstream="pytorch#79888",
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
        "sch.compose sch.resume_anywhere sch.tensor_lr",
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
        cases=("nested_second", "nested_between", "chained_second", "second_in_Sequential_of_torch", ":sequentiallr",
               "linearlr[]:chainedscheduler"),
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
)
