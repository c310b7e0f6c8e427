"""Schedulers with options, of the fused tier and of torch, on optimizers that are the same."""

import torch
from optbench.impls.fused import lr_scheduler, swa_utils
from torch.optim import lr_scheduler as torchs
from torch.optim import swa_utils as torchs_averaging


def half(epoch):
    return 0.5 ** (epoch // 3)


def slowly(epoch):
    return 0.9 + 0.01 * epoch


CONFIGS = {
    "steplr": ("StepLR", {"step_size": 3, "gamma": 0.7}),
    "multisteplr": ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.5}),
    "constantlr": ("ConstantLR", {"factor": 0.25, "total_iters": 6}),
    "linearlr": ("LinearLR", {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 7}),
    "exponentiallr": ("ExponentialLR", {"gamma": 0.93}),
    "polynomiallr": ("PolynomialLR", {"total_iters": 9, "power": 1.7}),
    "cosineannealinglr": ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    "cosineannealingwarmrestarts": ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    "lambdalr": ("LambdaLR", {"lr_lambda": half}),
    "lambdalr-each": ("LambdaLR", {"lr_lambda": [half, slowly]}),
    "multiplicativelr": ("MultiplicativeLR", {"lr_lambda": slowly}),
    "multiplicativelr-each": ("MultiplicativeLR", {"lr_lambda": [half, slowly]}),
    "cycliclr": ("CyclicLR", {"base_lr": 0.1, "max_lr": [0.7, 0.5], "step_size_up": 3, "step_size_down": 5}),
    "cycliclr-2": ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 4, "mode": "triangular2"}),
    "cycliclr-range": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 4, "mode": "exp_range", "gamma": 0.95, "max_momentum": 0.8},
    ),
    "cycliclr-own": ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 2, "scale_fn": half}),
    "cycliclr-own-epochs": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 2, "scale_fn": half, "scale_mode": "iterations"},
    ),
    "onecyclelr": ("OneCycleLR", {"max_lr": [0.9, 0.7], "total_steps": 30}),
    "onecyclelr-three": ("OneCycleLR", {"max_lr": 0.9, "total_steps": 30, "three_phase": True, "pct_start": 0.2}),
    "onecyclelr-line": ("OneCycleLR", {"max_lr": 0.9, "total_steps": 30, "anneal_strategy": "linear"}),
    "onecyclelr-still": ("OneCycleLR", {"max_lr": 0.9, "total_steps": 30, "cycle_momentum": False}),
    "swalr": ("SWALR", {"swa_lr": [0.05, 0.5]}),
    "swalr-line": ("SWALR", {"swa_lr": 0.05, "anneal_strategy": "linear", "anneal_epochs": 4}),
}


def ours(name):
    return getattr(swa_utils if name == "SWALR" else lr_scheduler, name)


def theirs(name):
    return getattr(torchs_averaging if name == "SWALR" else torchs, name)


def optimizer(kind="SGD", rate=float, momentum=float):
    """Two groups of different rates.

    Args:
        rate: makes a rate of a float.
        momentum: makes a beta of a float.
    """
    groups = [{"params": [torch.zeros(1)], "lr": rate(0.5)}, {"params": [torch.zeros(1)], "lr": rate(0.3)}]
    if kind == "SGD":
        return torch.optim.SGD(groups, momentum=0.9)
    return torch.optim.Adam(groups, betas=(momentum(0.9), momentum(0.999)), capturable=momentum is not float)


def step(scheduler, times=1):
    for _ in range(times):
        scheduler.optimizer.step()
        scheduler.step()


def rates(scheduler):
    return [float(group["lr"]) for group in scheduler.optimizer.param_groups]


def momenta(scheduler):
    groups = scheduler.optimizer.param_groups
    return [float(group["betas"][0] if "betas" in group else group["momentum"]) for group in groups]
