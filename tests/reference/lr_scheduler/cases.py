"""Schedulers with options, two groups, and runs: what the tests of the reference schedulers share."""

import itertools
import warnings

import torch

from tests.recurrences import schedules

LRS = (0.1, 0.03)


def power(epoch):
    return 0.9**epoch


def wave(epoch):
    return 1.0 + 0.05 * (-1) ** epoch


CASES = [
    ("LambdaLR", {"lr_lambda": power}),
    ("MultiplicativeLR", {"lr_lambda": wave}),
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 1, "gamma": 1.1}),
    ("MultiStepLR", {"milestones": [0, 3, 3, 7], "gamma": 0.5}),
    ("MultiStepLR", {"milestones": []}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 1}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.7, "end_factor": 0.0, "total_iters": 9}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 12, "power": 2.5}),
    ("CosineAnnealingLR", {"T_max": 7}),
    ("CosineAnnealingLR", {"T_max": 150, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.004}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "step_size_down": 5, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "mode": "exp_range", "gamma": 0.97}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "scale_fn": power, "scale_mode": "iterations"}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 25}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 40, "three_phase": True, "anneal_strategy": "linear"}),
]  # fmt: skip
NAMES = [" ".join([name, *(f"{key}={getattr(value, '__name__', value)}" for key, value in options.items())])
         for name, options in CASES]  # fmt: skip
ABSOLUTE = {"LambdaLR", "CyclicLR", "OneCycleLR", "CosineAnnealingWarmRestarts"}


def make_optimizer(kind="SGD", lrs=LRS, **options):
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, momentum=0.9, **options) if kind == "SGD" else torch.optim.Adam(groups, **options)


def horizon(name, options):
    """Three times as far as the schedule goes; as far as it goes at all for OneCycleLR."""
    if name == "OneCycleLR":
        return options["total_steps"] - 1
    lengths = [options.get(key, 0) for key in ("step_size", "total_iters", "T_max", "T_0")]
    return 3 * max(*lengths, 2 * options.get("step_size_up", 0), *options.get("milestones", ()), 5)


def expected(name, options, epoch, base):
    """(rate, momentum or None) by the recurrence."""
    result = getattr(schedules, name.lower())(epoch, base, **options)
    return result if isinstance(result, tuple) else (result, None)


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def momenta(optimizer):
    return [float(group["betas"][0] if "betas" in group else group["momentum"]) for group in optimizer.param_groups]


def advance(optimizer, *schedulers, epochs=1):
    """The rates at each of the next epochs."""
    seen = []
    for _ in range(epochs):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        seen.append((rates(optimizer), momenta(optimizer)))
    return seen


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def flat(values):
    return list(itertools.chain.from_iterable(itertools.chain.from_iterable(values)))
