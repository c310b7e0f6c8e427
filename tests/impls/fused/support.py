"""Twin optimizers: the fused tier and torch's for-loop, fed with the same gradients."""

import torch
from optbench.impls import fused
from torch import Tensor

CONFIGS = {
    "adam": ("Adam", {}),
    "adam-amsgrad-decay": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "adam-maximize": ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd-momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    "sgd-nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    "adadelta": ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3}),
    "adadelta-decay": ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    "adagrad-decay": ("Adagrad", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    "adamax": ("Adamax", {"lr": 0.1, "betas": (0.5, 0.8)}),
    "adamax-decay": ("Adamax", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    "asgd": ("ASGD", {"lr": 0.1}),
    "asgd-averaging-decay": (
        "ASGD",
        {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 1, "weight_decay": 0.1, "maximize": True},
    ),
    "lion": ("Lion", {"lr": 0.1}),
    "lion-decay": ("Lion", {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.1}),
    "nadam-decay": ("NAdam", {"lr": 0.1, "momentum_decay": 0.3, "weight_decay": 0.1, "maximize": True}),
    "nadam-decoupled": ("NAdam", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.1, "betas": (0.9, 0.99)}),
    "radam-decay": ("RAdam", {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "maximize": True}),
    "radam-decoupled": ("RAdam", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "rmsprop": ("RMSprop", {"lr": 0.1}),
    "rmsprop-momentum-decay": ("RMSprop", {"lr": 0.1, "alpha": 0.8, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop-centered": ("RMSprop", {"lr": 0.1, "eps": 1e-3, "centered": True, "maximize": True}),
    # every dtype holds this first step size
    "rprop": ("Rprop", {"lr": 0.125}),
    "rprop-bounds": ("Rprop", {"etas": (0.4, 1.7), "step_sizes": (5e-3, 0.02), "maximize": True}),
}


class Lion(torch.optim.Optimizer):
    """What torch has not: algorithm 2 of https://arxiv.org/abs/2302.06675, with the decay taken first."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False, **flags):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), sign = group["betas"], -1 if group["maximize"] else 1
            for param in (param for param in group["params"] if param.grad is not None):
                real = torch.view_as_real if param.is_complex() else torch.Tensor.detach
                p, g = real(param), sign * real(param.grad)
                m = real(self.state[param].setdefault("exp_avg", torch.zeros_like(param)))
                p -= group["lr"] * group["weight_decay"] * p
                p -= group["lr"] * torch.sign(beta1 * m + (1 - beta1) * g)
                m.copy_(beta2 * m + (1 - beta2) * g)


def plain(name: str):
    """The class to agree with."""
    return Lion if name == "Lion" else getattr(torch.optim, name)


def random(shape, dtype=torch.float64, seed=0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=dtype if dtype.is_complex else torch.float64, generator=generator).to(dtype)


def layout_copy(tensor: Tensor) -> Tensor:
    """A copy with the tensor's own strides, also where they leave gaps."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor)


class Twins:
    """The same parameters, gradients and options in `ours` and in `theirs`."""

    def __init__(self, name: str, params: list[Tensor], **options):
        self.mine = [param.detach().requires_grad_() for param in params]
        self.other = [layout_copy(param.detach()).requires_grad_() for param in params]
        self.ours = getattr(fused, name)(self.mine, **options)
        self.theirs = plain(name)(self.other, foreach=False, **options)

    def give(self, seed: int, layout=lambda grad: grad) -> None:
        """New gradients for all."""
        for index, (a, b) in enumerate(zip(self.mine, self.other, strict=True)):
            grad = random(a.shape, a.dtype, seed=1000 * seed + index)
            a.grad, b.grad = layout(grad), grad.clone()

    def step(self) -> None:
        self.ours.step()
        self.theirs.step()

    def run(self, *seeds: int) -> None:
        for seed in seeds:
            self.give(seed)
            self.step()
            self.check()

    def check(self, rtol=1e-12, atol=1e-14) -> None:
        """The parameters and all state agree."""
        for a, b in zip(self.mine, self.other, strict=True):
            torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
        mine, other = self.ours.state_dict(), self.theirs.state_dict()
        assert mine["state"].keys() == other["state"].keys()
        for key, entries in mine["state"].items():
            assert list(entries) == list(other["state"][key])
            for name, value in entries.items():
                torch.testing.assert_close(value, other["state"][key][name], rtol=rtol, atol=atol, msg=name)
