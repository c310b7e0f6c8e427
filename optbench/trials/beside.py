"""Two runs of one implementation beside each other, which have to stay equal within what rounding may do."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.trials import nested
from optbench.trials.error import quantity, real
from optbench.trials.optimizers import Trial
from optbench.trials.problem import exact
from optbench.trials.running import Run


class Beside:
    """Compares a run with another that takes the same steps in a plainer way, without an oracle.

    Where two ways round once more or once less, an element may differ by a few spacings of the largest number that it,
    or what it is computed from, ever was.

    Args:
        trial: takes the comparisons.
        run: the run that is judged.
        plain: the run that is taken for right.
    """

    def __init__(self, trial: Trial, run: Run, plain: Run) -> None:
        self.trial, self.run, self.plain = trial, run, plain
        self._sizes: dict[str, Tensor] = {}

    def note(self) -> None:
        """Remember how large everything is; to be called before each step."""
        for name, value in _leaves(self.plain).items():
            if isinstance(value, (Tensor, float)):
                size = _plain(value).abs()
                self._sizes[name] = torch.maximum(self._sizes[name], size) if name in self._sizes else size

    def compare(self, what: str) -> None:
        """Judge all state entries and parameters; what is neither tensor nor float has to be the same."""
        checker, found, wanted = self.trial.checker, _leaves(self.run), _leaves(self.plain)
        checker.same(f"{what}, what is kept", sorted(found), sorted(wanted))
        for name in (each for each in wanted if each in found):
            actual, expected = found[name], wanted[name]
            if not isinstance(expected, (Tensor, float)):
                checker.same(f"{what}, {name}", actual, expected)
                continue
            mine, theirs = _plain(actual), _plain(expected)
            if mine.shape == theirs.shape and torch.equal(mine, theirs):
                checker.equal(f"{what}, {name}", mine, theirs.to(mine.dtype))
            else:
                self._close(f"{what}, {name}", mine, theirs, name)

    def _close(self, what: str, actual: Tensor, plain: Tensor, name: str) -> None:
        expected = exact(plain)
        size = self._sizes.get(name)
        if self.trial.subject.sees == "all":
            # A difference of two gradients is as far off as these are.
            size = torch.full_like(expected, max(float(each.max()) for each in self._sizes.values() if each.numel()))
        judged = quantity(expected, torch.zeros_like(expected), None if size is None else exact(size), self.trial.dtype)
        self.trial.checker.close(what, actual, judged, self.trial.dtype, plain)


def _leaves(run: Run) -> dict[str, object]:
    """What is kept of each parameter, and last the parameter, by name."""
    found: dict[str, object] = {}
    for i, param in enumerate(run.params):
        for name, entry in run.state(i).items():
            found |= {f"{name}{path} of parameter {i}": leaf for path, leaf in nested.leaves(entry)}
        found[f"parameter {i}"] = param
    return found


def _plain(value: object) -> Tensor:
    """A tensor's numbers, real and dense; a number as a 0-d tensor."""
    return real(torch.as_tensor(value).detach().to_dense())
