"""Dozat, "Incorporating Nesterov Momentum into Adam", 2016, Algorithm 2, in PyTorch's form."""

import math


def nadam(p, g, m, v, product, t, *, lr, beta1, beta2, eps, weight_decay, momentum_decay, maximize, decoupled,
          warmup=0.96, sqrt=math.sqrt):  # fmt: skip
    """(p, m, v, product) after step t = 1, 2, ...; before the first, m = v = 0 and product = 1."""
    g = -g if maximize else g
    g, p = (g, p * (1 - lr * weight_decay)) if decoupled else (g + weight_decay * p, p)
    mu, mu_next = (beta1 * (1 - warmup ** (i * momentum_decay) / 2) for i in (t, t + 1))
    product = product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    return p - lr * m_hat / (sqrt(v / (1 - beta2**t)) + eps), m, v, product
