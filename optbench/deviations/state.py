"""Where torch.optim itself breaks a law of what is kept, shared and skipped. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-052",
        "sgd",
        "opt.amp_skip",
        "torch-fused",
        "a first step that GradScaler skips leaves uninitialised memory as momentum, and the next step uses it",
        "a skipped step makes no state",
        """\
import torch
p = torch.ones(4, requires_grad=True)
p.grad = torch.ones(4)
optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9, fused=True)
optimizer.grad_scale, optimizer.found_inf = torch.tensor(1.0), torch.tensor(1.0)
torch.use_deterministic_algorithms(True)  # fills new memory with NaN
optimizer.step()
torch.use_deterministic_algorithms(False)
del optimizer.found_inf; optimizer.step()
assert p.isnan().all()
""",
        effect="memory damaged",
        proof="""\
A step that is skipped is documented to leave parameters alone, and the first step after it starts the momentum
anew. The buffer is allocated before the kernel returns early, and counts as started.
""",
        cases=("overflow_at_step_1 momentum=0.9",),
    ),
    Deviation(
        "D-053",
        "adagrad adam adamw sgd",
        "opt.amp_skip",
        "torch-fused",
        "the fused CPU kernels write the unscaled gradient into .grad, though only where no step is skipped",
        ".grad is never written, also when unscaling",
        """\
import torch
p = torch.ones(4, requires_grad=True)
p.grad = torch.full((4,), 8.0)
optimizer = torch.optim.Adam([p], fused=True)
optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(0.0)
optimizer.step()
assert p.grad.tolist() == [2.0, 2.0, 2.0, 2.0]
""",
        effect="convention",
        proof="""\
GradScaler.step is documented to unscale gradients unless they are already, and without the fused path that
happens in .grad, too.
""",
        cases=("/scaled,", "told_by_hand"),
    ),
    Deviation(
        "D-054",
        "adam adamw",
        "opt.amp_skip",
        "torch-fused",
        "a first step that GradScaler skips makes the state: zeros, and a counter at 0",
        "a skipped step makes no state",
        """\
import torch
p = torch.ones(4, requires_grad=True)
p.grad = torch.ones(4)
optimizer = torch.optim.Adam([p], fused=True)
optimizer.grad_scale, optimizer.found_inf = None, torch.tensor(1.0)
optimizer.step()
assert sorted(optimizer.state[p]) == ["exp_avg", "exp_avg_sq", "step"]
""",
        effect="convention",
        proof="""\
The state is what a state of no steps is: the next step gives what the first one would have given.
""",
        cases=("unscaled_before",),
    ),
    Deviation(
        "D-106",
        "sparse_adam",
        "opt.old_checkpoints",
        "torch-forloop",
        "SparseAdam leaves out of the group what an old checkpoint lacks, and asks for maximize with a default",
        "a group has every option after loading",
        """\
import torch
optimizer = torch.optim.SparseAdam([torch.zeros(1, requires_grad=True)])
saved = optimizer.state_dict()
del saved["param_groups"][0]["maximize"]
optimizer.load_state_dict(saved)
assert "maximize" not in optimizer.param_groups[0]
""",
        effect="convention",
        proof="""\
Steps are the same. Every other class of torch puts what is absent into the group, which its own next checkpoint then
has.
""",
        cases=("without_newer_options", "without_maximize"),
        says="is there after loading",
    ),
    Deviation(
        "D-107",
        "*",
        "opt.round_trip",
        "torch-*",
        "load_state_dict makes the text of a generator of every text that lies in a parameter's state",
        "what it does not know is loaded as it was",
        """\
import torch
p = torch.zeros(1, requires_grad=True)
first, second = (torch.optim.SGD([p]) for _ in range(2))
first.state[p]["layout"] = "rows"
second.load_state_dict(first.state_dict())
assert second.state[p]["layout"].startswith("<generator object")
""",
        effect="state lost",
        proof="""\
load_state_dict takes any class's state, and keeps numbers, bytes, None and what else it does not know as they are; a
text it takes for a collection of texts, whose type it calls with a generator.
""",
        cases=("a_text_beside_it",),
        inherited="load_state_dict",
    ),
)
