"""Constructor checks, with torch.optim's error types."""

from typing import Any

from torch import Tensor


def check_non_negative(values: dict[str, Any]) -> None:
    """Refuse a negative number, and NaN."""
    for name, value in values.items():
        if not value >= 0.0:
            raise ValueError(f"Invalid {name}: {value}")


def check_tensor(name: str, value: Any, *, foreach: bool | None = None, capturable: bool = False) -> None:
    """Refuse a tensor of several elements and, as torch does, any tensor with foreach=True unless capturable."""
    if not isinstance(value, Tensor):
        return
    if foreach and not capturable:
        raise ValueError(f"{name} as a Tensor is not supported for capturable=False and foreach=True")
    if value.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element, not {tuple(value.shape)}")


def check_beta_range(betas: Any) -> None:
    """Refuse betas outside [0, 1)."""
    for index in range(2):
        if not 0.0 <= betas[index] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {betas[index]}")


def check_betas(betas: Any, *, foreach: bool | None, capturable: bool) -> tuple[Any, Any]:
    """Refuse betas outside [0, 1) and mixtures of kinds; return them, 1-element tensors without dimensions."""
    check_beta_range(betas)
    beta1, beta2 = betas
    if not any(isinstance(beta1, kind) and isinstance(beta2, kind) for kind in (float, Tensor)):
        raise ValueError(f"betas must be either both floats or both Tensors, not {beta1!r} and {beta2!r}")
    check_tensor("betas[0]", beta1, foreach=foreach, capturable=capturable)
    # A tensor that has no dimensions already is kept itself, so that the caller can go on changing it.
    return _without_dims(beta1), _without_dims(beta2)


def _without_dims(value: Any) -> Any:
    return value.squeeze() if isinstance(value, Tensor) and value.dim() else value
