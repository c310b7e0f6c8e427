"""Every schedule of the foreach tier beside torch's, over options, and the optimizers that they drive."""

import torch
from optbench.impls.foreach import lr_scheduler as ours
from optbench.impls.foreach import swa_utils
from torch.optim import lr_scheduler as theirs
from torch.optim import swa_utils as their_swa_utils

RATES = (0.1, 0.3, 1.7e-3)


class Decay:
    """A function of the epoch that has a state."""

    def __init__(self, factor=0.95):
        self.factor = factor

    def __call__(self, epoch):
        return self.factor**epoch


def inverse(epoch):
    return 1 / (1 + epoch)


CASES = [
    ("LambdaLR", {"lr_lambda": inverse}),
    ("LambdaLR", {"lr_lambda": [Decay(), inverse, lambda epoch: 2]}),
    ("MultiplicativeLR", {"lr_lambda": Decay()}),
    ("MultiplicativeLR", {"lr_lambda": [Decay(), inverse, lambda epoch: 0.5]}),
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 1, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [9, 2, 5, 5]}),
    ("MultiStepLR", {"milestones": [0, 3], "gamma": 0.3}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.5, "total_iters": 3}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.4, "total_iters": 7}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 9, "power": 2.5}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 1, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.003}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4}),
    ("CyclicLR", {"base_lr": [0.01, 0.02, 0.03], "max_lr": [0.2, 0.3, 0.4], "step_size_up": 3, "step_size_down": 5}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 2, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 2, "scale_fn": inverse}),
    ("OneCycleLR", {"max_lr": 0.2, "total_steps": 24}),
    ("OneCycleLR", {"max_lr": [0.2, 0.3, 0.4], "epochs": 3, "steps_per_epoch": 8, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.2, "total_steps": 24, "three_phase": True, "base_momentum": [0.5, 0.6, 0.7]}),
    ("SWALR", {"swa_lr": 0.05}),
    ("SWALR", {"swa_lr": [0.05, 0.4, 0.2], "anneal_epochs": 5, "anneal_strategy": "linear"}),
    ("SWALR", {"swa_lr": 0.05, "anneal_epochs": 0}),
]
# the last epoch that torch computes for every case but extrapolates for none
LAST = 23


def label(case):
    name, options = case
    return name + "".join(f"-{key}" for key in options)


def pair(name):
    """The class of this tier, and torch's."""
    if name == "SWALR":
        return swa_utils.SWALR, their_swa_utils.SWALR
    return getattr(ours, name), getattr(theirs, name)


def optimizer(kind="SGD", dtype=None, rates=RATES):
    """An optimizer with a group for each rate, a tensor of this dtype if there is one."""
    held = rates if dtype is None else [torch.tensor(rate, dtype=dtype) for rate in rates]
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in held]
    return getattr(torch.optim, kind)(groups, lr=0.1, **({"momentum": 0.9} if kind == "SGD" else {}))


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def momenta(optimizer):
    return [float(group["betas"][0] if "betas" in group else group["momentum"]) for group in optimizer.param_groups]


def walk(scheduler, steps, seen=rates):
    """What the optimizer holds at each epoch."""
    found = [seen(scheduler.optimizer)]
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        found.append(seen(scheduler.optimizer))
    return found
