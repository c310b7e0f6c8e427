"""Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020, Algorithm 2, in PyTorch's form."""

import math


def radam(p, g, m, v, t, *, lr, beta1, beta2, eps, weight_decay, maximize, decoupled, sqrt=math.sqrt):
    """(p, m, v) after step t = 1, 2, ...; before the first, m = v = 0."""
    g = -g if maximize else g
    g, p = (g, p * (1 - lr * weight_decay)) if decoupled else (g + weight_decay * p, p)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    limit = 2 / (1 - beta2) - 1
    rho = limit - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5:
        return p - lr * m / (1 - beta1**t), m, v
    r = sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    return p - lr * r * m / (1 - beta1**t) * sqrt(1 - beta2**t) / (sqrt(v) + eps), m, v
