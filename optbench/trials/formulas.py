"""What the rate of every scheduler has to be: the harness's own formulas in plain Python, one function a scheduler.

They are closed forms in double precision that lose nothing near their ends, where `1 + cos` and `1 - t/T` cancel.
A schedule of no length is over at once. Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from optbench.subjects import load
from optbench.subjects._schedule import Each

Options = Mapping[str, Any]


def rates(subject: str, options: Options, bases: Sequence[float], epoch: float) -> list[float]:
    """The rate of every group at an epoch.

    Args:
        subject: name of the scheduler.
        options: all of its options; `Each` holds a value for each group.
        bases: the rate of each group before the scheduler was made.
        epoch: from 0.

    Example:
        >>> rates("steplr", {"step_size": 2, "gamma": 0.5}, [1.0, 4.0], 5)
        [0.25, 1.0]
    """
    return [_rate(subject, options, epoch, base, i) for i, base in enumerate(bases)]


def onwards(subject: str, options: Options, base: float, rate: float, since: int, epoch: int) -> float:
    """What a rate is at an epoch that somebody else set at an earlier one, by a scheduler that scales what it finds.

    Args:
        subject: name of the scheduler.
        options: all of its options.
        base: the initial rate.
        rate: what was set.
        since: the epoch at which it was; -1: before the scheduler was made.
        epoch: any from then on.

    Example:
        >>> onwards("steplr", {"step_size": 2, "gamma": 0.5}, base=1.0, rate=8.0, since=1, epoch=4)
        2.0
    """
    schedule = partial(_alone, subject, options)
    begins = [math.ceil(milestone) for milestone in options.get("milestones", ()) if subject == "sequentiallr"]
    if any(since < begin <= epoch for begin in begins):
        return schedule(base, epoch)
    # Rates are affine in the initial one: what would it have been?
    at_zero, at_one = (schedule(other, max(since, 0)) for other in (0.0, 1.0))
    if since >= 0 and at_one == at_zero:
        # Nothing tells it here. SWALR holds its rate; the others add what is to come to what stands.
        if since == epoch:
            return rate
        if subject == "swalr":
            return schedule(base, epoch)
        rate += schedule(base, since + 1) - schedule(base, since)
        return onwards(subject, options, base, rate, since + 1, epoch)
    initial = (rate - at_zero) / (at_one - at_zero) if since >= 0 else rate
    for at in range(since + 1, epoch + 1):
        if schedule(1.0, at) == schedule(0.0, at):
            # Past such an epoch the change is forgotten.
            initial = base
    return schedule(initial, epoch)


def _alone(subject: str, options: Options, base: float, epoch: float) -> float:
    return rates(subject, options, [base], epoch)[0]


def momenta(subject: str, options: Options, groups: int, epoch: float) -> list[float] | None:
    """The momentum, or beta1, of every group at an epoch; None where the scheduler leaves it alone."""
    if "schedulers" in options and all(map(_cycles, options["schedulers"])):
        # Of parts at once each writes over what the one before has written.
        due, since = _due(options["schedulers"], options.get("milestones", ()), epoch)
        if subject == "chainedscheduler":
            due = options["schedulers"][-1]
        return momenta(due.subject, load(due.subject).complete(due.options), groups, since)
    if subject not in MOMENTA or not options["cycle_momentum"]:
        return None
    return [MOMENTA[subject](epoch, **of_group(options, i)) for i in range(groups)]


def _cycles(item: Any) -> bool:
    """Whether a part, and all of its own, move the momentum."""
    parts = item.options.get("schedulers", ())
    return item.subject in MOMENTA or (bool(parts) and all(map(_cycles, parts)))


def of_group(options: Options, i: int) -> dict[str, Any]:
    """The options as one group sees them."""
    return {
        name: value.values[i % len(value.values)] if isinstance(value, Each) else value
        for name, value in options.items()
    }


def _rate(subject: str, options: Options, epoch: float, base: float, group: int) -> float:
    rate = RATES[subject]
    own = of_group(options, group)
    return rate(epoch, base, group=group, **own) if "schedulers" in own else rate(epoch, base, **own)


def _fallen(at: float, length: float) -> float:
    """(1 + cos(pi * at/length)) / 2: 1 at 0, 0 at the length, 1 at twice the length."""
    if length == math.inf:
        return 1.0
    # The same as cos(pi/2 * at/length)**2; the sine of what is left keeps every digit near the end.
    return math.sin(math.pi / 2 * (length - at % (2 * length)) / length) ** 2


def _left(at: float, length: float, strategy: str = "cos") -> tuple[float, float]:
    """How much is left of a way that is annealed, 1 at 0 and 0 at its length, and how much is gone."""
    if not length:
        return 0.0, 1.0
    if strategy == "cos":
        return _fallen(at, length), _fallen(length - at, length)
    return (length - at) / length, at / length


def _on_the_way(start: float, stop: float, left: float, gone: float) -> float:
    """Between two rates: to the last bit the first where all of the way is left, and the last where none is."""
    return min(max(stop * gone + start * left, min(start, stop)), max(start, stop))


def lambdalr(t: float, base: float, lr_lambda: Callable[[float], float]) -> float:
    return base * lr_lambda(t)


def multiplicativelr(t: float, base: float, lr_lambda: Callable[[float], float]) -> float:
    return base * math.prod(lr_lambda(epoch) for epoch in range(1, int(t) + 1))


def steplr(t: float, base: float, step_size: float, gamma: float) -> float:
    return float(base * gamma ** int(t // step_size))


def multisteplr(t: float, base: float, milestones: Sequence[float], gamma: float) -> float:
    return float(base * gamma ** sum(milestone <= t for milestone in milestones))


def constantlr(t: float, base: float, factor: float, total_iters: float) -> float:
    return base * factor if t < total_iters else base


def linearlr(t: float, base: float, start_factor: float, end_factor: float, total_iters: float) -> float:
    if t >= total_iters:
        return base * end_factor
    share = t / total_iters
    return base * (start_factor * (1.0 - share) + end_factor * share)


def exponentiallr(t: float, base: float, gamma: float) -> float:
    return float(base * gamma**t)


def polynomiallr(t: float, base: float, total_iters: float, power: float) -> float:
    left = (total_iters - t) / total_iters if t < total_iters else 0.0
    # No way is left of none, and all of one that has no end.
    return float(base * (1.0 if total_iters == math.inf else left) ** power)


def cosineannealinglr(t: float, base: float, T_max: float, eta_min: float) -> float:
    return _on_the_way(base, eta_min, *_left(t, T_max))


def cosineannealingwarmrestarts(t: float, base: float, T_0: int, T_mult: int, eta_min: float) -> float:
    length = T_0
    while t >= length:
        t, length = t - length, length * T_mult
    return _on_the_way(base, eta_min, *_left(t, length))


def swalr(t: float, base: float, swa_lr: float, anneal_epochs: int, anneal_strategy: str) -> float:
    return _on_the_way(base, swa_lr, *_left(min(t, anneal_epochs), anneal_epochs, anneal_strategy))


def sequentiallr(
    t: float, base: float, schedulers: Sequence[Any], milestones: Sequence[float], group: int = 0
) -> float:
    due, since = _due(schedulers, milestones, t)
    if due.subject == "swalr" and t > since:
        # From the rate that the part before has left; every other part begins at the initial one.
        base = sequentiallr(t - since - 1, base, schedulers, milestones, group)
    return part(due, since, base, group)


def _due(schedulers: Sequence[Any], milestones: Sequence[float], t: float) -> tuple[Any, float]:
    """The part whose turn it is, and its own epoch."""
    begun = [milestone for milestone in milestones if milestone <= t]
    # A part begins at the first epoch that is not before its milestone.
    return schedulers[len(begun)], t - math.ceil(begun[-1]) if begun else t


def chainedscheduler(t: float, base: float, schedulers: Sequence[Any], group: int = 0) -> float:
    for item in schedulers:
        base = part(item, t, base, group)
    return base


def part(item: Any, t: float, base: float, group: int = 0) -> float:
    """The rate of a scheduler in a composite, at its own epoch."""
    return _rate(item.subject, load(item.subject).complete(item.options), t, base, group)


def _height(t: float, up: float, down: float | None) -> tuple[int, float]:
    """The cycle, from 1, and how far up in it an epoch is."""
    down = up if down is None else down
    if not up + down:
        # Nothing but peaks.
        return 1, 1.0
    cycle = math.floor(t / (up + down))
    at = t - cycle * (up + down)
    return cycle + 1, at / up if at < up else 1.0 - (at - up) / down if down else 1.0


def _cycle(t: float, low: float, high: float, **options: Any) -> float:
    cycle, height = _height(t, options["step_size_up"], options["step_size_down"])
    if options["scale_fn"] is not None:
        scale = options["scale_fn"](cycle if options["scale_mode"] == "cycle" else t)
    else:
        named = {"triangular": 1.0, "triangular2": 0.5 ** (cycle - 1), "exp_range": options["gamma"] ** t}
        scale = named[options["mode"]]
    return low + (high - low) * height * scale


def cycliclr(t: float, base: float, **options: Any) -> float:
    return _cycle(t, options["base_lr"], options["max_lr"], **options)


def cyclic_momentum(t: float, **options: Any) -> float:
    return _cycle(t, options["max_momentum"], options["base_momentum"], **options)


def one_cycle_length(options: Options) -> int:
    """Number of epochs of a one-cycle schedule."""
    return int(options["total_steps"] or options["epochs"] * options["steps_per_epoch"])


def _one_cycle(t: float, low: float, high: float, last: float, **options: Any) -> float:
    """Up from `low` to `high` and down to `last`, in three phases by way of `low` again."""
    total = one_cycle_length(options)
    up = options["pct_start"] * total - 1
    legs = [(up, low, high), (total - 1, high, last)]
    if options["three_phase"]:
        legs[1:] = [(2 * up, high, low), (total - 1, low, last)]
    begin = 0.0
    end, start, stop = legs.pop(0)
    # A phase of no length is over at once.
    while legs and (t > end or end == begin):
        begin = end
        end, start, stop = legs.pop(0)
    return _on_the_way(start, stop, *_left(min(t, end) - begin, end - begin, options["anneal_strategy"]))


def onecyclelr(t: float, base: float, **options: Any) -> float:
    low = options["max_lr"] / options["div_factor"]
    return _one_cycle(t, low, options["max_lr"], low / options["final_div_factor"], **options)


def one_cycle_momentum(t: float, **options: Any) -> float:
    return _one_cycle(t, options["max_momentum"], options["base_momentum"], options["max_momentum"], **options)


def plateau(options: Options, lrs: Sequence[float], metrics: Sequence[float]) -> list[list[float]]:
    """The rates of all groups after each of these metrics."""
    threshold = options["threshold"]
    lower = options["mode"] == "min"
    best, bad, cooling = math.inf if lower else -math.inf, 0, 0
    now, seen = list(lrs), []
    for metric in metrics:
        margin = best * threshold if options["threshold_mode"] == "rel" and math.isfinite(best) else threshold
        if metric < best - margin if lower else metric > best + margin:
            best, bad = metric, 0
        else:
            bad += 1
        if cooling:
            cooling, bad = cooling - 1, 0
        if bad > options["patience"]:
            lows = [of_group(options, i)["min_lr"] for i in range(len(now))]
            fallen = [max(lr * options["factor"], low) for lr, low in zip(now, lows, strict=True)]
            now = [new if old - new > options["eps"] else old for old, new in zip(now, fallen, strict=True)]
            cooling, bad = options["cooldown"], 0
        seen.append(list(now))
    return seen


RATES: dict[str, Callable[..., float]] = {
    rate.__name__: rate
    for rate in (
        lambdalr, multiplicativelr, steplr, multisteplr, constantlr, linearlr, exponentiallr, polynomiallr,
        cosineannealinglr, cosineannealingwarmrestarts, swalr, sequentiallr, chainedscheduler, cycliclr, onecyclelr,
    )
}  # fmt: skip
MOMENTA: dict[str, Callable[..., float]] = {"cycliclr": cyclic_momentum, "onecyclelr": one_cycle_momentum}


def bounds(subject: str, options: Options, base: float) -> tuple[float, float] | None:
    """The lowest and the highest rate of a schedule that goes to and fro between a few; None for others.

    Args:
        subject: name of the scheduler.
        options: all of its options, as one group sees them.
        base: the group's rate before the scheduler was made.

    Example:
        >>> bounds("polynomiallr", {"total_iters": 5, "power": 2.0}, 0.3)
        (0.0, 0.3)
    """
    if subject == "cycliclr" and options["scale_fn"] is not None:
        return None
    if subject == "onecyclelr":
        low = options["max_lr"] / options["div_factor"]
        ends = [low, options["max_lr"], low / options["final_div_factor"]]
    else:
        found = {
            "constantlr": lambda: [base * options["factor"], base],
            "linearlr": lambda: [base * options["start_factor"], base * options["end_factor"]],
            "polynomiallr": lambda: [base, 0.0],
            "cosineannealinglr": lambda: [base, options["eta_min"]],
            "cosineannealingwarmrestarts": lambda: [base, options["eta_min"]],
            "swalr": lambda: [base, options["swa_lr"]],
            "cycliclr": lambda: [options["base_lr"], options["max_lr"]],
        }.get(subject)
        if found is None:
            return None
        ends = found()
    return min(ends), max(ends)


def horizon(subject: str, options: Options) -> int:
    """The number of epochs after which a schedule begins anew or changes no more, at least 3."""
    found = {
        "steplr": lambda: 2 * options["step_size"],
        "multisteplr": lambda: max(options["milestones"], default=1) + 1,
        "cosineannealinglr": lambda: options["T_max"],
        "cosineannealingwarmrestarts": lambda: options["T_0"] * (1 + options["T_mult"]),
        "cycliclr": lambda: options["step_size_up"] + (options["step_size_down"] or options["step_size_up"]),
        "onecyclelr": lambda: one_cycle_length(options),
        "sequentiallr": lambda: max(options["milestones"], default=1) + 4,
        "swalr": lambda: options["anneal_epochs"],
        "constantlr": lambda: options["total_iters"],
        "linearlr": lambda: options["total_iters"],
        "polynomiallr": lambda: options["total_iters"],
    }.get(subject, lambda: 8)()
    return max(3, math.ceil(found))
