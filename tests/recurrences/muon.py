"""Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, of a matrix by its diagonal.

A diagonal matrix has its entries' sizes as singular values and stays diagonal, so that the entries meet in the norm
only. The iterations are exact here; PyTorch's run in bfloat16.
"""


def muon(p, g, b, *, ratio, lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps):
    """(p, b, o) after a step of the diagonals p, g, b; before the first, b is 0. o is the orthogonalized update."""
    first, third, fifth = ns_coefficients
    b = [momentum * old + (1 - momentum) * x for old, x in zip(b, g, strict=True)]
    o = [(1 - momentum) * x + momentum * y if nesterov else y for x, y in zip(g, b, strict=True)]
    norm = max(sum(x * x for x in o) ** 0.5, eps)
    o = [x / norm for x in o]
    for _ in range(ns_steps):
        o = [first * x + third * x**3 + fifth * x**5 for x in o]
    return [(1 - lr * weight_decay) * x - lr * ratio * y for x, y in zip(p, o, strict=True)], b, o
