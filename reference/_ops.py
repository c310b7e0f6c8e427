"""torch operations whose number may also be a tensor: with a number, each is the torch operation of the same name.

A tensor takes a number's place under `capturable`, where nothing may be read on the host, and under `differentiable`,
where gradients flow into it. Autograd then saves operands that the next step overwrites: those are cloned here.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

# A hyperparameter: a Python float, or a zero-dimensional tensor.
Scalar = float | Tensor


def one_minus_power(base: Scalar, exponent: Scalar) -> Scalar:
    """1 - base**exponent, to the last digit: written so it cancels, and 1 - 0.999**2 is 65 units of float64 off."""
    if isinstance(base, float) and isinstance(exponent, float):
        return _one_minus_power(base, exponent)
    log_base = torch.log(base) if isinstance(base, Tensor) else _log(base)
    return -torch.expm1(torch.as_tensor(exponent * log_base))


def add(tensor: Tensor, other: Tensor, alpha: Scalar) -> Tensor:
    """tensor + alpha*other"""
    if isinstance(alpha, float):
        return tensor.add(other, alpha=alpha)
    return tensor.clone().add_(alpha * other.clone())


def add_(tensor: Tensor, other: Tensor, alpha: Scalar) -> Tensor:
    """tensor = tensor + alpha*other"""
    if isinstance(alpha, float):
        return tensor.add_(other, alpha=alpha)
    return tensor.add_(alpha * other.clone())


def lerp_(tensor: Tensor, end: Tensor, weight: Scalar) -> Tensor:
    """tensor = tensor + weight*(end - tensor)"""
    if isinstance(weight, float):
        return tensor.lerp_(end, weight)
    return tensor.lerp_(end, weight.to(device=tensor.device, dtype=tensor.dtype))


def addcmul(tensor: Tensor, first: Tensor, second: Tensor, value: float) -> Tensor:
    """tensor + value*first*second"""
    if torch.is_grad_enabled():
        first, second = first.clone(), second.clone()
    return tensor.addcmul(first, second, value=value)


def addcmul_(tensor: Tensor, first: Tensor, second: Tensor, value: Scalar) -> Tensor:
    """tensor = tensor + value*first*second, of factors that nobody overwrites"""
    if isinstance(value, float):
        return tensor.addcmul_(first, second, value=value)
    return tensor.add_(value * first * second)


def addcdiv_(tensor: Tensor, numerator: Tensor, denominator: Tensor, value: Scalar) -> Tensor:
    """tensor = tensor + value*numerator/denominator"""
    if isinstance(value, float):
        return tensor.addcdiv_(numerator, denominator, value=value)
    # Not numerator / (denominator / value), which is 0/0 at a value of 0 and overflows float16 at a small one.
    return tensor.add_(value * (numerator.clone() / denominator.clone()))


def maximum_(tensor: Tensor, other: Tensor) -> Tensor:
    """tensor = max(tensor, other); NaN where either is NaN"""
    if torch.is_grad_enabled():
        return tensor.copy_(torch.maximum(tensor.clone(), other.clone()))
    return torch.maximum(tensor, other, out=tensor)


def sqrt(tensor: Tensor) -> Tensor:
    """sqrt(tensor), to be overwritten"""
    return tensor.sqrt().clone() if torch.is_grad_enabled() else tensor.sqrt()


def sqrt_(tensor: Tensor) -> Tensor:
    """tensor = sqrt(tensor), to be overwritten"""
    return tensor.sqrt().clone() if torch.is_grad_enabled() else tensor.sqrt_()


def at_least(least: float, value: Scalar) -> Scalar:
    """max(least, value)"""
    return max(least, value) if isinstance(value, float) else value.clamp(min=least)


def multiply_(state: Tensor, factor: Scalar) -> Scalar:
    """state = state*factor, rounded to the dtype of this tensor without dimensions; return what it now holds."""
    if isinstance(factor, float):
        return float(state.mul_(factor).item())
    # A number would be rounded before it multiplies, and a tensor here too.
    return state.mul_(factor.to(state.dtype)).to(factor.dtype)


# The parameters of a group share beta and, nearly always, the step.
@lru_cache(maxsize=16)
def _one_minus_power(base: float, exponent: float) -> float:
    return -math.expm1(exponent * _log(base))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
