"""opt.sparse: a gradient of some rows or elements, in every form that torch gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.sparse",
    level="torch",
    statement="a sparse gradient of any form does what the same one does dense, or is refused and moves nothing",
    catches="rows that are named twice counted once, a sparse gradient taken for a dense one or left out with its kind",
    host=True,
    formula=False,
)

_ROWS = 20
_REFUSED = "refused"
# At the second step only, where there is a state to stand still.
_NOTHING = "no rows"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    usual = scope.some("float32")[0]
    if subject.takes_sparse({}):
        factors: dict[str, Any] = {option.name: option.values for option in subject.options}
        forms = [name for name in _FORMS if not (subject.sparse and "dense" in name)]
        factors |= {"form": forms, "dtype": scope.some("float32", "bfloat16", "complex64")}
        rows = [row for row in pairwise.rows(factors, subject.forbidden) if subject.takes_sparse(row)]
        rows = rows if scope.suite == "full" else rows[:_ROWS]
        # Each form once where as much as can be is carried on from step to step.
        busy = subject.crowd(*(subject.sparse_without or ()))
        # The negative of a gradient is no gradient that somebody holds.
        for own in (busy, *([{**busy, "maximize": False}] if "maximize" in busy else [])):
            rows += [{**own, "form": form, "dtype": usual} for form in forms if subject.takes_sparse(own)]
        for row in rows:
            dtype, form = row.pop("dtype"), row.pop("form")
            yield scope.case(subject, row, dtype, shapes="pair", variant=form)
    if subject.sparse:
        yield scope.case(subject, {}, usual, shapes="pair", variant=f"dense gradient {_REFUSED}")
    for reason in ("",) if subject.sparse_without is None else subject.sparse_without:
        options = {option.name: option.values[1] for option in subject.options if option.name == reason}
        for form in ("rows", "elements twice", _NOTHING):
            yield scope.case(subject, options, usual, shapes="pair", variant=f"{form} {_REFUSED}")


def check(trial: Trial) -> None:
    form, _, refused = trial.case.variant.rpartition(" ")
    if refused != _REFUSED:
        _taken(trial, _FORMS[trial.case.variant])
    elif form == "dense gradient":
        _refused(trial, lambda grad, i, k: grad.to_dense() if (i, k) == (1, 1) else grad, "dense")
    else:
        _refused(trial, lambda grad, i, k: _FORMS[form](grad, i, k) if (i, k) == (1, 1) else grad.to_dense(), "sparse")


def _taken(trial: Trial, form: Form) -> None:
    """Beside a run with the same gradients in their plainest form."""
    from optbench.trials.beside import Beside
    from optbench.trials.sparse import share_memory

    run, plain = trial.run(), trial.run()
    if trial.subject.sees != "all":
        _after_another_group(trial, run)
    beside, given = Beside(trial, run, plain), []
    for k in range(trial.case.steps):
        beside.note()
        _step(trial, run, k, form)
        given += [(f"of parameter {i}, step {k + 1}", param.grad, form(_rows(trial, i, k), i, k))
                  for i, param in enumerate(run.params)]  # fmt: skip
        for i, param in enumerate(run.params):
            shared = [name for name, entry in run.state(i).items() if share_memory(entry, param.grad)]
            trial.checker.true(
                f"step {k + 1}, state of parameter {i} is not its gradient", not shared, f"{shared} share its memory"
            )
        _step(trial, plain, k, _plain(trial))
        beside.compare(f"step {k + 1}")
    for which, grad, same in given:
        assert grad is not None
        trial.checker.equal(f"the gradient {which}", grad, same)


def _after_another_group(trial: Trial, run: Run) -> None:
    """Let another group come first, of other options and without a gradient: nobody's step may read them."""
    import torch

    first = {"params": [torch.zeros(3, 2, device=trial.case.device, requires_grad=True)], **_others(trial)}
    groups = [first, {"params": run.params, **trial.subject.complete(trial.case.options)}]
    run.optimizer = trial.build([trial.own(group) for group in groups], {})


def _others(trial: Trial) -> dict[str, Any]:
    """Every option at another value than in this case, as far as they are legal together."""
    subject, chosen = trial.subject, dict[str, Any]()
    own = subject.complete(trial.case.options)
    for option in subject.options:
        for value in () if option.idle else option.values:
            if value != own[option.name] and subject.legal({**chosen, option.name: value}):
                chosen[option.name] = value
                break
    return chosen


def _refused(trial: Trial, form: Form, word: str) -> None:
    """Refused at the second step, before anything moved: the third is as if it had not been asked for.

    Who takes such a gradient all the same has to take it for what it is.
    """
    from optbench.trials.beside import Beside

    run, plain = trial.run(), trial.run()
    beside = Beside(trial, run, plain)
    beside.note()
    _step(trial, run, 0, form)
    _step(trial, plain, 0, _plain(trial))
    beside.note()
    before = run.held()
    try:
        _step(trial, run, 1, form)
    except RuntimeError as error:
        for name in (word, *(trial.case.options.keys() & set(trial.subject.sparse_without or ()))):
            trial.checker.true(f"the refusal speaks of {name!r}", name in str(error).lower(), str(error))
        trial.checker.alike("after the refusal", run.held(), before)
        _step(trial, run, 2, _plain(trial))
        _step(trial, plain, 2, _plain(trial))
    else:
        trial.checker.true("a dense gradient is refused", word == "sparse", "it was taken")
        _step(trial, plain, 1, _plain(trial))
    beside.compare("after the refusal")


def _plain(trial: Trial) -> Form:
    return (lambda grad, i, k: grad) if trial.subject.sparse else (lambda grad, i, k: grad.to_dense())


def _step(trial: Trial, run: Run, k: int, form: Form) -> None:
    import torch

    for i, param in enumerate(run.params):
        param.grad = form(_rows(trial, i, k), i, k)
    trial.advance(run.optimizer, lambda: torch.ones(()))


def _rows(trial: Trial, i: int, k: int) -> Tensor:
    """Some rows of a parameter's gradient, coalesced."""
    from optbench.trials import sparse
    from optbench.trials.problem import generator

    values = trial.problem.grad(i, k)
    assert values is not None
    rows = values if values.is_sparse else sparse.some_rows(values, generator(trial.case.seed, "rows", i, k))
    if k == 1 and trial.case.variant.startswith(_NOTHING):
        rows = sparse.with_values(rows, rows.values()[:0], rows.indices()[:, :0])
    return rows.to(device=trial.case.device, dtype=trial.problem.dtype)


def _twice(grad: Tensor) -> Tensor:
    """Every entry twice, in reverse order; halves add up to the whole without rounding."""
    import torch

    indices, values = grad.indices(), grad.values()
    return torch.sparse_coo_tensor(
        torch.cat([indices, indices], 1).flip(1), torch.cat([values, values]).flip(0) / 2, grad.shape,
        check_invariants=False,
    )  # fmt: skip


def _elements(grad: Tensor) -> Tensor:
    """An index for every element of the rows."""
    return grad.to_dense().sparse_mask(_mask(grad))


def _mask(grad: Tensor) -> Tensor:
    import torch

    named = torch.zeros(grad.shape, device=grad.device)
    named[grad.indices()[0]] = 1
    return named.to_sparse().coalesce()


def _uncoalesced(grad: Tensor) -> Tensor:
    """Sorted and without duplicates, as most are, but not known to be."""
    import torch

    return torch.sparse_coo_tensor(grad.indices(), grad.values(), grad.shape, check_invariants=False)


# A gradient of parameter i at step k, made of some rows of it that are coalesced.
Form = Callable[["Tensor", int, int], "Tensor"]
_FORMS: dict[str, Form] = {
    "rows": lambda grad, i, k: grad,
    _NOTHING: lambda grad, i, k: grad,
    "rows twice": lambda grad, i, k: _twice(grad),
    "rows not known to be coalesced": lambda grad, i, k: _uncoalesced(grad),
    "elements": lambda grad, i, k: _elements(grad),
    "elements twice": lambda grad, i, k: _twice(_elements(grad)),
    "beside a dense one": lambda grad, i, k: grad if i else grad.to_dense(),
    "before a dense one": lambda grad, i, k: grad.to_dense() if i else grad,
    "dense at first": lambda grad, i, k: grad if k else grad.to_dense(),
    "dense later": lambda grad, i, k: grad.to_dense() if k else grad,
}
