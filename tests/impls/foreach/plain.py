"""What foreach is held against: torch.optim's for-loops, and a plain Lion, which torch.optim lacks."""

from types import SimpleNamespace

import torch


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of https://arxiv.org/abs/2302.06675, one parameter after another."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, **flags):
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        unset = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": None}
        super().__init__(params, defaults | unset | flags)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (beta1, beta2) = float(group["lr"]), group["betas"]
            for param in group["params"]:
                if param.grad is None:
                    continue
                if not self.state[param]:
                    self.state[param]["exp_avg"] = torch.zeros_like(param, memory_format=torch.preserve_format)
                real = torch.view_as_real if param.is_complex() else torch.Tensor.detach
                weight, grad, exp_avg = real(param.detach()), real(param.grad), real(self.state[param]["exp_avg"])
                grad = -grad if group["maximize"] else grad
                direction = torch.sign(beta1 * exp_avg + (1 - beta1) * grad)
                weight.sub_(lr * (direction + group["weight_decay"] * weight))
                exp_avg.copy_(beta2 * exp_avg + (1 - beta2) * grad)


THEIRS = SimpleNamespace(**{name: getattr(torch.optim, name) for name in torch.optim.__all__}, Lion=Lion)


def loop(name):
    """A for-loop, which in torch refuses capturable on a CPU: there it only moves the step."""

    def make(params, **options):
        options.pop("capturable", None)
        return getattr(THEIRS, name)(params, foreach=False, **options)

    return make
