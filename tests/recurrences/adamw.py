"""Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, Algorithm 2, decaying by lr*weight_decay."""

import math


def adamw(p, g, m, v, x, t, *, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, sqrt=math.sqrt):
    """(p, m, v, x) after step t = 1, 2, ...; before the first, m = v = x = 0."""
    g = -g if maximize else g
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    x = max(x, v)
    m_hat = m / (1 - beta1**t)
    v_hat = (x if amsgrad else v) / (1 - beta2**t)
    return p - lr * (m_hat / (sqrt(v_hat) + eps) + weight_decay * p), m, v, x
