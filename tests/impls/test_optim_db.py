"""The configurations and error cases that torch keeps of its own optimizers, on every tier of ours.

Each configuration runs beside torch's for-loop for seven steps: one without any gradient, one parameter frozen for two
of them, one whose first gradient comes late. After every step parameters and state are compared, and ours are then set
to torch's, so that each step is judged alone.
"""

import copy
import importlib
import os
from contextlib import contextmanager
from inspect import signature
from unittest import mock

import pytest
import torch

from optbench import subjects

with mock.patch.dict(os.environ), torch.random.fork_rng([]):
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

    ERRORS = {info.name: info.optim_error_inputs_func("cpu", torch.float32) for info in optim_db}
# That import forbids flags such as torch.backends.mkldnn.enabled to whatever runs afterwards.
torch.backends.__allow_nonbracketed_mutation_flag = True

TIERS = {"reference": "optbench.reference", "foreach": "optbench.impls.foreach", "fused": "optbench.impls.fused"}
INFOS = {info.name: info for info in optim_db}
STEPS, EMPTY, FROZEN, LATE = 7, 4, (2, 3), 1

# Muon's iterations are in bfloat16: in what order products are summed moves a direction by a few of its roundings.
FEW_BFLOAT16_ROUNDINGS = 4 * 2**-8
# LBFGS iterates within a step, each time from what rounding left of the last: few iterations, and a wide margin.
ITERATIONS = 3
OF_LBFGS = {torch.float32: 1e-2, torch.float64: 1e-10}
# How far an element may be off, relative to the sum of its size and the largest of its tensor.
TOLERANCES = {torch.float32: 2e-6, torch.float64: 1e-13}


def configurations(info):
    """(name, options) of every configuration: those for the CPU, for accelerators, and for sparse gradients."""
    found = {}
    # torch takes capturable=True on accelerators only, ours take it anywhere.
    for item in [*info.optim_inputs_func("cpu"), *info.optim_inputs_func("cuda")]:
        name = item.desc
        while found.get(name, item.kwargs) != item.kwargs:
            name += "'"
        found[name] = item.kwargs
    if info.supports_sparse:
        found["sparse gradients"] = info.metadata_for_sparse[0]
    return list(found.items())


CONFIGURATIONS = [(name, *item) for name, info in INFOS.items() for item in configurations(info)]


def tier_class(tier, name):
    """The class of a tier; a tier without it fails."""
    return getattr(importlib.import_module(TIERS[tier]), name)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def parameters(info, dtype, sparse):
    """Matrices, one of them transposed, and where the optimizer takes them a vector, a number and a complex matrix."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(4, 3), (2, 5), (4, 3)]
    matrices_only = sparse or info.name == "Muon"
    if not matrices_only:
        shapes += [(5,), ()]
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    # torch's LBFGS cannot flatten a transposed gradient.
    if not sparse and info.name != "LBFGS":
        tensors += [torch.randn(5, 2, generator=generator).t()]
    if info.supports_complex and not matrices_only:
        tensors += [torch.randn(2, 3, dtype=dtype.to_complex(), generator=generator)]
    return [torch.nn.Parameter(tensor) for tensor in tensors]


def gradient(param, index, step, sparse):
    """A gradient, or None: at one step for all, for a frozen parameter, and before the first of a late one."""
    if step == EMPTY or (index == 1 and step in FROZEN) or (index == 2 and step < LATE):
        return None
    grad = torch.randn(param.shape, dtype=param.dtype, generator=torch.Generator().manual_seed(100 * step + index))
    if not sparse:
        return grad
    # An index twice: it has to be coalesced.
    rows = torch.tensor([[0, step % param.shape[0], 0]])
    return torch.sparse_coo_tensor(rows, grad[rows[0]], param.shape)


def closure(params, step):
    """Clears the gradients, and sums powers of every parameter's distance from a target but of those left out."""

    def evaluate():
        loss = torch.zeros(())
        for index, param in enumerate(params):
            param.grad = None
            target = gradient(param, index, step=0 if index != 2 else LATE, sparse=False)
            if gradient(param, index, step, sparse=False) is not None:
                distance = (param - target).abs()
                loss = loss + (distance**2 * (1 + index / 4) + distance**4 / 8).sum()
        if loss.requires_grad:
            loss.backward()
        return loss

    return evaluate


def agree(ours, theirs, tolerance, place):
    """Compare two values of whatever kind state holds."""
    if place.endswith("['t']"):
        # LBFGS's step length is an int, a float or a tensor, as its last iteration had it.
        ours, theirs = float(ours), float(theirs)
    assert type(ours) is type(theirs), place
    if isinstance(theirs, torch.Tensor):
        assert (ours.dtype, ours.layout, ours.shape) == (theirs.dtype, theirs.layout, theirs.shape), place
        if not torch.equal(ours, theirs):
            size = theirs.abs()
            error = ((ours - theirs).abs() / (size + size.max())).max().item()
            assert error <= tolerance, f"{place} is off by {error:.1e} of its size, {tolerance} allowed"
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), place
        for key, value in theirs.items():
            agree(ours[key], value, tolerance, f"{place}[{key!r}]")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), place
        for index, value in enumerate(theirs):
            agree(ours[index], value, tolerance, f"{place}[{index}]")
    elif isinstance(theirs, int | float):
        assert ours == pytest.approx(theirs, rel=tolerance), place
    else:
        assert ours == theirs, place


def synchronise(info, ours, theirs):
    """Set parameters and state to torch's."""
    if info.name == "LBFGS":
        # Its state holds lists and numbers. Loading casts it, so that both have to load it.
        saved = copy.deepcopy(theirs.state_dict())
        ours.load_state_dict(saved)
        theirs.load_state_dict(saved)
    with torch.no_grad():
        for mine, its in zip(ours.param_groups[0]["params"], theirs.param_groups[0]["params"], strict=True):
            mine.copy_(its)
            for key, value in theirs.state.get(its, {}).items():
                if isinstance(value, torch.Tensor) and info.name != "LBFGS":
                    ours.state[mine][key].copy_(value)


def torchs(info, params, options):
    """torch's optimizer on its loop over parameters."""
    taken = signature(info.optim_cls).parameters
    loop = {flag: False for flag in ("foreach", "fused") if flag in taken}
    given = {key: value for key, value in options.items() if key != "capturable"}
    if info.name != "LBFGS":
        # With a float32 tensor lr, torch computes step sizes in float32, whatever the parameters are; ours in float64.
        given = {key: as_number(value) for key, value in given.items()}
    return info.optim_cls(params, **given, **loop)


def as_number(value):
    if isinstance(value, tuple):
        return tuple(map(as_number, value))
    return value.item() if isinstance(value, torch.Tensor) else value


def run(tier, info, options, dtype, *, sparse):
    mine, its = (parameters(info, dtype, sparse) for _ in range(2))
    ours, theirs = tier_class(tier, info.name)(mine, **options), torchs(info, its, options)
    assert list(ours.param_groups[0]) == list(theirs.param_groups[0])
    tolerance = (OF_LBFGS if info.name == "LBFGS" else TOLERANCES)[dtype]
    of_params = tolerance if info.name != "Muon" else FEW_BFLOAT16_ROUNDINGS * float(ours.param_groups[0]["lr"])
    for step in range(STEPS):
        for optimizer, params in ((ours, mine), (theirs, its)):
            if info.step_requires_closure:
                optimizer.step(closure(params, step))
                continue
            for index, param in enumerate(params):
                param.grad = gradient(param, index, step, sparse)
            optimizer.step()
        for index, (param, expected) in enumerate(zip(mine, its, strict=True)):
            agree(param, expected, of_params, f"step {step}: parameter {index}")
            agree(ours.state.get(param, {}), theirs.state.get(expected, {}), tolerance, f"step {step}: state {index}")
        synchronise(info, ours, theirs)


# torch's own sparse arithmetic warns of this, once a process.
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("name", "configuration", "options"), CONFIGURATIONS, ids=[f"{name}: {item}" for name, item, _ in CONFIGURATIONS]
)
def test_configuration(name, configuration, options, tier, dtype):
    info = INFOS[name]
    if name == "LBFGS":
        options = {"max_iter": ITERATIONS, **options}
    sparse = info.only_supports_sparse_grads or configuration == "sparse gradients"
    with default_dtype(dtype):
        run(tier, info, options, dtype, sparse=sparse)


ERROR_CASES = [(name, case) for name, cases in ERRORS.items() for case in cases]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("name", "case"),
    ERROR_CASES,
    ids=[f"{name}: {case.optimizer_error_input.desc}" for name, case in ERROR_CASES],
)
def test_error(name, case, tier):
    given = case.optimizer_error_input
    params = [torch.nn.Parameter(torch.ones(2, 2))] if given.params is None else given.params
    raises = pytest.warns if issubclass(case.error_type, Warning) else pytest.raises
    if case.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR:
        with raises(case.error_type, match=case.error_regex):
            tier_class(tier, name)(params, **given.kwargs)
    else:
        optimizer = tier_class(tier, name)(params, **given.kwargs)
        with raises(case.error_type, match=case.error_regex):
            optimizer.step()


@pytest.mark.parametrize("tier", TIERS)
def test_the_table_names_what_the_tier_has(tier):
    """No tier lacks what torch or a declaration has, and torch's table is not empty."""
    assert len(CONFIGURATIONS) > 100 and len(ERROR_CASES) > 100
    has = set(importlib.import_module(TIERS[tier]).__all__) - {"lr_scheduler", "swa_utils"}
    assert has == {subject.class_name for subject in subjects.select("optimizers")}
    assert has >= set(INFOS)
