"""What every scheduler of the foreach and fused tiers shares: the frame of a step, and which rates are overwritten."""

import warnings
from collections.abc import Sequence
from copy import deepcopy
from functools import wraps
from typing import Any, ClassVar
from weakref import ref

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from .groups import Group, copied, exchange, read, standing, write


class LRSchedulerBase(LRScheduler):
    """Frame of a step around a tier's own rates.

    A tier implements two functions of the epoch that change nothing. `_curve` is the closed form: the rates of a run
    that nobody else touches. `_advance` is one step of the recursion: where a group's rate is on the curve of the epoch
    before, it goes on along the curve, exact at any step; where somebody changed it (another scheduler, the user), the
    change lasts. A tier that keeps rates on a device overrides `_settle`, which reads and writes the groups.
    """

    # whether a rate depends on the epoch alone: the curve is set, whatever stood there
    absolute: ClassVar[bool] = False
    # whether there is a closed form
    closed: ClassVar[bool] = True
    # whether step(epoch) sets the curve; else it takes one step of the recursion, to that epoch
    jumps: ClassVar[bool] = True
    # attributes that shape the curve: where one changed, a rate that was on it no longer is
    constants: ClassVar[tuple[str, ...]] = ()
    # attributes that state_dict leaves out
    transient: ClassVar[tuple[str, ...]] = ("optimizer",)
    # and attributes that copies leave out as well
    caches: ClassVar[tuple[str, ...]] = ("_floats", "_evidence")

    # what was last written into the groups, if that were floats
    _floats: Sequence[float] = ()
    # the epoch, constants and base rates of the curve on which they all were; None if they were not, or it is unknown
    _evidence: tuple[float, list[Any], list[Any]] | None = None

    def __init__(
        self, optimizer: Optimizer, last_epoch: int = -1, *, base_lrs: list[float | Tensor] | None = None
    ) -> None:
        # torch's constructor takes the first step before a subclass can name base rates of its own
        check_optimizer(optimizer, last_epoch)
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", copied(group["lr"]))
        self.base_lrs = base_lrs or [copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        track_steps(optimizer)
        self._initial_step()

    def _curve(self, epoch: float) -> list[float]:
        """The rate of each group at this epoch, from `base_lrs`, whatever came before."""
        raise NotImplementedError(f"{type(self).__name__} must implement _curve or get_lr")

    def _advance(self, epoch: float, rates: Sequence[float], spacings: Sequence[float] | None) -> list[float]:
        """One step of the recursion, to this epoch.

        Args:
            epoch: the new epoch; 0 at construction, where `rates` are those before the schedule.
            rates: the rate that stands in each group.
            spacings: the relative spacing of the numbers in which each group keeps its rate; None for float64.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement _advance or get_lr")

    def _here(self) -> list[float]:
        """The curve's rates at `last_epoch`."""
        return self._curve(self.last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group at `last_epoch`; for `step` to call, as it depends on the rates that stand there."""
        if not self._get_lr_called_within_step:
            message = "get_lr() is for step() to call; get_last_lr() tells the rates that were set"
            warnings.warn(message, UserWarning, stacklevel=2)
        if self.absolute:
            return [*self._here()]
        groups = self.optimizer.param_groups
        if self._is_initial and self.last_epoch > 0:
            # built in the middle of a run: the groups hold the rates of this epoch
            return [group["lr"] for group in groups]
        return [*self._advance(self.last_epoch, *read(groups))]

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the optimizer, under torch's names."""
        hidden = self.transient + self.caches
        return {name: value for name, value in self.__dict__.items() if name not in hidden}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave, and set the rates that it tells.

        The rates, because the constructor changed those that a loaded optimizer brought, where that came first.
        """
        self.__dict__.update(deepcopy(state_dict))
        self._restore()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self.caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # a copied optimizer has its class's step, which does not tell that it was called
        track_steps(self.optimizer)

    def _update_lr(self, epoch: int | None = None) -> None:
        if len(self.optimizer.param_groups) != len(self.base_lrs):
            self._admit()
        before = self.last_epoch
        self._get_lr_called_within_step = True
        try:
            self.last_epoch = before + 1 if epoch is None else epoch
            self._settle(given=epoch is not None)
        except BaseException:
            self.last_epoch = before
            raise
        finally:
            self._get_lr_called_within_step = False

    def _settle(self, given: bool) -> None:
        """Bring the groups' rates to `last_epoch`, and remember them.

        Args:
            given: whether the caller of `step` named the epoch.
        """
        groups, epoch = self.optimizer.param_groups, self.last_epoch
        rates: list[float]
        self._floats, known = (), self._floats
        self._evidence, evidence = None, self._evidence
        if type(self).get_lr is not LRSchedulerBase.get_lr or (self._is_initial and epoch > 0):
            rates, count = [], 0
            write(groups, self.get_lr())
        elif self.absolute or (given and self.jumps):
            rates = self._here()
            count = exchange(groups, known, rates)
            write(groups[count:], rates[count:])
            self._evidence = self._proof(epoch, evidence)
        else:
            rates, count = self._go_on(known, evidence)
        if count == len(groups):
            self._floats, self._last_lr = rates, [*rates]
        else:
            held = standing(groups)
            # `exchange` compares by identity, so that a tensor further on does no harm
            self._floats, self._last_lr = held if type(held[0]) is float else (), [*held]

    def _go_on(self, known: Sequence[float], evidence: Any) -> tuple[list[float], int]:
        """One step from where the groups stand; the rates, and how many of the groups hold them as floats."""
        groups, epoch = self.optimizer.param_groups, self.last_epoch
        rates: list[float] = []
        count = 0
        if len(known) == len(groups) and groups[0]["lr"] is known[0]:
            proof = self._proof(epoch, evidence)
            on_curve = evidence is not None and evidence[0] == epoch - 1 and proof[1:] == evidence[1:]
            rates = self._curve(epoch) if on_curve else self._advance(epoch, known, None)
            count = exchange(groups, known, rates)
            self._evidence = proof if on_curve else None
        if count < len(groups):
            # those that are done come to nothing; not in place: a tier may keep the list that it gave
            found, spacings = read(groups)
            rates = [*rates[:count], *self._advance(epoch, found, spacings)[count:]]
            write(groups[count:], rates[count:])
            count = len(groups) if spacings is None else count
            on_curve = self.closed and spacings is None and rates == self._curve(epoch)
            self._evidence = self._proof(epoch, evidence) if on_curve else None
        return rates, count

    def _proof(self, epoch: float, before: Any) -> tuple[float, list[Any], list[Any]]:
        bases = before[2] if before is not None and before[2] == self.base_lrs else [*self.base_lrs]
        return epoch, [getattr(self, name) for name in self.constants], bases

    def _restore(self) -> None:
        """Make the optimizer hold what was loaded."""
        rates = self.__dict__.get("_last_lr", ())
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            write([group], [rate])

    def _admit(self) -> None:
        """Take in groups that came since the last step."""
        for group in self.optimizer.param_groups[len(self.base_lrs) :]:
            self._admit_group(group)

    def _admit_group(self, group: Group) -> None:
        # the rate that it came with is its base
        group.setdefault("initial_lr", copied(group["lr"]))
        self.base_lrs = [*self.base_lrs, copied(group["initial_lr"])]


def track_steps(optimizer: Optimizer) -> None:
    """Have an optimizer tell that it stepped, as torch's schedulers ask of it, without keeping it alive."""
    function = getattr(optimizer.step, "__func__", None)
    # no method any more: it tells already, or is its owner's affair
    if function is None:
        return
    reference = ref(optimizer)

    @wraps(function)
    def step(*args: Any, **kwargs: Any) -> Any:
        owner = reference()
        owner._opt_called = True  # type: ignore[union-attr]
        return function(owner, *args, **kwargs)

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = step  # type: ignore[method-assign]


def check_optimizer(optimizer: Any, last_epoch: int = -1) -> None:
    """Refuse anything but an optimizer, and one whose groups do not tell from where a run that goes on began."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    for index, group in enumerate(optimizer.param_groups):
        if last_epoch != -1 and "initial_lr" not in group:
            raise KeyError(
                f"param_groups[{index}] has no 'initial_lr', which last_epoch={last_epoch} needs: "
                "load the optimizer's checkpoint first, or begin with last_epoch=-1"
            )


def check(holds: Any, name: str, value: Any, expected: str) -> None:
    """Refuse an option; state what must hold (`x >= 0`), so that NaN is refused as well."""
    if not holds:
        raise ValueError(f"Invalid {name}: expected {expected}, but got {value!r}")
