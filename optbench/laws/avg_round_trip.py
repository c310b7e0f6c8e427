"""avg.round_trip: an average that is saved and loaded, copied or moved to another tier goes on as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.registry import Implementation
    from optbench.trials.averaged import Run
    from optbench.trials.averagers import Trial

LAW = Law(
    id="avg.round_trip",
    level="state",
    statement="copies and pickles go on bitwise the same; state_dict is torch's, and loads into every tier and back",
    catches="a count or function that is lost, digits that a copy forgets, other keys than torch's, shared storage",
    kind="averager",
    host=True,
)

_DICTS = ("state_dict", "torch.save")
_COPIES = ("deepcopy", "pickle")
# In scripts.
_PICKLED = "pickle.loads(pickle.dumps(average))"
_THROUGH_A_FILE = ("(lambda file: (torch.save(saved, file), file.seek(0), torch.load(file, weights_only=True))[2])"
                   "(io.BytesIO())")  # fmt: skip
_SHARED = ("twin.state_dict()['{0}'].untyped_storage().data_ptr() != "
           "average.state_dict()['{0}'].untyped_storage().data_ptr()")  # fmt: skip
_PARTNERS = ("torch-foreach", "reference", "foreach", "fused")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    # Little of such an update is in what 16 bits can hold, so that copies have something to forget.
    plain: dict[str, Any] = {"decay": 0.99} if "decay" in subject.defaults else {}
    buffers = {"use_buffers": True} if "use_buffers" in subject.defaults else {}
    for dtype in scope.some("float32", "bfloat16"):
        for options in (plain, plain | buffers) if scope.suite == "full" or dtype == "bfloat16" else (plain,):
            for way in (*_DICTS, *_COPIES):
                yield scope.case(subject, options, dtype, shapes="pair", variant=way, steps=4)
    # What float32 keeps beside its digits where updates are small.
    if "decay" in subject.defaults and "float32" in scope.dtypes:
        for way in _COPIES:
            yield scope.case(subject, {"decay": 0.9999}, "float32", shapes="pair", variant=way, steps=4)
    for partner in _PARTNERS:
        for direction, dtype in (("to", "float32"), ("from", "bfloat16"), ("to", "bfloat16"), ("from", "float32")):
            if dtype in scope.dtypes and (scope.suite == "full" or (direction == "to") == (dtype == "float32")):
                yield scope.case(subject, plain, dtype, shapes="pair", variant=f"{direction} {partner}", steps=4)


def check(trial: Trial) -> None:
    variant = trial.case.variant
    if variant in _COPIES:
        for k in range(trial.case.steps):
            _copied(trial, k)
    elif variant in _DICTS:
        for k in range(trial.case.steps):
            _loaded(trial, k, trial.implementation, trial.implementation)
    else:
        _interchanged(trial)


def _interchanged(trial: Trial) -> None:
    from optbench import registry
    from optbench.trials.base import Unsupported

    direction, _, name = trial.case.variant.partition(" ")
    if trial.implementation.target:
        raise Unsupported("foreign averagers have a state_dict of their own")
    partner = registry.IMPLEMENTATIONS[name]
    ends = (trial.implementation, partner) if direction == "to" else (partner, trial.implementation)
    for k in (0, 2):
        _loaded(trial, k, *ends)


def _loaded(trial: Trial, k: int, writer: Implementation, reader: Implementation) -> None:
    """Go on from a state_dict after `k` updates, judged by the oracle: it holds rounded averages only."""
    run = trial.run(implementation=writer)
    for i in range(k):
        run.update(i)
    where = f"saved after {k} updates"
    saved = run.averager.state_dict()
    if not trial.implementation.target:
        _torchs_form(trial, run, saved, where)
    given = saved
    if trial.case.variant == "torch.save":
        given = trial.make("given", lambda: _through_a_file(saved), _THROUGH_A_FILE)
    held = {name: tensor.clone() for name, tensor in given.items()}
    loaded = trial.build(run.model, None, reader)
    loaded.load_state_dict(given)
    for name, tensor in loaded.state_dict().items():
        trial.checker.equal(f"{where}, {name} as loaded", tensor, held[name])
    run.averager = loaded
    run.restart()
    for i in range(k, trial.case.steps):
        run.update(i)
    run.judge(f"{where}, the last update")
    for name, tensor in held.items():
        trial.checker.equal(f"{where}, {name} of what was loaded, afterwards", given[name], tensor)


def _torchs_form(trial: Trial, run: Run, saved: dict[str, Any], where: str) -> None:
    """The keys, dtypes and shapes are those that torch writes."""
    from torch.optim.swa_utils import AveragedModel

    def form(state: dict[str, Any]) -> list[Any]:
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()]

    wanted = form(AveragedModel(run.model).state_dict())
    entries = "[(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in average.state_dict().items()]"
    shown = f"{entries} == {wanted!r}"
    trial.checker.same(f"{where}, entries of state_dict", form(saved), wanted, shown=shown)


def _through_a_file(state: Any) -> Any:
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def _copied(trial: Trial, k: int) -> None:
    """Go on in a copy after `k` updates, bitwise as the original does."""
    import copy
    import pickle

    run = trial.run()
    for i in range(k):
        run.update(i)
    if trial.case.variant == "pickle":
        twin = trial.make("twin", lambda: pickle.loads(pickle.dumps(run.averager)), _PICKLED)
    else:
        twin = trial.make("twin", lambda: copy.deepcopy(run.averager), "copy.deepcopy(average)")
    where = f"copied after {k} updates"
    for i in range(k, trial.case.steps):
        run.update(i)
        trial.update(twin, run.model)
        for name, tensor in run.averager.state_dict().items():
            trial.checker.equal(f"{where}, update {i + 1}, {name}", twin.state_dict()[name], tensor)
    run.judge(f"{where}, the original")
    memory = {tensor.untyped_storage().data_ptr() for tensor in run.averaged().values() if tensor.numel()}
    shared = [name for name, tensor in twin.state_dict().items() if tensor.untyped_storage().data_ptr() in memory]
    trial.checker.true(f"{where}, the copy has memory of its own", not shared, f"{shared} are the original's",
                       "".join(_SHARED.format(name) for name in shared[:1]))  # fmt: skip
