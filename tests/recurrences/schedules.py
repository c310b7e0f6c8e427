"""Learning-rate schedules as plain Python, written from their definitions, to judge the reference by.

Each function is the rate at epoch t of a group whose initial rate is `base`, found by going through the epochs. Those
with a momentum give both. Half a cosine from 1 to 0 is `fall(x)`, whose square keeps its digits near 0.
"""

import itertools
import math


def fall(x):
    """(1 + cos(pi*x))/2"""
    return math.cos(math.pi * x / 2) ** 2


def lambdalr(t, base, *, lr_lambda):
    return base * lr_lambda(t)


def multiplicativelr(t, base, *, lr_lambda):
    for epoch in range(1, t + 1):
        base *= lr_lambda(epoch)
    return base


def steplr(t, base, *, step_size, gamma=0.1):
    epoch = step_size
    while epoch <= t:
        base, epoch = base * gamma, epoch + step_size
    return base


def multisteplr(t, base, *, milestones, gamma=0.1):
    for milestone in milestones:
        base *= gamma if milestone <= t else 1
    return base


def constantlr(t, base, *, factor=1 / 3, total_iters=5):
    return base if t >= total_iters else base * factor


def linearlr(t, base, *, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    if t >= total_iters:
        return base * end_factor
    return base * start_factor + t * base * (end_factor - start_factor) / total_iters


def exponentiallr(t, base, *, gamma):
    for _ in range(t):
        base *= gamma
    return base


def polynomiallr(t, base, *, total_iters=5, power=1.0):
    return base * max(total_iters - t, 0) ** power / total_iters**power


def cosineannealinglr(t, base, *, T_max, eta_min=0.0):
    while t > T_max:
        t = abs(t - 2 * T_max)
    return eta_min + (base - eta_min) * fall(t / T_max)


def cosineannealingwarmrestarts(t, base, *, T_0, T_mult=1, eta_min=0.0):
    while t >= T_0:
        t, T_0 = t - T_0, T_0 * T_mult
    return eta_min + (base - eta_min) * fall(t / T_0)


def cycliclr(t, base, *, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0,
             scale_fn=None, scale_mode="cycle", base_momentum=0.8, max_momentum=0.9):  # fmt: skip
    """(rate, momentum)"""
    down = step_size_up if step_size_down is None else step_size_down
    epoch, cycle = t, 1
    while epoch >= step_size_up + down:
        epoch, cycle = epoch - step_size_up - down, cycle + 1
    height = epoch / step_size_up if epoch < step_size_up else 1 - (epoch - step_size_up) / down
    scale = {"triangular": 1, "triangular2": 2 ** (1 - cycle), "exp_range": gamma**t}[mode]
    if scale_fn is not None:
        scale = scale_fn(cycle if scale_mode == "cycle" else t)
    lift = height * scale
    return base_lr + lift * (max_lr - base_lr), max_momentum - lift * (max_momentum - base_momentum)


def onecyclelr(t, base, *, max_lr, total_steps, pct_start=0.3, anneal_strategy="cos", base_momentum=0.85,
               max_momentum=0.95, div_factor=25.0, final_div_factor=1e4, three_phase=False):  # fmt: skip
    """(rate, momentum)"""
    low, end = (max_lr / div_factor, max_momentum), (max_lr / div_factor / final_div_factor, max_momentum)
    peak, high = pct_start * total_steps - 1, (max_lr, base_momentum)
    points = [(0, low), (peak, high), *[(2 * peak, low)] * three_phase, (total_steps - 1, end)]
    for (begin, start), (stop, finish) in itertools.pairwise(points):
        if t <= stop or stop == total_steps - 1:
            x = min((t - begin) / (stop - begin), 1)
            f = fall(x) if anneal_strategy == "cos" else 1 - x
            return tuple(b + (a - b) * f for a, b in zip(start, finish, strict=True))


def swalr(t, base, *, swa_lr, anneal_epochs=10, anneal_strategy="cos"):
    x = t / anneal_epochs if t < anneal_epochs else 1
    return swa_lr + (base - swa_lr) * (fall(x) if anneal_strategy == "cos" else 1 - x)


def reducelronplateau(metrics, lr, *, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel",
                      cooldown=0, min_lr=0, eps=1e-8):  # fmt: skip
    """The rate after each metric."""
    best, bad, cooling, rates = None, 0, 0, []
    for metric in metrics:
        gain = 0 if best is None else best - metric if mode == "min" else metric - best
        good = best is None or gain > threshold * (best if threshold_mode == "rel" else 1)
        best, bad = (metric, 0) if good else (best, bad + 1)
        cooling, bad = (cooling - 1, 0) if cooling else (cooling, bad)
        if bad > patience:
            lower = max(lr * factor, min_lr)
            lr, cooling, bad = (lower if lr - lower > eps else lr), cooldown, 0
        rates.append(lr)
    return rates
