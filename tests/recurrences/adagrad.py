"""Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011, Figure 1, without projection and regularizer."""

import math


def adagrad(p, g, s, t, *, lr, lr_decay, eps, weight_decay, maximize, sqrt=math.sqrt):
    """(p, s) after step t = 1, 2, ...; before the first, s is the initial accumulator value."""
    g = (-g if maximize else g) + weight_decay * p
    s = s + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (eps + sqrt(s)), s
