"""Muon: momentum whose matrix is orthogonalized, so that every direction in it gets a step of about one length.

Papers: Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/, section "Definition". For weight decay and the rate "match_rms_adamw":
Jingyuan Liu et al., "Muon is Scalable for LLM Training", 2025, https://arxiv.org/abs/2502.16982, equation 4.

Update rule of a matrix p [rows, cols], from B = 0. NS(X) keeps the singular vectors of X, and takes singular values,
if they are at least 0.0015 of its norm, to between 0.68 and 1.21:

    B = momentum*B + (1 - momentum)*g
    O = NS((1 - momentum)*g + momentum*B)          or, without nesterov, NS(B)
    p = (1 - lr*weight_decay) * p
    p = p - lr * sqrt(max(1, rows/cols)) * O       or, with match_rms_adamw, lr * 0.2*sqrt(max(rows, cols)) * O

    NS(X): X = X / max(|X|, eps), |X| the Frobenius norm; then ns_steps times X = a*X + (b*A + c*A*A)*X with A = X*X',
    which is a polynomial in each singular value: s = a*s + b*s**3 + c*s**5. All in bfloat16.

Where PyTorch departs from the papers:
- The buffer is a mean. The post's is a sum, 1/(1 - momentum) times as large; NS divides by the norm, so O is the same.
- The post divides by |X| + eps.
- The factor sqrt(max(1, rows/cols)) comes from the code that accompanies the post.
- The post flattens the kernels of convolutions to matrices. Here parameters that are not matrices are refused.
- Iterations run in bfloat16 whatever the parameter's dtype, which the post advises: O has two to three digits.

Where this departs from PyTorch's code: the buffer of a bfloat16 parameter without nesterov keeps its length, while
PyTorch's Newton-Schulz divides it by its norm in place; a parameter without elements is left alone.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer
from ._checks import check_tensor


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: float, weight_decay: float, momentum: float, nesterov: bool,
    ns_coefficients: tuple[float, float, float], eps: float, ns_steps: float, adjust_lr_fn: str | None,
) -> None:  # fmt: skip
    """Update the matrices p and B of each parameter in place. g is the caller's and stays as it is."""
    if ns_steps >= 100:
        raise ValueError(f"ns_steps must be less than 100, not {ns_steps:g}")
    if len(ns_coefficients) != 3:
        raise ValueError(f"ns_coefficients must be a tuple of exactly 3 values, not {ns_coefficients}")
    for param, grad, momentum_buffer in parameters:
        if param.numel() == 0:
            continue

        # momentum buffer
        #   B = momentum*B + (1 - momentum)*g = B + (1 - momentum)*(g - B)
        momentum_buffer.lerp_(grad, 1 - momentum)

        # Nesterov: look ahead along the buffer
        #   X = (1 - momentum)*g + momentum*B = g + momentum*(B - g), or X = B without nesterov
        direction = grad.lerp(momentum_buffer, momentum) if nesterov else momentum_buffer

        # orthogonalize by Newton-Schulz iterations
        #   O = NS(X)
        direction = orthogonalize(direction, ns_coefficients, int(ns_steps), eps)

        # adjust the rate to the shape
        #   r = lr*sqrt(max(1, rows/cols)), or r = lr*0.2*sqrt(max(rows, cols))
        rows, cols = param.shape
        ratio = 0.2 * max(rows, cols) ** 0.5 if adjust_lr_fn == "match_rms_adamw" else max(1, rows / cols) ** 0.5

        # decoupled weight decay: shrink the parameter by lr*weight_decay
        #   p = (1 - lr*weight_decay) * p
        if weight_decay != 0:
            param.mul_(1 - lr * weight_decay)

        # step
        #   p = p - r*O
        param.add_(direction, alpha=-lr * ratio)


def orthogonalize(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """NS(X): singular vectors as in the matrix [rows, cols], singular values near 1; a new tensor, in bfloat16."""
    a, b, c = coefficients
    #   X = X/max(|X|, eps)
    x = matrix.bfloat16()
    x = x / torch.linalg.matrix_norm(x).clamp(min=eps)
    # Of the two Gram matrices, the smaller.
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    for _ in range(steps):
        #   A = X*X', P = b*A + c*A*A, X = a*X + P*X
        gram = x @ x.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, polynomial, x, beta=a)
    return x.T if tall else x


class Muon(ReferenceOptimizer):
    """Muon, drop-in for torch.optim.Muon. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Muon. lr >= 0 is in units of the parameter, eps in units of the gradient; momentum >= 0 and
        weight_decay >= 0 have none; ns_steps < 100. adjust_lr_fn is None or "original", or "match_rms_adamw".
        lr may be a 1-element tensor. Parameters are real matrices.
    State: momentum_buffer [rows, cols].
    Raises: ValueError for a value out of its range, or a parameter that is no matrix; RuntimeError for a complex
        parameter or a sparse gradient.
    Example: `Muon([p for p in model.parameters() if p.ndim == 2], lr=0.02).step()`
    """

    _common_options: ClassVar = {}
    _scalar_entries: ClassVar = ()
    _sparse_refusal = "Muon does not support sparse gradients"
    _complex_refusal = "Muon does not support complex parameters"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if ns_steps >= 100:
            raise ValueError(f"ns_steps must be less than 100, not {ns_steps}")
        if len(ns_coefficients) != 3:
            raise ValueError(f"ns_coefficients must be a tuple of exactly 3 values, not {ns_coefficients}")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        })  # fmt: skip

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of matrices."""
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if param.ndim != 2:
                self.param_groups.pop()
                raise ValueError(f"Muon only supports 2D parameters whereas one has the size {tuple(param.shape)}")

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")
        return {name: group[name] for name in names}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        return (state["momentum_buffer"],)
