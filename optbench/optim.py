"""Optimizers for people who train: torch.optim's names and arguments, the fastest tier that conforms on this device.

    from optbench.optim import AdamW
    optimizer = AdamW(model.parameters(), lr=3e-4)

The result is an optimizer of one tier, whose state_dict torch.optim and every other tier can load. Which tier, as
torch.optim's page describes it for its own implementations:

    differentiable=True, or sparse parameters or gradients    reference, a for-loop
    fused=True                                                fused
    foreach=True                                              foreach
    foreach=False or fused=False, and neither True            reference
    neither given                                             fused on the CPU, and on other devices where Triton is
    installed;
                                                              else foreach

A tier is imported when it is first chosen.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

__all__ = ["SGD", "Adam", "AdamW"]

_TIERS = {"reference": "optbench.reference", "foreach": "optbench.impls.foreach", "fused": "optbench.impls.fused"}
# Device types that Triton compiles for.
_TRITON_DEVICES = frozenset({"cuda", "xpu"})


class Adam(Optimizer):
    """Adam, of the tier that this module's page names.

    Args: those of torch.optim.Adam.

    Raises: what the tier raises.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Adam(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980.
    """

    def __new__(  # type: ignore[misc]
        cls,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> Optimizer:
        return _make(
            "Adam",
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=decoupled_weight_decay,
        )


class AdamW(Optimizer):
    """AdamW, of the tier that this module's page names.

    Args: those of torch.optim.AdamW.

    Raises: what the tier raises.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = AdamW(layer.parameters(), lr=0.01, weight_decay=0.1)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Loshchilov and Hutter, 2017, https://arxiv.org/abs/1711.05101.
    """

    def __new__(  # type: ignore[misc]
        cls,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> Optimizer:
        return _make(
            "AdamW",
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
        )


class SGD(Optimizer):
    """SGD, of the tier that this module's page names.

    Args: those of torch.optim.SGD.

    Raises: what the tier raises.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Sutskever, Martens, Dahl and Hinton, 2013, https://proceedings.mlr.press/v28/sutskever13.html.
    """

    def __new__(  # type: ignore[misc]
        cls,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> Optimizer:
        return _make(
            "SGD",
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
            fused=fused,
        )


def choose_tier(
    params: Iterable[Any],
    foreach: bool | None = None,
    fused: bool | None = None,
    differentiable: bool = False,
) -> str:
    """The tier that these parameters and flags select: "reference", "foreach" or "fused".

    Args:
        params: what an optimizer takes: tensors, (name, tensor) pairs or groups. An iterator is used up.
    """
    params = list(params)
    tensors = list(_tensors(params))
    differentiable |= any(isinstance(group, dict) and bool(group.get("differentiable")) for group in params)
    if differentiable or any(map(_is_sparse, tensors)):
        return "reference"
    if fused:
        return "fused"
    if foreach:
        return "foreach"
    if foreach is not None or fused is not None:
        return "reference"
    devices = {tensor.device.type for tensor in tensors}
    if devices <= {"cpu"}:
        return "fused"
    can_compile = devices <= _TRITON_DEVICES | {"cpu"} and importlib.util.find_spec("triton") is not None
    return "fused" if can_compile else "foreach"


def _make(name: str, params: Any, **options: Any) -> Optimizer:
    if not isinstance(params, Tensor):
        # An iterator can be walked only once. What is no iterable, the tier's constructor refuses in torch's words.
        params = list(params) if isinstance(params, Iterable) else params
        tier = choose_tier(params, options["foreach"], options["fused"], options["differentiable"])
    else:
        tier = "reference"
    module = importlib.import_module(_TIERS[tier])
    return cast(Optimizer, getattr(module, name)(params, **options))


def _tensors(params: Iterable[Any]) -> Iterator[Tensor]:
    for item in params:
        if isinstance(item, dict):
            members = item.get("params", ())
            yield from _tensors([members] if isinstance(members, Tensor) else members)
        elif isinstance(item, tuple):
            yield from _tensors(item[1:])
        elif isinstance(item, Tensor):
            yield item


def _is_sparse(tensor: Tensor) -> bool:
    grad = tensor.grad if tensor.is_leaf else None
    return tensor.layout != torch.strided or (grad is not None and grad.layout != torch.strided)
