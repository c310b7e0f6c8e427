"""Riedmiller and Braun, "The RPROP Algorithm", 1993, without taking steps back (Igel and Huesken's iRprop-, 2000)."""


def rprop(p, g, before, d, *, etaminus, etaplus, smallest, largest, maximize):
    """(p, gradient to remember, d) after a step; before the first, the gradient is 0 and d is lr."""
    g = -g if maximize else g
    if g * before > 0:
        d = d * etaplus
    elif g * before < 0:
        d, g = d * etaminus, 0
    d = min(max(d, smallest), largest)
    return p - d * ((g > 0) - (g < 0)), g, d
