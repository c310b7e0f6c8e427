"""Averages of a number as plain Python, written from their definitions, to judge the reference by.

Called with `fractions.Fraction` they are exact.
"""


def swa(values):
    """The mean of all values so far, after each."""
    return [sum(values[: count + 1]) / (count + 1) for count in range(len(values))]


def ema(values, *, decay):
    """The moving average after each value, which begins with the first."""
    averages = [values[0]]
    for value in values[1:]:
        averages.append(decay * averages[-1] + (1 - decay) * value)
    return averages
