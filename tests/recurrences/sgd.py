"""Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, in PyTorch's form."""


def sgd(p, g, b, *, lr, momentum, dampening, weight_decay, nesterov, maximize):
    """(p, b) after a step; before the first, b is None, and without momentum it stays so."""
    g = (-g if maximize else g) + weight_decay * p
    if momentum == 0:
        return p - lr * g, None
    b = g if b is None else momentum * b + (1 - dampening) * g
    return p - lr * (g + momentum * b if nesterov else b), b
