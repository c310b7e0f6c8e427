"""AdamW on torch._foreach_* ops: Adam whose weight decay acts on the parameter and not on the gradient.

Paper: Ilya Loshchilov, Frank Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101,
algorithm 2.
"""

from ..common.adamw import AdamWBase
from .adam import Adam


class AdamW(AdamWBase, Adam):
    """AdamW: Adam with decoupled_weight_decay=True, always, and weight_decay=0.01 unless given.

        p = p - lr*weight_decay*p
        p = p - lr * m/(1 - beta1**t) / (sqrt(v/(1 - beta2**t)) + eps)

    Args:
        weight_decay: shrinkage of the parameter, in units of lr, at each step; the others are Adam's.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other, or, at a step, a sparse gradient.

    Example:
        >>> optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithm 2 of https://arxiv.org/abs/1711.05101, arguments of torch.optim.AdamW.
    """
