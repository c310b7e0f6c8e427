"""The tables of other packages' classes: what they say is declared here, and true where a package is installed."""

import importlib
import importlib.util
import inspect
import sys

import pytest
import torch
from optbench.impls.peers.peer import Peer, same

from optbench import subjects
from optbench.registry import IMPLEMENTATIONS

PACKAGES = [name for name, item in IMPLEMENTATIONS.items() if item.target]
SUBJECTS = {subject.class_name: subject for subject in subjects.select("optimizers")}


def module_of(package):
    return importlib.import_module(IMPLEMENTATIONS[package].target.removesuffix(":*"))


ROWS = [(package, name) for package in PACKAGES for name in module_of(package).PEERS]


def installed(package):
    """The module of an installed package, ready to load classes from; a skip where it is not there."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'optbench[peers]'")
    module = module_of(package)
    getattr(module, "prepare", lambda: None)()
    return module


@pytest.fixture(autouse=True)
def modules_as_before():
    """A package's modules that are entered halfway must not be found by others."""
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        if name.split(".")[0] == "timm":
            del sys.modules[name]


def test_each_package_that_is_judged_has_a_table():
    assert PACKAGES == ["pytorch_optimizer", "optimi", "timm", "heavyball"]
    assert all(module_of(package).PEERS for package in PACKAGES)


@pytest.mark.parametrize(("package", "name"), ROWS)
def test_what_a_table_says_of_torch_is_declared(package, name):
    peer, subject = module_of(package).PEERS[name], SUBJECTS[name]
    entries = {entry.name for entry in subject.state}
    assert set(peer.options.values()) <= set(subject.defaults)
    assert len(set(peer.options.values())) == len(peer.options), "two arguments for one option"
    assert set(peer.only) <= set(peer.options.values())
    assert set(peer.given).isdisjoint(peer.options)
    assert set(peer.dtypes) <= set(subject.dtypes)
    # A name that is declared has the declared meaning; any other says what it means.
    assert all(meaning in entries or meaning not in peer.state for meaning in peer.state.values())
    module, _, cls = peer.target.partition(":")
    assert module.split(".")[0] == module_of(package).PACKAGE == package and cls.isidentifier()


@pytest.mark.parametrize(("package", "name"), ROWS)
def test_classes_are_there_and_take_what_the_table_says(package, name):
    peer = installed(package).PEERS[name]
    cls = peer.load()
    assert issubclass(cls, torch.optim.Optimizer)
    parameters = inspect.signature(cls).parameters
    assert set(peer.options) <= set(parameters)
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    assert anything or set(peer.given) <= set(parameters)


@pytest.mark.parametrize(("package", "name"), ROWS)
def test_what_is_not_given_has_torchs_default(package, name):
    installed(package)
    subject = SUBJECTS[name]
    shape = (8, 8)
    first, second = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    build = IMPLEMENTATIONS[package].load(name)
    optimizer = build([{"params": [first]}, {"params": [second], "lr": 0.25}])
    kept, own = optimizer.param_groups
    peer = module_of(package).PEERS[name]
    assert own["lr"] == 0.25 and kept["lr"] == subject.defaults["lr"]
    for argument, option in peer.options.items():
        if argument in kept:
            assert kept[argument] == subject.defaults[option], argument
    first.grad, second.grad = torch.full(shape, 0.5), torch.full(shape, 0.5)
    optimizer.step()
    assert not torch.equal(first, torch.ones(shape)) and not torch.equal(second, torch.ones(shape))
    assert first.grad is not None


def test_a_group_that_joins_later_is_told_in_torchs_names(monkeypatch):
    class Own(torch.optim.SGD):
        def __init__(self, params, rate=1.0):
            super().__init__(params, lr=rate)
            self.param_groups[0]["rate"] = rate

    monkeypatch.setattr(Peer, "load", lambda peer: Own)
    optimizer = Peer("a.b:C", same(rate="lr"), group={"use_muon": True}).factory()([torch.zeros(1)], lr=0.5)
    optimizer.add_param_group({"params": [torch.ones(1)], "lr": 0.25})
    first, second = optimizer.param_groups
    assert (first["rate"], first["use_muon"]) == (0.5, True) and (second["rate"], second["use_muon"]) == (0.25, True)


def test_arguments_and_groups_get_the_constructors_names():
    peer = Peer(
        "a.b:C",
        same("lr", rate_decay="momentum_decay"),
        given={"caution": False},
        group={"use_muon": True},
    )
    assert peer.arguments({"lr": 0.5, "momentum_decay": 0.1}) == {"caution": False, "lr": 0.5, "rate_decay": 0.1}
    assert peer.groups(iter("pq")) == [{"params": ["p", "q"], "use_muon": True}]
    assert peer.groups([{"params": "p", "momentum_decay": 0.1}]) == [
        {"params": "p", "use_muon": True, "rate_decay": 0.1}
    ]
    assert Peer("a.b:C", same("lr")).groups(iter("pq")) == ["p", "q"]
