"""Where torch.optim.lr_scheduler breaks a law. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
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
    Deviation(
        "D-109",
        "exponentiallr chainedscheduler cosineannealinglr linearlr sequentiallr steplr",
        "sch.tensor_lr",
        "torch",
        "a rate that is a float32 tensor gathers a rounding a step: 30 steps of ExponentialLR are 8e-7 of it away",
        "it is the float64 rate, rounded once",
        """\
import torch
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=torch.tensor(0.05))
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
for _ in range(30): optimizer.step(); scheduler.step()
assert abs(optimizer.param_groups[0]["lr"].item() / (0.05 * 0.9**30) - 1) > 2.0**-23
""",
        effect="digits lost",
        proof="""\
A tensor holds the right rate to 6e-8, which its own closed form, step(epoch), gives.
""",
        cases=("tensor-float32",),
        says="lr of group",
    ),
    Deviation(
        "D-110",
        "*lr cosineannealingwarmrestarts chainedscheduler reducelronplateau",
        "sch.tensor_lr",
        "torch",
        "a rate that is a tensor which requires a gradient, as for hypergradients, cannot be scheduled",
        "it is written in place, and what the schedule keeps is part of no graph",
        """\
import torch
lr = torch.tensor(0.3, requires_grad=True)
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
try: torch.optim.lr_scheduler.StepLR(optimizer, 3)
except RuntimeError as error: refused = error
assert "requires grad" in str(refused)
""",
        effect="raises",
        proof="""\
A rate that is a tensor and differentiable=True are documented; the step writes the rate as if it were none of the
caller's leaves, without no_grad.
""",
        cases=("requires_a_gradient",),
    ),
    Deviation(
        "D-111",
        "swalr",
        "sch.formula",
        "torch",
        "SWALR's step(epoch) sets last_epoch, and the rate of another epoch: of the one that its calls count",
        "the rate is one step of the recursion to that epoch",
        """\
import torch, warnings
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.0, anneal_epochs=4, anneal_strategy="linear")
optimizer.step()
with warnings.catch_warnings(action="ignore"): scheduler.step(4)
assert scheduler.last_epoch == 4 and scheduler.get_last_lr() == [0.75]
""",
        effect="wrong result",
        proof="""\
At epoch 4 of 4 the rate is swa_lr. What follows is that of calls too: last_epoch tells an epoch at which no rate is.
""",
        cases=("it_is_told_an_epoch",),
        says="step(",
    ),
)
