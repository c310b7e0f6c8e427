"""Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014, end of section 2, for a present element."""

import math


def sparse_adam(p, g, m, v, t, *, lr, beta1, beta2, eps, maximize, sqrt=math.sqrt):
    """(p, m, v) after step t = 1, 2, ...; before the first, m = v = 0. An element that is absent stays as it is."""
    g = -g if maximize else g
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    rate = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    return p - rate * m / (sqrt(v) + eps), m, v
