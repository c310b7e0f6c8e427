"""Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, Algorithm 2."""


def lion(p, g, m, *, lr, beta1, beta2, weight_decay, maximize):
    """(p, m) after a step; before the first, m = 0."""
    g = -g if maximize else g
    c = beta1 * m + (1 - beta1) * g
    sign = (c > 0) - (c < 0)
    return p - lr * (sign + weight_decay * p), beta2 * m + (1 - beta2) * g
