"""Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, in PyTorch's form.

Algorithm 4, of a matrix as a list of rows, and Algorithm 5, of a vector as a list of numbers.
"""

from math import sqrt


def rms(numbers):
    return sqrt(sum(x * x for x in numbers) / len(numbers))


def mean(numbers):
    return sum(numbers) / len(numbers)


def adafactor_matrix(p, g, r, c, t, *, lr, beta2_decay, eps1, eps2, d, weight_decay, maximize):
    """(p, r, c) after step t = 1, 2, ...; before the first, the row means r and the column means c are 0."""
    squares, w = [[x * x for x in row] for row in g], t**beta2_decay
    r = [(1 - w) * old + w * mean(row) for old, row in zip(r, squares, strict=True)]
    c = [(1 - w) * old + w * mean(column) for old, column in zip(c, zip(*squares, strict=True), strict=True)]
    v = [[x * y / max(mean(r), eps1) for y in c] for x in r]
    flat = [[x for row in rows for x in row] for rows in (p, g, v)]
    new = moved(*flat, t, lr, eps1, eps2, d, weight_decay, maximize)
    return [new[start : start + len(c)] for start in range(0, len(new), len(c))], r, c


def adafactor_vector(p, g, v, t, *, lr, beta2_decay, eps1, eps2, d, weight_decay, maximize):
    """(p, v) after step t = 1, 2, ...; before the first, v is 0."""
    w = t**beta2_decay
    v = [(1 - w) * old + w * x * x for old, x in zip(v, g, strict=True)]
    return moved(p, g, v, t, lr, eps1, eps2, d, weight_decay, maximize), v


def moved(p, g, v, t, lr, eps1, eps2, d, weight_decay, maximize):
    u = [(-x if maximize else x) / max(sqrt(y), eps1) for x, y in zip(g, v, strict=True)]
    alpha = max(eps2, rms(p)) * min(lr, 1 / sqrt(t)) / max(1, rms(u) / d)
    return [(1 - lr * weight_decay) * x - alpha * y for x, y in zip(p, u, strict=True)]
