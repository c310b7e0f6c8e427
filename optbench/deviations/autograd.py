"""Where autograd through the steps of torch.optim goes wrong. Our reference tier keeps the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-065",
        "sgd",
        "opt.differentiable",
        "torch-forloop",
        "with differentiable=True the first momentum buffer is detached: derivatives leave the first gradient out",
        "the buffer is a copy that autograd follows",
        """\
import torch
g = torch.ones(1, requires_grad=True)
p = torch.zeros(1, requires_grad=True) * 1
optimizer = torch.optim.SGD([p], lr=0.5, momentum=0.9, differentiable=True)
p.grad = g * 1
optimizer.step()
(derivative,) = torch.autograd.grad(p.sum(), g, allow_unused=True)
assert p.item() == -0.5 and derivative is None
""",
        effect="wrong result",
        proof="""\
The parameter is -0.5*g, so the derivative by g is -0.5; without momentum that is what autograd gives. The flag
is documented as autograd through the step.
""",
        cases=("by_gradients momentum", "by_start momentum"),
    ),
    Deviation(
        "D-066",
        "asgd",
        "opt.differentiable",
        "torch-forloop",
        "with differentiable=True ASGD's rate is a copy without a past: the derivative by lr is zero",
        "the rate that is kept is followed",
        """\
import torch
lr = torch.tensor(0.5, requires_grad=True)
p = torch.zeros(1, requires_grad=True) * 1
optimizer = torch.optim.ASGD([p], lr=lr, lambd=0.0, differentiable=True)
p.grad = torch.ones(1)
optimizer.step()
(derivative,) = torch.autograd.grad(p.sum(), lr, allow_unused=True)
assert p.item() == -0.5 and derivative is None
""",
        effect="wrong result",
        proof="""\
The parameter is -lr*g, so the derivative by lr is -1, as SGD without momentum gives it; lr is documented to be
a tensor where that is wanted.
""",
        cases=("by_lr",),
    ),
    Deviation(
        "D-067",
        "adadelta adagrad adamax rmsprop rprop",
        "opt.differentiable",
        "torch-forloop",
        "with differentiable=True a tensor lr that requires a gradient raises TypeError",
        "a tensor lr is followed",
        """\
import torch
lr = torch.tensor(0.5, requires_grad=True)
p = torch.zeros(1, requires_grad=True) * 1
optimizer = torch.optim.Adagrad([p], lr=lr, differentiable=True)
p.grad = torch.ones(1)
try: optimizer.step()
except TypeError as error: refused = error
assert "must be Number, not Tensor" in str(refused)
""",
        effect="raises",
        proof="""\
lr is documented as a float or a tensor, and Adam, RAdam and SGD take such a tensor. An operation's own
argument, which has to be a number, is what refuses it here, and only where it requires a gradient.
""",
        cases=("by_lr",),
    ),
    Deviation(
        "D-068",
        "adam sgd",
        "opt.differentiable",
        "torch-forloop",
        "with differentiable=True a tensor weight_decay that requires a gradient is written into .grad",
        ".grad is never written",
        """\
import torch
decay = torch.tensor(0.5, requires_grad=True)
p = torch.ones(1, requires_grad=True) * 1
optimizer = torch.optim.SGD([p], lr=1.0, weight_decay=decay, differentiable=True)
p.grad = torch.ones(1)
optimizer.step()
assert p.grad.item() == 1.5
""",
        effect="input changed",
        proof="""\
With a float, or a tensor that needs no gradient, the decay is added to a copy. A gradient that is used again,
as for two inner steps of meta-learning, has the decay in it twice.
""",
        cases=("by_weight_decay",),
    ),
    Deviation(
        "D-069",
        "adam adamax adamw nadam rmsprop rprop sgd",
        "opt.differentiable",
        "torch-forloop",
        "with differentiable=True state that autograd has saved is changed in place, and backward raises",
        "what autograd has saved stays",
        """\
import torch
g = torch.ones(1, requires_grad=True)
p = torch.zeros(1, requires_grad=True) * 1
optimizer = torch.optim.Adam([p], amsgrad=True, differentiable=True)
for _ in range(2):
    p.grad = g * 1
    optimizer.step()
try: p.sum().backward()
except RuntimeError as error: refused = error
assert "modified by an inplace operation" in str(refused)
""",
        effect="raises",
        proof="""\
The flag is documented as autograd through the step, and Adam without amsgrad gives the derivative of any number
of steps. The maximum, Adamax's norm, RMSprop's mean and Rprop's step sizes are updated in place where they were
saved; of NAdam's and SGD's momentum that is so where lr requires a gradient.
""",
        cases=("derivative",),
    ),
)
