"""What torch.optim's page shows, shrunk: an example takes the names of one implementation and yields what it computed.

An example is written once and run with torch's names and with those of the implementation under test.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from optbench.errors import NothingToRun
from optbench.registry import Implementation
from optbench.trials.problem import generator

Computed = Iterator[Any]
_MODULES = ("lr_scheduler", "swa_utils")
_BATCHES = 4


class Names:
    """torch.optim's names: `optim.Adam`, `optim.lr_scheduler.StepLR`, `optim.swa_utils.AveragedModel`.

    Args:
        load: gives what stands under a name in a submodule.
        module: the submodule.
    """

    def __init__(self, load: Callable[[str, str], Any], module: str = "") -> None:
        self._load, self._module = load, module

    def __getattr__(self, name: str) -> Any:
        return Names(self._load, name) if name in _MODULES else self._load(name, self._module)


def torchs(name: str, module: str) -> Any:
    """What stands in torch.optim under this name."""
    return getattr(importlib.import_module(".".join(filter(None, ("torch.optim", module)))), name)


def names_of(implementation: Implementation) -> Names:
    """The names of an implementation. Where a path of torch's has no way of its own, torch's only one is meant."""

    def load(name: str, module: str) -> Any:
        try:
            return implementation.load(name, module)
        except NothingToRun:
            if not implementation.factory:
                raise
            return torchs(name, module)

    return Names(load)


class Net(nn.Module):
    """A base with batch norm, and a classifier; the same weights each time it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh())
        self.classifier = nn.Linear(5, 2)
        self.double()
        with torch.no_grad():
            for name, param in self.named_parameters():
                param.copy_(torch.randn(param.shape, generator=generator("page", name), dtype=torch.float64) / 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.classifier(self.base(x))
        return found


def dataset() -> list[tuple[Tensor, Tensor]]:
    """Batches of inputs and targets."""
    draws = [torch.randn(6, 6, generator=generator("page", k), dtype=torch.float64) for k in range(_BATCHES)]
    return [(draw[:, :4], draw[:, 4:]) for draw in draws]


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def train(model: nn.Module, optimizer: Any) -> None:
    """An epoch."""
    for batch in dataset():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in model.state_dict().values()]


def rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def construct(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    train(model, optimizer)
    yield weights(model)


def construct_from_variables(optim: Any) -> Computed:
    first, second = (torch.full((3,), value, dtype=torch.float64, requires_grad=True) for value in (1.0, 2.0))
    optimizer = optim.Adam([first, second], lr=0.0001)
    (first * second**2).sum().backward()
    optimizer.step()
    yield first, second


def construct_from_named_parameters(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(model.named_parameters(), lr=0.01, momentum=0.9)
    train(model, optimizer)
    yield weights(model), optimizer.param_groups[0]["param_names"]


def per_parameter_options(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(
        [{"params": model.base.parameters(), "lr": 1e-2}, {"params": model.classifier.parameters()}],
        lr=1e-3,
        momentum=0.9,
    )
    train(model, optimizer)
    yield weights(model), rates(optimizer), [group["momentum"] for group in optimizer.param_groups]


def per_parameter_options_named(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(
        [{"params": model.base.named_parameters(), "lr": 1e-2}, {"params": model.classifier.named_parameters()}],
        lr=1e-3,
        momentum=0.9,
    )
    train(model, optimizer)
    yield weights(model), [group["param_names"] for group in optimizer.param_groups]


def no_decay_for_biases(optim: Any) -> Computed:
    model = Net()
    biases = [param for name, param in model.named_parameters() if "bias" in name]
    others = [param for name, param in model.named_parameters() if "bias" not in name]
    optimizer = optim.SGD([{"params": others}, {"params": biases, "weight_decay": 0}], weight_decay=1e-2, lr=1e-2)
    train(model, optimizer)
    yield weights(model)


def step(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for batch in dataset():
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        yield loss, weights(model)


def step_with_closure(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    for batch in dataset():

        def closure(batch: tuple[Tensor, Tensor] = batch) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        yield optimizer.step(closure), weights(model)


def one_scheduler(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for _ in range(4):
        train(model, optimizer)
        scheduler.step()
        yield rates(optimizer), scheduler.get_last_lr(), weights(model)


def chained_schedulers(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    first = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    second = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4], gamma=0.1)
    for _ in range(6):
        train(model, optimizer)
        first.step()
        second.step()
        yield rates(optimizer), first.get_last_lr(), second.get_last_lr(), weights(model)


def load_by_names(optim: Any) -> Computed:
    """A checkpoint of a model whose parameters come in another order is sorted by names before it is loaded."""
    model = Net()
    optimizer = optim.SGD(reversed(list(model.named_parameters())), lr=0.01, momentum=0.9)
    train(model, optimizer)
    saved = copy.deepcopy(optimizer.state_dict())

    def sort(optimizer: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        found = copy.deepcopy(optimizer.state_dict())
        places = {name: i for i, name in enumerate(state_dict["param_groups"][0]["param_names"])}
        for i, name in enumerate(found["param_groups"][0]["param_names"]):
            found["state"][i] = state_dict["state"][places[name]]
        return found

    other = optim.SGD(model.named_parameters(), lr=0.01, momentum=0.9)
    other.register_load_state_dict_pre_hook(sort)
    other.load_state_dict(saved)
    train(model, other)
    yield weights(model)


def swa(optim: Any) -> Computed:
    model = Net()
    averaged = optim.swa_utils.AveragedModel(model)
    yield from _averaged_training(optim, model, averaged)


def ema(optim: Any) -> Computed:
    model = Net()
    averaged = optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9))
    yield from _averaged_training(optim, model, averaged)


def custom_averaging(optim: Any) -> Computed:
    model = Net()
    averaged = optim.swa_utils.AveragedModel(model, avg_fn=lambda average, param, counted: 0.1 * average + 0.9 * param)
    yield from _averaged_training(optim, model, averaged)


def _averaged_training(optim: Any, model: Net, averaged: Any) -> Computed:
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        train(model, optimizer)
        averaged.update_parameters(model)
        yield averaged(dataset()[0][0]), weights(averaged)


def swalr(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.swa_utils.SWALR(optimizer, anneal_strategy="linear", anneal_epochs=5, swa_lr=0.05)
    for _ in range(8):
        train(model, optimizer)
        scheduler.step()
        yield rates(optimizer), scheduler.get_last_lr(), weights(model)


def update_bn(optim: Any) -> Computed:
    model = Net()
    averaged = optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    optim.swa_utils.update_bn(dataset(), averaged)
    yield weights(averaged), averaged.eval()(dataset()[0][0])


def swa_together(optim: Any) -> Computed:
    model, epochs, begin = Net(), 8, 4
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    averaged = optim.swa_utils.AveragedModel(model)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    swa_scheduler = optim.swa_utils.SWALR(optimizer, swa_lr=0.05, anneal_epochs=2)
    for epoch in range(epochs):
        train(model, optimizer)
        if epoch > begin:
            averaged.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
        yield rates(optimizer)
    optim.swa_utils.update_bn(dataset(), averaged)
    yield weights(averaged), averaged(dataset()[0][0])


def ema_together(optim: Any) -> Computed:
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    averaged = optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.999))
    for _ in range(3):
        for batch in dataset():
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
            averaged.update_parameters(model)
    optim.swa_utils.update_bn(dataset(), averaged)
    yield weights(averaged), averaged(dataset()[0][0])
