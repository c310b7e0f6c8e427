"""Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014, Algorithm 2, with eps inside the maximum."""


def adamax(p, g, m, u, t, *, lr, beta1, beta2, eps, weight_decay, maximize):
    """(p, m, u) after step t = 1, 2, ...; before the first, m = u = 0."""
    g = (-g if maximize else g) + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    u = max(beta2 * u, abs(g) + eps)
    return p - lr / (1 - beta1**t) * m / u, m, u
