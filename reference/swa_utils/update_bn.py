"""update_bn: the statistics that a model's batch normalisation layers have on a set of data.

Paper: Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov and Andrew Gordon Wilson, "Averaging Weights
Leads to Wider Optima and Better Generalization", 2018, https://arxiv.org/abs/1803.05407, section 3.2. Averaged weights
have activations of their own, which no training step has seen.

Each layer's running mean and variance become the means, over the batches, of what it computes in each of them:

    running = running + (batch - running)/k          k = 1, 2, ..., the layer's momentum being None

Where this departs from PyTorch's code:
- Momenta and the training flag of every submodule are restored, also where the loader or the model raises; PyTorch
  gives all submodules the model's flag, and leaves them as they are when something raises.
- Without any batch the statistics stay; PyTorch resets them to 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: int | torch.device | None = None) -> None:
    """Set running_mean and running_var of all batch normalisation layers from one pass over data.

    Args:
        loader: of batches: what the model takes, or a list or tuple whose first item that is.
        model: it is called on each batch, in training mode, without gradients.
        device: where batches are moved; None: nowhere.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    flags = {module: module.training for module in model.modules()}
    try:
        model.train()
        for layer in layers:
            layer.momentum = None
        for index, batch in enumerate(loader):
            if index == 0:
                for layer in layers:
                    layer.reset_running_stats()
            inputs = batch[0] if isinstance(batch, list | tuple) else batch
            model(inputs if device is None else inputs.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, training in flags.items():
            module.training = training
