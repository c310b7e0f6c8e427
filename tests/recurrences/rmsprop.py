"""Tieleman and Hinton, "Lecture 6.5 - rmsprop", 2012; Graves, 2013, equations 38 to 41, in PyTorch's form."""

import math


def rmsprop(p, g, v, a, b, *, lr, alpha, eps, weight_decay, momentum, centered, maximize, sqrt=math.sqrt):
    """(p, v, a, b) after a step; before the first, v = a = b = 0."""
    g = (-g if maximize else g) + weight_decay * p
    v = alpha * v + (1 - alpha) * g**2
    a = alpha * a + (1 - alpha) * g
    b = momentum * b + g / (sqrt(max(v - a**2, 0) if centered else v) + eps)
    return p - lr * b, v, a, b
