"""Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, at the rate of Xu, 2011."""


def asgd(p, g, average, eta, mu, t, *, lr, lambd, alpha, t0, weight_decay, maximize):
    """(p, average, eta, mu) after step t = 1, 2, ...; before the first, average = 0, eta = lr and mu = 1."""
    g = (-g if maximize else g) + weight_decay * p
    p = p - eta * (g + lambd * p)
    average = p if mu == 1 else (1 - mu) * average + mu * p
    return p, average, lr / (1 + lambd * lr * t) ** alpha, 1 / max(1, t - t0)
