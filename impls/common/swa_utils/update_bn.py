"""Statistics of batch normalisation for averaged weights: the mean over all batches of a loader."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: int | torch.device | None = None) -> None:
    """Make the running statistics of all batch normalisation anew, as cumulative averages over the loader's batches.

    A model without batch normalisation is left alone, and the loader with it. Where the loader has no batch the
    statistics stay as they were. Momenta, and every module's training flag, are what they were before, also where the
    loader or the model raises.

    Args:
        loader: batches: a tensor, or a list or tuple whose first entry is the model's input.
        model: the model, which is called in training mode.
        device: where to move each input first; None to leave it.

    Example:
        >>> update_bn(loader, averaged_model)

    Source: the statistics that Izmailov et al., 2018, https://arxiv.org/abs/1803.05407, section 3.2, compute after
        averaging; arguments of torch.optim.swa_utils.update_bn.
    """
    norms = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not norms:
        return
    training = {module: module.training for module in model.modules()}
    fresh = False
    try:
        for batch in loader:
            if not fresh:
                # not before there is a batch
                model.train()
                for norm in norms:
                    norm.reset_running_stats()
                    # a cumulative average: each batch counts the same
                    norm.momentum = None
                fresh = True
            inputs = batch[0] if isinstance(batch, list | tuple) else batch
            model(inputs if device is None else inputs.to(device))
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
        for module, flag in training.items():
            module.training = flag
