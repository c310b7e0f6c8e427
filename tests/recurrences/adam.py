"""Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014, Algorithm 1; Reddi et al., 2018, for amsgrad."""

import math


def adam(p, g, m, v, x, t, *, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled, sqrt=math.sqrt):
    """(p, m, v, x) after step t = 1, 2, ...; before the first, m = v = x = 0."""
    g = -g if maximize else g
    if decoupled:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    x = max(x, v)
    m_hat = m / (1 - beta1**t)
    v_hat = (x if amsgrad else v) / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v, x
