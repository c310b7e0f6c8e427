"""The trial of averagers: a model whose weights change, an average of it, and what that has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import swa_utils

from optbench import registry
from optbench.case import Case
from optbench.errors import NothingToRun
from optbench.registry import Implementation
from optbench.trials import means
from optbench.trials.averaged import Run
from optbench.trials.base import TrialBase, Unsupported
from optbench.trials.problem import Placed
from optbench.trials.weights import Source, drawn

CLASS, MODULE = "AveragedModel", "swa_utils"
FORMS = ("default", "multi_avg_fn", "avg_fn")


@dataclass
class Trial(TrialBase):
    """One law's work on one case of one averager, whose averaging function the variant may name: see `arguments`."""

    def listen(self) -> None:
        """Keep what the law does from now on."""
        from optbench.failures.scripts.averages import AverageJournal

        self.journal = AverageJournal(self)
        self.checker.noticed = self.journal.mark

    @property
    def average(self) -> means.Average:
        """What the subject's average is."""
        options = self.subject.complete(self.case.options)
        return means.Exponential(options["decay"]) if "decay" in options else means.mean

    @property
    def form(self) -> str:
        """The form of averaging that the case asks for, "" where it leaves it open."""
        variant = self.case.variant.partition(",")[0]
        return variant if variant in FORMS else ""

    def require_torchs(self, what: str) -> None:
        """Foreign code is asked this of torch's class only where it derives from that.

        Raises:
            Unsupported: it does not.
        """
        from optbench.foreign.loading import load_class

        target = self.implementation.target
        if target and not issubclass(load_class(target), swa_utils.AveragedModel):
            raise Unsupported(f"{what} is asked of what derives from torch's AveragedModel")

    @property
    def averages_buffers(self) -> bool:
        return bool(self.case.options.get("use_buffers"))

    def load(self, name: str, implementation: Implementation | None = None) -> Any:
        """What stands under this name in the implementation's swa_utils.

        Raises:
            Unsupported: it is no part of one of torch's paths, or of foreign code.
            NothingToRun: a package that should have it has no such thing.
        """
        chosen = implementation or self.implementation
        if chosen.target and name != CLASS:
            raise Unsupported(f"foreign code brings an averager only, no {name}")
        try:
            return chosen.load(name, MODULE)
        except NothingToRun as lacking:
            # One of torch's paths has one form of averaging; what is missing elsewhere is missing.
            if not chosen.factory:
                raise
            raise Unsupported(str(lacking)) from lacking

    def function(self, form: str, implementation: Implementation | None = None) -> Any:
        """The subject's averaging function.

        Args:
            form: "avg_fn", of a tensor; "multi_avg_fn", of lists of tensors.
            implementation: whose; None: the one's under test.
        """
        decay = (self.case.options["decay"],) if "decay" in self.case.options else ()
        name = self.function_name(form)
        maker = self.load(name, implementation)
        return self.make(
            "function",
            lambda: maker(*decay),
            lambda journal: journal.function(name, implementation or self.implementation, decay),
        )

    def function_name(self, form: str) -> str:
        """What makes the subject's averaging function of this form, in any swa_utils."""
        return f"get_{'ema' if 'decay' in self.subject.defaults else 'swa'}_{form}"

    def arguments(self, form: str, implementation: Implementation | None = None) -> dict[str, Any]:
        """How AveragedModel is told to compute the subject's average.

        Args:
            form: as for `function`; "default", by no argument; "", by lists of tensors where there is a choice.
            implementation: as for `function`.
        """
        if form == "default":
            return {}
        if form:
            return {form: self.function(form, implementation)}
        try:
            return self.arguments("multi_avg_fn", implementation)
        except Unsupported:
            return self.arguments("avg_fn", implementation)

    def build(
        self,
        model: nn.Module,
        arguments: Mapping[str, Any] | None = None,
        implementation: Implementation | None = None,
    ) -> Any:
        """An average of a model by the implementation under test, or by another.

        Args:
            model: what is averaged.
            arguments: of AveragedModel, beside the case's; None: what computes the subject's average.
            implementation: who makes it; None: the one under test.

        Raises:
            Unsupported: foreign code that has no such option.
        """
        chosen = implementation or self.implementation
        given = registry.materialise(self.case.options)
        if chosen.target:
            given |= arguments or {}
            missing = sorted(name for name in given if not self.takes(name))
            if missing:
                raise Unsupported(f"no such option: {', '.join(missing)}")
        else:
            given.pop("decay", None)
            given |= self.arguments("", chosen) if arguments is None else arguments
        made = self.load(CLASS, chosen)
        return self.make("average", lambda: made(model, **given), lambda journal: journal.average(chosen, model, given))

    def module(self, averager: Any) -> nn.Module:
        """The averaged model."""
        found: nn.Module = getattr(averager, self.own("module"))
        return found

    def source(self, case: Case, placed: list[Placed]) -> nn.Module:
        """A model whose tensors are placed as the case says."""
        model: nn.Module = self.make("model", lambda: Source(case, placed), "torch.nn.Module()")
        if self.journal:
            self.journal.shape(model)
        return model

    def write(self, text: str, about: str) -> None:
        """Let a script do this to the tensor of this path, in the latest model or average."""
        if self.journal:
            self.journal.write(self.journal.resolved(text), about)

    def put(self, module: nn.Module, path: str, tensor: Tensor, name: str, k: int) -> None:
        """Let a script write into a module's tensor what `value` gives by this name."""
        if self.journal:
            self.journal.put(self.journal.name_of(module), tensor, path, lambda: drawn(self.case, name, tensor, k))

    def update(self, averager: Any, model: nn.Module) -> None:
        """Take the model as it is into the average."""
        getattr(averager, self.own("update_parameters"))(model)

    def run(
        self,
        average: means.Average | None = None,
        arguments: Mapping[str, Any] | None = None,
        implementation: Implementation | None = None,
    ) -> Run:
        """A new average of a new model."""
        return Run(self, average, arguments, implementation)

    def own(self, name: str) -> str:
        """What foreign code calls it."""
        return next((own for own, declared in self.state_alias.items() if declared == name), name)
