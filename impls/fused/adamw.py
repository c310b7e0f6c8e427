"""AdamW: Adam whose weight decay shrinks the parameter and does not enter the moments; its rule is Adam's.

Ilya Loshchilov, Frank Hutter: Decoupled Weight Decay Regularization, 2017, https://arxiv.org/abs/1711.05101,
algorithm 2.
"""

from __future__ import annotations

from ..common.adamw import AdamWBase
from .adam import Adam


class AdamW(AdamWBase, Adam):
    """AdamW, all parameters in one launch.

    p = p - lr*weight_decay*p, then Adam's step without decay.

    Args: those of torch.optim.AdamW.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = AdamW(layer.parameters(), lr=0.01, weight_decay=0.1)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Loshchilov and Hutter, 2017, https://arxiv.org/abs/1711.05101.
    """
