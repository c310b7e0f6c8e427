"""A model whose weights change, and an average of it: what a trial of averagers runs and judges."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from optbench.failures.average_mistakes import AverageScene
from optbench.registry import Implementation
from optbench.trials import means
from optbench.trials.base import SCENES
from optbench.trials.error import Quantity, real, real_dtype
from optbench.trials.problem import Placed, exact, generator
from optbench.trials.weights import tensors, value

if TYPE_CHECKING:
    from optbench.trials.averagers import Trial


class Run:
    """An average of the implementation under test, and the model it is of.

    Args:
        trial: the trial it belongs to.
        average: what the average is; None: the subject's.
        arguments: of AveragedModel, where the subject's function is not wanted.
        implementation: who makes it; None: the one under test.
    """

    def __init__(
        self,
        trial: Trial,
        average: means.Average | None = None,
        arguments: Mapping[str, Any] | None = None,
        implementation: Implementation | None = None,
    ) -> None:
        self.trial, self.case = trial, trial.case
        self.average = average or trial.average
        self.placed: list[Placed] = []
        self.model: nn.Module = trial.source(trial.case, self.placed)
        # torch copies the first model that it is shown; other people start from the one that they were made with.
        self._first = 0 if trial.implementation.target else -1
        self.put(self._first)
        self._make = lambda: trial.build(self.model, arguments, implementation)
        self.averager = self._make()
        self.counted = 0
        self._begun = 0
        self._starts: dict[str, Tensor] = {}
        self._models: list[dict[str, Tensor]] = []
        self._early: dict[str, Any] = {}

    def put(self, k: int) -> None:
        """Give the model's tensors their values of update `k`."""
        with torch.no_grad():
            for name, tensor in tensors(self.model).items():
                tensor.copy_(value(self.case, name, tensor, k))
                self.trial.put(self.model, name, tensor, name, k)

    def update(self, k: int) -> None:
        """Take the model as it is at update `k` into the average."""
        self.put(k)
        self._models.append({name: exact(tensor) for name, tensor in tensors(self.model).items()})
        self.trial.update(self.averager, self.model)
        self.counted += 1
        if self.counted == 1 and self.case.moment == "loaded back":
            early = copy.deepcopy(self.averager.state_dict())
            self._early = self.trial.keep("early", early, "copy.deepcopy(average.state_dict())")

    def averaged(self) -> dict[str, Tensor]:
        """The averaged model's tensors by name."""
        return tensors(self.trial.module(self.averager))

    def restart(self) -> None:
        """What the averaged model now holds is what the average goes on from, unless it has met no model yet."""
        self._starts = {name: exact(tensor) for name, tensor in self.averaged().items()} if self.counted else {}
        self._begun, self._models = self.counted, []

    def resume(self) -> None:
        """Go on in a new averager that loaded this one's state_dict."""
        saved = self.averager.state_dict()
        self.averager = self._make()
        self.averager.load_state_dict(saved)
        self.restart()

    def back(self) -> None:
        """Load what the averager was after its first update."""
        self.averager.load_state_dict(self._early)
        self.counted = 1
        self.restart()

    def anew(self) -> None:
        """Count from 0 again: the next model is the first."""
        counted = getattr(self.averager, self.trial.own("n_averaged"))
        self.trial.tell(f"average.{self.trial.own('n_averaged')}.zero_()", counted.zero_)
        self.counted = 0
        self.restart()

    def overwrite(self) -> None:
        """Write other values into the averaged model."""
        with torch.no_grad():
            for name, tensor in self.averaged().items():
                tensor.copy_(value(self.case, f"written {name}", tensor, 0))
                self.trial.put(self.averager, f"{self.trial.own('module')}.{name}", tensor, f"written {name}", 0)
        self.restart()

    def replace(self) -> None:
        """Move every tensor of both models to other memory, and go on with another object of the model's class."""
        for word, some in (("model", tensors(self.model)), (f"average.{self.trial.own('module')}", self.averaged())):
            for path, tensor in some.items():
                tensor.data = tensor.data.clone()
                self.trial.write(f"{word}.{path}.data = {word}.{path}.data.clone()", path)
        self.model = self.trial.make("model", lambda: copy.deepcopy(self.model), "copy.deepcopy(model)")
        self.restart()

    def lengthen(self) -> None:
        """Give every tensor of both models twice the rows, as tables grow with a vocabulary, and go on."""
        for word, some in (("model", tensors(self.model)), (f"average.{self.trial.own('module')}", self.averaged())):
            for path, tensor in some.items():
                if tensor.dim():
                    tensor.data = torch.cat([tensor.data, tensor.data])
                    at = f"{word}.{path}.data"
                    self.trial.write(f"{at} = torch.cat([{at}, {at}])", path)
        self.restart()

    def judge(self, what: str) -> None:
        """Compare every tensor of the averaged model with what it has to be."""
        checker, models, averaged = self.trial.checker, tensors(self.model), self.averaged()
        module = self.trial.own("module")
        checker.same(f"{what}, tensors of the averaged model", list(averaged), list(models))
        wanted_dtypes = [tensor.dtype for tensor in models.values()]
        checker.same(f"{what}, dtypes", [tensor.dtype for tensor in averaged.values()], wanted_dtypes,
                     shown=f"[tensor.dtype for tensor in average.{module}.state_dict().values()] == {wanted_dtypes!r}"
                     )  # fmt: skip
        parameters = {name for name, _ in self.model.named_parameters()}
        by_dtype: dict[torch.dtype, list[str]] = {}
        for name, tensor in averaged.items():
            if name in parameters or self.trial.averages_buffers:
                by_dtype.setdefault(tensor.dtype, []).append(name)
            else:
                checker.equal(f"{what}, {name}, which is copied", tensor.cpu(), models[name].cpu())
        for dtype, names in by_dtype.items():
            if dtype.is_floating_point or dtype.is_complex:
                for name, wanted in zip(names, self._expected(names, dtype), strict=True):
                    failed = checker.failed
                    checker.close(f"{what}, {name}", averaged[name], wanted, real_dtype(dtype))
                    if checker.failed > failed and len(self.trial.scenes) < SCENES:
                        self.trial.scenes.append(self._scene(name, averaged[name], wanted))
                continue
            for name, wanted in zip(names, self._expected(names, torch.float64), strict=True):
                off = (exact(averaged[name]) - wanted.expected).abs().max()
                # Whole numbers may be cut off; of two flags the nearer one tells what the average is.
                reach, kind = (0.5 + 1e-9, "flags") if dtype is torch.bool else (1, "whole numbers")
                shown = f"(average.{module}.{name}.to(torch.float64) - torch.tensor({wanted.expected.tolist()}, " \
                        f"dtype=torch.float64)).abs().max() < {reach}"  # fmt: skip
                checker.true(f"{what}, {name}, {kind}", bool(off < reach),
                             f"{float(off):.3g} from the average, where rounding is below {reach:.1g}", shown
                             )  # fmt: skip

    def _expected(self, names: Sequence[str], dtype: torch.dtype) -> list[Quantity]:
        """What these tensors of one dtype have to be: an average does not see where one ends and the next begins."""

        def flat(some: Mapping[str, Tensor]) -> Tensor:
            return torch.cat([some[name].reshape(-1) for name in names])

        shown = torch.stack([flat(model) for model in self._models])
        start = flat(self._starts) if self._starts else None
        rng = generator(self.case.seed, "average", dtype, self.counted)
        whole = means.expected(self.average, shown, start, self._begun, dtype, rng)
        shapes = [real(self._models[-1][name]).shape for name in names]
        return whole.split(shapes, torch.zeros_like(whole.expected))

    def _scene(self, name: str, got: Tensor, wanted: Quantity) -> AverageScene:
        shown = [*([self._starts[name]] if self._starts else []), *(model[name] for model in self._models)]
        made_of = exact(value(self.case, name, got, self._first))
        begun = max(self._begun, 1)
        return AverageScene(self.trial.subject, self.average, name, torch.stack(shown), begun, made_of, got,
                            got.detach().clone(), wanted)  # fmt: skip

    def untouched(self) -> None:
        """Check the memory around the model's tensors."""
        for i, placed in enumerate(self.placed):
            self.trial.checker.true(f"memory around weight{i} is untouched", placed.untouched())
