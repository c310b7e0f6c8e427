"""avg.bn: update_bn gives the exact statistics of the data, and leaves everything else as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optbench.trials.averagers import Trial

LAW = Law(
    id="avg.bn",
    level="state",
    statement="update_bn: equal weights for all batches; momenta and every training flag restored, whatever is raised",
    catches="a momentum of 0 or of its own instead of none, flags set for all modules alike, statistics lost",
    kind="averager",
    host=True,
)

_FORMS = ("tensor", "tuple", "list", "mapping", "on a device", "mixed modes")
_RAISES = ("the loader raises", "the loader raises at once", "the model raises")
_SIZES = (4, 9, 2, 6)
_MOMENTA = (0.1, None, 0.37)
# The same in scripts, where a division by zero stands for what is raised.
_SECOND = "        1 / (2 - len(self.seen_grad))\n"
_BATCHES = (
    "[(torch.randn(size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * "
    "torch.tensor([0.5, 1.0, 3.0]) + k).to(torch.{0}) for k, (size, seed) in enumerate({1})]"
)
_DEVICE = ", next(net.buffers()).device"
_LOADERS = {
    "tuple": "[(batch, 0) for batch in batches]",
    "list": "[[batch, 0] for batch in batches]",
    "mapping": "[{'x': batch} for batch in batches]",
    "on a device": "[(batch, 0) for batch in batches]",
    "empty loader": "[]",
    "the loader raises": "(batch if k < 2 else 1 / 0 for k, batch in enumerate(batches))",
    "the loader raises at once": "(1 / 0 for batch in batches)",
}
_NET = """\
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.seen_grad, self.plain = [], {0}
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(3, momentum=each) for each in {1}])

    def forward(self, x):
        x = x["x"] if isinstance(x, dict) else x
        self.seen_grad.append(torch.is_grad_enabled())
{2}        for i, norm in enumerate(self.norms):
            norm((i + 1) * x - i)
        return x


Net().to({3!r}, torch.{4})"""
_PREPARING = "for norm in net.norms:\n    norm(batches[0].to({!r}))\nnet.train({})"
_MIXED = "\nnet.norms[1].train()\nnet.plain.train()"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    # It is the same function whatever the average is.
    if "decay" not in subject.defaults:
        for dtype in scope.some("float32", "float64"):
            for variant in (*_FORMS, *_RAISES, "empty loader", "no batch norm"):
                yield scope.case(subject, {}, dtype, variant=variant)


def check(trial: Trial) -> None:
    import torch

    variant, checker = trial.case.variant, trial.checker
    update_bn = trial.load("update_bn")
    called = trial.journal.imported("update_bn", trial.implementation) if trial.journal else "update_bn"
    net = _net(trial)
    norms: list[Any] = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    flags = [module.training for module in net.modules()]
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    trial.keep("before", before, "{name: buffer.clone() for name, buffer in net.named_buffers()}")
    with torch.enable_grad():
        update = (_batches(trial, variant), net, trial.case.device) if variant == "on a device" else (
            _batches(trial, variant), net)  # fmt: skip
        text = f"{called}({_LOADERS.get(variant, 'batches')}, net{_DEVICE * (variant == 'on a device')})"
        if variant in _RAISES:
            try:
                trial.tell(text, lambda: update_bn(*update))
                checker.true("what was raised is raised", False, "it was swallowed", "refused is not None")
            except _Broken:
                checker.true("what was raised is raised", True)
        else:
            trial.tell(text, lambda: update_bn(*update))
        enabled = torch.is_grad_enabled()
    checker.true("gradients are enabled as before", enabled, shown="net and torch.is_grad_enabled()")
    momenta = _MOMENTA if norms else ()
    checker.same("momenta", tuple(norm.momentum for norm in norms), momenta,
                 shown=f"tuple(norm.momentum for norm in net.norms) == {momenta}")  # fmt: skip
    checker.same("modules in training", [module.training for module in net.modules()], flags,
                 shown=f"[module.training for module in net.modules()] == {flags}")  # fmt: skip
    checker.true("it ran without gradients", not any(net.seen_grad), shown="not any(net.seen_grad)")
    if variant in _FORMS:
        _statistics(trial, net)
    elif variant == "empty loader":
        for name, buffer in net.named_buffers():
            checker.equal(f"{name} after no batch at all", buffer, before[name],
                          shown=f"torch.equal(dict(net.named_buffers())[{name!r}], before[{name!r}])")  # fmt: skip
    elif variant == "no batch norm":
        checker.same("batches that a model without statistics is shown", len(net.seen_grad), 0,
                     shown="len(net.seen_grad) == 0")  # fmt: skip


class _Broken(Exception):
    pass


class _Elsewhere:
    """A batch that is no tensor before it is moved."""

    def __init__(self, batch: Tensor) -> None:
        self._batch = batch

    def to(self, device: Any) -> Tensor:
        return self._batch.to(device)


def _net(trial: Trial) -> Any:
    """Three batch norms, each of a known linear function of the input, some of them in evaluation mode."""
    import torch

    from optbench.trials.problem import dtype_of, generator

    raises, normed = trial.case.variant == "the model raises", trial.case.variant != "no batch norm"

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen_grad: list[bool] = []
            # Keeps no statistics, and is only there to be met; the last of all modules does.
            self.plain = torch.nn.InstanceNorm1d(3) if normed else torch.nn.Identity()
            norms: list[nn.Module] = [torch.nn.BatchNorm1d(3, momentum=momentum) for momentum in _MOMENTA]
            self.norms = torch.nn.ModuleList(norms if normed else [])

        def forward(self, x: Any) -> Tensor:
            x = x["x"] if isinstance(x, dict) else x
            self.seen_grad.append(torch.is_grad_enabled())
            if raises and len(self.seen_grad) == 2:
                raise _Broken
            for i, norm in enumerate(self.norms):
                norm((i + 1) * x - i)
            return cast("Tensor", x)

    plain, momenta = ("torch.nn.InstanceNorm1d(3)", _MOMENTA) if normed else ("torch.nn.Identity()", ())
    made = _NET.format(plain, momenta, _SECOND * raises, trial.case.device, trial.case.dtype)
    net = trial.keep("net", Net().to(device=trial.case.device, dtype=dtype_of(trial.case.dtype)), made)
    seeds = [generator(trial.case.seed, "batch", k).initial_seed() for k in range(len(_SIZES))]
    drawn = _BATCHES.format(trial.case.dtype, [*zip(_SIZES, seeds, strict=True)])
    trial.keep("batches", [_data(trial, k) for k in range(len(_SIZES))], drawn)
    _prepare(trial, net)
    return net


def _prepare(trial: Trial, net: Any) -> None:
    """It has seen a batch, and is in training as a whole, in some parts, or not at all."""
    mixed, training = trial.case.variant in ("mixed modes", *_RAISES), trial.case.variant in ("tensor", "list")

    def prepare() -> None:
        for norm in net.norms:
            norm(_data(trial, 0).to(trial.case.device))
        net.train(training)
        if mixed:
            net.norms[1].train()
            net.plain.train()

    trial.tell(_PREPARING.format(trial.case.device, training) + _MIXED * mixed, prepare)


def _data(trial: Trial, k: int) -> Tensor:
    """Batch `k`, in the case's dtype: rows of three features."""
    import torch

    from optbench.trials.problem import dtype_of, generator

    rng = generator(trial.case.seed, "batch", k)
    spread = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    return (torch.randn(_SIZES[k], 3, generator=rng, dtype=torch.float64) * spread + k).to(dtype_of(trial.case.dtype))


def _batches(trial: Trial, variant: str) -> Iterator[Any]:
    device = trial.case.device
    if variant == "empty loader":
        return
    if variant == "the loader raises at once":
        raise _Broken
    for k in range(len(_SIZES)):
        batch = _data(trial, k)
        if variant == "the loader raises" and k == 2:
            raise _Broken
        if variant == "on a device":
            yield (_Elsewhere(batch), "target")
            continue
        batch = batch.to(device)
        yield {"tuple": (batch, "target"), "list": [batch, "target"], "mapping": {"x": batch}}.get(variant, batch)


def _statistics(trial: Trial, net: Any) -> None:
    """Means and variances are the means over all batches of theirs."""
    import torch

    from optbench.trials.error import quantity
    from optbench.trials.oracle import CHANGES, moved
    from optbench.trials.problem import dtype_of, generator

    dtype = dtype_of(trial.case.dtype)
    rng = generator(trial.case.seed, "statistics")
    for i, norm in enumerate(net.norms):
        batches = [(i + 1) * _data(trial, k).to(torch.float64) - i for k in range(len(_SIZES))]
        crowds = [torch.cat([batch[None], moved(batch.expand(CHANGES, -1, -1), dtype, rng)]) for batch in batches]
        exact = {
            "running_mean": torch.stack([crowd.mean(1) for crowd in crowds]).mean(0),
            "running_var": torch.stack([crowd.var(1) for crowd in crowds]).mean(0),
        }
        for name, found in exact.items():
            wanted = quantity(found[0], (found[1:] - found[0]).abs().amax(0), None, dtype)
            trial.checker.close(f"{name} of batch norm {i}", getattr(norm, name), wanted, dtype)
        trial.checker.same(f"batches seen by batch norm {i}", int(norm.num_batches_tracked), len(_SIZES),
                           shown=f"int(net.norms[{i}].num_batches_tracked) == {len(_SIZES)}")  # fmt: skip
