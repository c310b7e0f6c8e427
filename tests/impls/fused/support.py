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
}


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
        self.theirs = getattr(torch.optim, name)(self.other, foreach=False, fused=False, **options)

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
