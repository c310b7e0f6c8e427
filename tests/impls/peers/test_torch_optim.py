"""The adapters must give torch's own classes on the path that they are named for."""

import inspect

import pytest
import torch
from optbench.impls.peers import torch_optim
from torch.optim import adam, sgd

from optbench import subjects

# torch's compiler warns about torch.jit while it imports itself.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

NAMES = [subject.class_name for subject in subjects.select("optimizers") if subject.in_torch]
LACKS_FOREACH = {"LBFGS", "Muon", "SparseAdam"}
HAS_FUSED = {"Adagrad", "Adam", "AdamW", "SGD"}


def parameter() -> torch.nn.Parameter:
    param = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 3.0]]))
    param.grad = torch.tensor([[0.5, 0.25, -1.0]])
    return param


@pytest.mark.parametrize("name", NAMES)
def test_paths_are_those_that_torch_has(name):
    assert torch_optim.forloop(name) and torch_optim.compiled(name)
    assert (torch_optim.foreach(name) is None) == (name in LACKS_FOREACH)
    assert (torch_optim.fused(name) is None) == (name not in HAS_FUSED)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("factory", "flags"),
    [
        (torch_optim.forloop, {"foreach": False, "fused": False}),
        (torch_optim.foreach, {"foreach": True, "fused": None}),
        (torch_optim.fused, {"foreach": None, "fused": True}),
        (torch_optim.compiled, {"foreach": None, "fused": None}),
    ],
)
def test_factory_makes_torchs_class_with_the_named_flags(factory, flags, name):
    build = factory(name)
    if build is None:
        return
    optimizer = build([parameter()], lr=0.25)
    assert type(optimizer) is getattr(torch.optim, name)
    known = {flag: value for flag, value in flags.items() if flag in optimizer.defaults}
    assert {flag: optimizer.defaults[flag] for flag in known} == known
    assert optimizer.defaults["lr"] == 0.25
    assert inspect.signature(build) == inspect.signature(getattr(torch.optim, name))


@pytest.mark.parametrize(
    ("factory", "path"),
    [
        (torch_optim.forloop, "single_tensor"),
        (torch_optim.foreach, "multi_tensor"),
        (torch_optim.fused, "fused"),
    ],
)
@pytest.mark.parametrize(("name", "module"), [("Adam", adam), ("SGD", sgd)])
def test_the_named_path_runs(factory, path, name, module, monkeypatch):
    ran = []
    for any_path in ("single_tensor", "multi_tensor", "fused"):
        spy = lambda *args, any_path=any_path, **kwargs: ran.append(any_path)  # noqa: E731
        monkeypatch.setattr(module, f"_{any_path}_{name.lower()}", spy)
    factory(name)([parameter()]).step()
    assert ran == [path]


def test_the_callers_flags_do_not_change_the_path():
    optimizer = torch_optim.fused("Adam")([parameter()], fused=False)
    assert optimizer.defaults["fused"] is True


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (torch_optim.fused, "RMSprop"),
        (torch_optim.foreach, "LBFGS"),
        (torch_optim.forloop, "Adamm"),
        (torch_optim.forloop, "Lion"),
        (torch_optim.compiled, "lr_scheduler"),
    ],
)
def test_a_path_that_torch_lacks_is_none(factory, name):
    assert factory(name) is None


def test_forloop_of_an_optimizer_without_flags():
    assert type(torch_optim.forloop("LBFGS")([parameter()])) is torch.optim.LBFGS


def test_nothing_is_compiled_before_the_first_step(monkeypatch):
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    real_compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: real_compile(function, backend=backend))
    optimizer = torch_optim.compiled("SGD")([parameter()], lr=0.5)
    assert not compiled
    optimizer.step()
    assert compiled
    assert optimizer.param_groups[0]["params"][0].tolist() == [[0.75, -2.125, 3.5]]
