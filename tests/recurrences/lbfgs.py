"""Nocedal and Wright, "Numerical Optimization", second edition, 2006, equation 7.16: H itself in place of its pairs."""


def dot(left, right):
    return sum(x * y for x, y in zip(left, right, strict=True))


def bfgs_direction(g, pairs, scale):
    """-H*g, where H starts as scale*I and takes up the pairs (s, y), the oldest first: all are lists of numbers."""
    size = range(len(g))
    h = [[scale * (i == j) for j in size] for i in size]
    for s, y in pairs:
        rho = 1 / dot(y, s)
        # V = I - rho*y*s', H = V'*H*V + rho*s*s'
        v = [[(i == j) - rho * y[i] * s[j] for j in size] for i in size]
        hv = [[sum(h[i][k] * v[k][j] for k in size) for j in size] for i in size]
        h = [[sum(v[k][i] * hv[k][j] for k in size) + rho * s[i] * s[j] for j in size] for i in size]
    return [-dot(row, g) for row in h]
