"""Constructors take torch's arguments and refuse what torch refuses, with the same type, naming the value."""

import inspect
import math

import pytest
import torch

from optbench import reference
from tests.reference.support import ADAMS, NAMES, takes

NAN = math.nan
# Options, and a piece of text that the message must hold.
REFUSED = [
    ({"lr": -0.25}, "-0.25"),
    ({"lr": torch.tensor([0.1, 0.2])}, "(2,)"),
    ({"lr": torch.tensor(-0.25)}, "-0.25"),
    ({"weight_decay": -0.5}, "-0.5"),
    ({"fused": True, "foreach": True}, "foreach"),
    ({"fused": True, "differentiable": True}, "differentiable"),
]
NOT_NAN = [({"lr": NAN}, "nan"), ({"eps": NAN}, "nan"), ({"weight_decay": NAN}, "nan"), ({"eps": -1e-3}, "-0.001")]
BETAS = [
    ({"betas": (1.0, 0.5)}, "index 0: 1.0"),
    ({"betas": (0.5, -0.5)}, "index 1: -0.5"),
    ({"betas": (NAN, 0.5)}, "index 0: nan"),
]
REFUSED_BY = {
    "Adadelta": [({"rho": -0.5}, "-0.5"), ({"rho": 1.5}, "1.5"), ({"rho": NAN}, "nan")],
    "Adagrad": [({"lr_decay": -0.5}, "-0.5"), ({"initial_accumulator_value": -0.25}, "-0.25")],
    "Adamax": BETAS,
    "NAdam": [*BETAS, ({"momentum_decay": -0.5}, "-0.5")],
    "RAdam": BETAS,
    "RMSprop": [({"alpha": -0.5}, "-0.5"), ({"momentum": -0.5}, "-0.5"), ({"momentum": NAN}, "nan")],
    "Rprop": [({"etas": (0.5, 0.75)}, "0.75"), ({"etas": (1.5, 2.5)}, "1.5"), ({"etas": (0.0, 1.25)}, "0.0")],
}
REFUSED_BY_ADAM = [
    ({"lr": NAN}, "nan"),
    ({"eps": -1e-3}, "-0.001"),
    ({"eps": NAN}, "nan"),
    ({"weight_decay": NAN}, "nan"),
    ({"betas": (1.0, 0.5)}, "index 0: 1.0"),
    ({"betas": (-0.5, 0.5)}, "index 0: -0.5"),
    ({"betas": (0.5, 1.0)}, "index 1: 1.0"),
    ({"betas": (0.5, -0.5)}, "index 1: -0.5"),
    ({"betas": (NAN, 0.5)}, "index 0: nan"),
    ({"betas": (0, 0.5)}, "both floats or both Tensors"),
    ({"betas": (0.5, torch.tensor(0.5))}, "both floats or both Tensors"),
    ({"betas": (torch.tensor([0.5, 0.5]), torch.tensor(0.5))}, ""),
    ({"betas": (torch.tensor(0.5), torch.tensor([])), "capturable": True}, ""),
    ({"betas": (torch.tensor(0.5), torch.tensor(0.5)), "foreach": True}, "betas[0]"),
    ({"lr": torch.tensor(0.1), "foreach": True}, "lr as a Tensor"),
]
REFUSED_BY_SGD = [
    ({"momentum": -0.5}, "-0.5"),
    ({"nesterov": True}, "Nesterov"),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.25}, "0.25"),
]


def refused(name):
    if name == "SGD":
        return REFUSED + REFUSED_BY_SGD
    own = REFUSED_BY_ADAM if name in ADAMS else NOT_NAN + REFUSED_BY.get(name, [])
    return [(options, text) for options, text in REFUSED + own if all(takes(name, option) for option in options)]


@pytest.mark.parametrize(
    ("name", "options", "text"), [(name, options, text) for name in NAMES for options, text in refused(name)]
)
def test_refuses_what_torch_refuses(name, options, text):
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        getattr(torch.optim, name)([torch.zeros(2)], **options)
    with pytest.raises(theirs.type) as ours:
        getattr(reference, name)([torch.zeros(2)], **options)
    assert ours.type is theirs.type
    assert text in str(ours.value)


TAKEN = [
    {"lr": 0.0},
    {"lr": torch.tensor([0.1])},
    {"weight_decay": 0},
    {"fused": True},
    {"foreach": True},
    {"differentiable": True},
]
TAKEN_BY_ADAM = [
    {"betas": (0.0, 0.0)},
    {"eps": 0.0},
    {"betas": (torch.tensor([0.5]), torch.tensor(0.75))},
    {"lr": torch.tensor(0.1), "foreach": True, "capturable": True},
]
TAKEN_BY = {
    "Adadelta": [{"rho": 0.0}, {"rho": 1.0}],
    "Adagrad": [{"initial_accumulator_value": 2, "lr_decay": 1}],
    "Adamax": [{"betas": (0, 0.5)}],
    "ASGD": [{"lambd": -1.0, "alpha": -2.0, "t0": 0}],
    "NAdam": [{"momentum_decay": 0, "decoupled_weight_decay": True}],
    "RAdam": [{"betas": (0.5, 0), "decoupled_weight_decay": True}],
    "RMSprop": [{"alpha": 2.0, "centered": True, "momentum": 1.5}],
    "Rprop": [{"step_sizes": (2.0, 1.0)}],
}
TAKEN_BY_SGD = [{"lr": NAN}, {"momentum": 2.0, "dampening": 3.0}, {"lr": torch.tensor(0.1), "foreach": True}]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (name, options)
        for name in NAMES
        for options in TAKEN + (TAKEN_BY_SGD if name == "SGD" else TAKEN_BY_ADAM if name in ADAMS else TAKEN_BY[name])
        if all(takes(name, option) for option in options)
    ],
)
def test_takes_what_torch_takes_into_the_same_groups(name, options):
    ours, theirs = (getattr(module, name)([torch.zeros(2)], **options) for module in (reference, torch.optim))
    (group,), (their_group,) = ours.param_groups, theirs.param_groups
    assert list(group) == list(their_group)
    assert list(ours.defaults) == list(theirs.defaults)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_torchs(name):
    def described(module):
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert described(reference) == described(torch.optim)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "params",
    [
        torch.zeros(2),
        [],
        [1.0],
        [torch.zeros(2, requires_grad=True) * 2],
        [("weight", torch.zeros(2)), torch.zeros(2)],
        [{"params": [torch.zeros(2)]}, {"params": {torch.zeros(2)}}],
    ],
    ids=["tensor", "empty", "number", "non-leaf", "half named", "set in a group"],
)
def test_refuses_parameters_that_torch_refuses(name, params):
    with pytest.raises((TypeError, ValueError)) as theirs:
        getattr(torch.optim, name)(params)
    with pytest.raises(theirs.type):
        getattr(reference, name)(params)


@pytest.mark.parametrize("name", NAMES)
def test_refuses_a_set_whose_order_would_differ_between_runs(name):
    with pytest.raises(TypeError, match="order"):
        getattr(reference, name)({torch.zeros(2)})


@pytest.mark.parametrize("name", [*ADAMS, "SGD"])
def test_a_beta_tensor_is_kept_itself(name):
    if name == "SGD":
        lr = torch.tensor(0.1)
        assert reference.SGD([torch.zeros(2)], lr=lr).param_groups[0]["lr"] is lr
        return
    lr, beta1, beta2 = torch.tensor([0.1]), torch.tensor(0.5), torch.tensor(0.75)
    group = getattr(reference, name)([torch.zeros(2)], lr=lr, betas=(beta1, beta2)).param_groups[0]
    assert group["lr"] is lr
    assert group["betas"][0] is beta1
    assert group["betas"][1] is beta2


def test_a_beta_tensor_with_a_dimension_still_follows_the_caller():
    beta1 = torch.tensor([0.5])
    optimizer = reference.Adam([torch.zeros(2)], betas=(beta1, torch.tensor(0.75)))
    beta1.fill_(0.25)
    assert optimizer.param_groups[0]["betas"][0].shape == ()
    assert optimizer.param_groups[0]["betas"][0].item() == 0.25
