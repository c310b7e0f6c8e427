"""Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, Algorithm 1, with a rate for its last line."""

import math


def adadelta(p, g, v, u, *, lr, rho, eps, weight_decay, maximize, sqrt=math.sqrt):
    """(p, v, u) after a step; before the first, v = u = 0."""
    g = (-g if maximize else g) + weight_decay * p
    v = rho * v + (1 - rho) * g**2
    delta = -sqrt(u + eps) / sqrt(v + eps) * g
    u = rho * u + (1 - rho) * delta**2
    return p + lr * delta, v, u
