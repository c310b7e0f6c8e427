"""The implementations at hand. The harness knows them only through this table, which imports one when it is asked for.

Importing this module needs no torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from optbench import subjects
from optbench.case import AsTensor, Case
from optbench.errors import NothingToRun, UsageError, unknown
from optbench.foreign import installed

if TYPE_CHECKING:
    import torch

    Factory = Callable[..., torch.optim.Optimizer]

Path = Literal["", "for-loop", "foreach", "fused"]
TORCH_PEERS = "optbench.impls.peers.torch_optim"


@dataclass(frozen=True)
class Implementation:
    """Where an implementation lives and what it is.

    Args:
        name: as on the command line.
        summary: one line.
        module: the module of its classes, called as torch calls them; for peers, a module of factories.
        factory: name of the function in `module` that makes the class from torch's class name; empty: the class itself.
        ours: judged when `--impl` is absent.
        default: part of a run that names no implementation.
        worker: runs in a process of its own, with `environment` set there.
        backend: what runs it, on a device type ("cpu", "cuda"); "*" for all others.
        refuses: documented refusals: (predicate over a case, reason); such a case is a `skip` with that reason.
        target: "module:Class" or "path.py:Class" of foreign code, judged on math and state; "module:*": a table of what
            stands for which of torch's classes.
        made: gives what stands under a name of torch.optim and its submodule, for implementations that exist in memory
            only.
        kinds: the kinds of subject that it has.
        path: how it goes over parameters, in the words of torch.optim's page; empty: nobody has said.
    """

    name: str
    summary: str
    module: str = ""
    factory: str = ""
    ours: bool = False
    default: bool = True
    worker: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    backend: Mapping[str, str] = field(default_factory=dict)
    refuses: tuple[tuple[Callable[[Case], bool], str], ...] = ()
    target: str = ""
    made: Callable[[str, str], Factory] | None = None
    kinds: tuple[subjects.Kind, ...] = ("optimizer", "scheduler", "averager")
    path: Path = ""

    def backend_on(self, device: str) -> str:
        """What runs this implementation's arithmetic on a device."""
        kind = device.partition(":")[0]
        return self.backend.get(kind) or self.backend.get("*") or self.name

    def interpreted_on(self, device: str) -> bool:
        """Whether an interpreter runs it on a device: slow, right for conformance, and never timed."""
        return self.backend_on(device).endswith("interpreter")

    def refusal(self, case: Case) -> str | None:
        """Why this implementation does not take the case, if it documents that it does not."""
        if self.factory:
            subject = subjects.load(case.subject)
            if getattr(importlib.import_module(self.module), self.factory)(_path(subject)) is None:
                return f"torch.optim has no such path for {subject.class_name}"
        return next((reason for predicate, reason in self.refuses if predicate(case)), None)

    def load(self, class_name: str, submodule: str = "") -> Factory:
        """The class (or factory with the same arguments) that implements torch.optim's `class_name`.

        Args:
            class_name: as in torch.optim.
            submodule: "lr_scheduler" or "swa_utils" for what lives there; "": torch.optim itself.

        Raises:
            NothingToRun: the implementation has no such class, or a package it needs is missing.
        """
        if self.made:
            return self.made(class_name, submodule)
        if self.target:
            from optbench.foreign.loading import load_factory

            return load_factory(self.target, class_name)
        try:
            module = importlib.import_module(".".join(filter(None, (self.module, "" if self.factory else submodule))))
        except ImportError as error:
            raise NothingToRun(f"{self.name} cannot be imported here: {error}") from error
        asked = ".".join(filter(None, (submodule, class_name)))
        found = getattr(module, self.factory)(asked) if self.factory else getattr(module, class_name, None)
        if found is None:
            raise NothingToRun(f"{self.name} has no {class_name}.")
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Oracle:
    """The implementation that judges numbers, where that is none of ours.

    Args:
        name: as `--impl` or `--oracle` has it.
        refuses: why it cannot judge; empty: it can.
        steps: whether it can judge a step alone, from state that is put into it; else whole runs only.
    """

    name: str
    refuses: str = ""
    steps: bool = True


def _path(subject: subjects.Subject) -> str:
    """Where a class is below torch.optim: "Adam", "swa_utils.AveragedModel"."""
    return ".".join(filter(None, (subject.module, subject.class_name)))


def _has_tensor(case: Case) -> bool:
    return any(isinstance(value, AsTensor) for value in case.options.values())


def _capturable_on_cpu(case: Case) -> bool:
    return bool(case.options.get("capturable")) and case.device.startswith("cpu")


def _tensor_without_capture(case: Case) -> bool:
    return _has_tensor(case) and not case.options.get("capturable")


def _derivative(case: Case) -> bool:
    return case.variant.startswith("derivative")


def _complex(case: Case) -> bool:
    return case.dtype.startswith("complex")


def _peer(package: str, project: str = "") -> Implementation:
    """A package whose classes stand for torch's: foreign code, only when named."""
    return Implementation(
        package,
        f"the classes of {project or package} that stand for torch's; only when named",
        target=f"optbench.impls.peers.{package}:*",
        default=False,
        worker=True,
        backend={"*": "foreign"},
        kinds=("optimizer",),
    )


_NEEDS_ACCELERATOR = (_capturable_on_cpu, "torch takes capturable=True on accelerators only")
_TENSOR_LR = (_tensor_without_capture, "torch's foreach path takes a tensor lr only with capturable=True")
_NO_COMPLEX = (_complex, "torch's fused path takes real floating-point parameters only")
_FOLLOWED = (_derivative, "autograd follows for-loops only, by documentation")
_TRITON_INTERPRETER = {"TRITON_INTERPRET": "1", "OPTBENCH_FUSED_BACKEND": "triton"}

IMPLEMENTATIONS: dict[str, Implementation] = {
    implementation.name: implementation
    for implementation in (
        Implementation(
            "reference",
            "for loop over parameters, plain torch operations, a formula above each line",
            module="optbench.reference",
            ours=True,
            backend={"*": "torch"},
            path="for-loop",
        ),
        Implementation(
            "foreach",
            "torch._foreach_* operations over all parameters at once",
            module="optbench.impls.foreach",
            ours=True,
            backend={"*": "foreach"},
            refuses=(_FOLLOWED,),
            path="foreach",
        ),
        Implementation(
            "fused",
            "one pass over memory for all parameters: Numba on a CPU, Triton on a GPU",
            module="optbench.impls.fused",
            ours=True,
            backend={"cpu": "numba", "*": "triton"},
            refuses=(_FOLLOWED,),
            path="fused",
        ),
        Implementation(
            "fused-triton",
            "the Triton kernels; on a CPU in Triton's interpreter, for conformance only",
            module="optbench.impls.fused",
            ours=True,
            worker=True,
            environment=_TRITON_INTERPRETER,
            backend={"cpu": "triton-interpreter", "*": "triton"},
            refuses=(_FOLLOWED,),
            path="fused",
        ),
        Implementation(
            "torch",
            "torch.optim's schedulers, which have one path",
            module="torch.optim",
            backend={"*": "torch"},
            kinds=("scheduler",),
        ),
        Implementation(
            "torch-forloop",
            "torch.optim with foreach=False, fused=False",
            module=TORCH_PEERS,
            factory="forloop",
            backend={"*": "torch"},
            refuses=(_NEEDS_ACCELERATOR,),
            kinds=("optimizer", "averager"),
            path="for-loop",
        ),
        Implementation(
            "torch-foreach",
            "torch.optim with foreach=True",
            module=TORCH_PEERS,
            factory="foreach",
            backend={"*": "torch"},
            refuses=(_NEEDS_ACCELERATOR, _TENSOR_LR, _FOLLOWED),
            kinds=("optimizer", "averager"),
            path="foreach",
        ),
        Implementation(
            "torch-fused",
            "torch.optim with fused=True",
            module=TORCH_PEERS,
            factory="fused",
            backend={"*": "torch"},
            refuses=(_NEEDS_ACCELERATOR, _NO_COMPLEX, _FOLLOWED),
            kinds=("optimizer",),
            path="fused",
        ),
        Implementation(
            "torch-compile",
            "torch.optim's step under torch.compile; only when named, because it compiles for many seconds",
            module=TORCH_PEERS,
            factory="compiled",
            default=False,
            backend={"*": "inductor"},
            refuses=(_NEEDS_ACCELERATOR, _FOLLOWED),
            kinds=("optimizer",),
        ),
        _peer("pytorch_optimizer"),
        _peer("optimi", "torch-optimi"),
        _peer("timm"),
        _peer("heavyball"),
    )
}


def triton_installed() -> bool:
    """Whether Triton can be imported, without importing it."""
    try:
        return importlib.util.find_spec("triton") is not None
    except (ImportError, ValueError):
        return False


def select(names: list[str], device: str = "cpu") -> list[Implementation]:
    """The implementations that take part in a run.

    Args:
        names: what `--impl` said: names of this table, of entry points, `module:Class` or `path.py:Class`; empty: every
            default one.
        device: a torch device; on other devices than the CPU `fused-triton` is `fused`.

    Raises:
        UsageError: a name that is neither in the table nor an entry point's nor of the form `where:Class`.
    """
    if names:
        return [find(name) for name in dict.fromkeys(names)]
    on_cpu = device.startswith("cpu")
    return [
        implementation
        for implementation in IMPLEMENTATIONS.values()
        if implementation.default and (implementation.name != "fused-triton" or (on_cpu and triton_installed()))
    ]


def find(name: str) -> Implementation:
    """One implementation by name, or a foreign class by `module:Class`, `path.py:Class` or an entry point's name.

    Raises:
        UsageError: none of these, or an entry point that names no class.
    """
    if name in IMPLEMENTATIONS:
        return IMPLEMENTATIONS[name]
    if ":" in name:
        from optbench.foreign import loading

        return Implementation(name, "foreign code", target=name, worker=loading.held(name) is None)
    offer = installed.find(name)
    if offer:
        return Implementation(name, f"{offer.target} of {offer.package}", target=offer.target, worker=True)
    if name.endswith(".py") or "/" in name:
        raise UsageError(f"--impl {name!r} names a file and no class: write {name}:Class.")
    names = [*IMPLEMENTATIONS, *(offer.name for offer in installed.offers())]
    raise unknown("implementation", name, names, "optbench list impls")


def judged(implementation: Implementation, named: list[str]) -> bool:
    """Judged: our tiers when `--impl` is absent, otherwise exactly those named."""
    return implementation.name in named if named else implementation.ours


def build(implementation: Implementation, class_name: str, params: Any, options: Mapping[str, Any]) -> Any:
    """Construct an optimizer, turning `AsTensor` values into 0-d float32 tensors."""
    return implementation.load(class_name)(params, **materialise(options))


def materialise(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the constructor takes them."""
    return {name: _materialise(value) for name, value in options.items()}


def _materialise(value: Any) -> Any:
    if isinstance(value, AsTensor):
        import torch

        return torch.tensor(value.value, dtype=torch.float32)
    if isinstance(value, tuple):
        return tuple(_materialise(item) for item in value)
    return value
