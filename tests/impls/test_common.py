"""What foreach and fused share must be torch's: arguments, refusals, groups, state layout, old checkpoints."""

import copy
import inspect
import math
import pickle

import pytest
import torch
from optbench.impls.common import (
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamax,
    adamw,
    asgd,
    lbfgs,
    lion,
    muon,
    nadam,
    radam,
    rmsprop,
    rprop,
    sgd,
    sparse_adam,
)
from optbench.impls.common.adam import AdamBase
from optbench.impls.common.adamw import AdamWBase
from optbench.impls.common.base import OptimizerBase
from optbench.impls.common.sgd import SGDBase

BASES = {
    "Adadelta": adadelta.AdadeltaBase,
    "Adafactor": adafactor.AdafactorBase,
    "Adagrad": adagrad.AdagradBase,
    "Adam": adam.AdamBase,
    "AdamW": adamw.AdamWBase,
    "Adamax": adamax.AdamaxBase,
    "ASGD": asgd.ASGDBase,
    "LBFGS": lbfgs.LBFGSBase,
    "Muon": muon.MuonBase,
    "NAdam": nadam.NAdamBase,
    "RAdam": radam.RAdamBase,
    "RMSprop": rmsprop.RMSpropBase,
    "Rprop": rprop.RpropBase,
    "SGD": sgd.SGDBase,
    "SparseAdam": sparse_adam.SparseAdamBase,
}
PAIRS = [pytest.param(ours, getattr(torch.optim, name), id=name) for name, ours in BASES.items()]
both = pytest.mark.parametrize(("ours", "theirs"), PAIRS)
stepping = pytest.mark.parametrize(("ours", "theirs"), [pair for pair in PAIRS if pair.id != "LBFGS"])

TENSOR = torch.tensor(0.1)
NAN = float("nan")
# what an option's name says about its legal values
WRONG_ANYWHERE = {
    "lr": [-1.0, torch.tensor([0.1, 0.2])],
    "eps": [-1e-8, NAN],
    "weight_decay": [-0.5],
    "momentum": [-0.1],
    "betas": [(1.0, 0.9), (-0.1, 0.9), (0.9, 1.5), (0.9, -0.1)],
}
WRONG_HERE = {
    "Adadelta": [{"rho": -0.1}, {"rho": 1.1}, {"rho": NAN}],
    "Adafactor": [{"beta2_decay": 0.1}, {"eps": (-1.0, 1e-3)}, {"eps": (None, -1.0)}, {"d": 0.5}, {"d": NAN}],
    "Adagrad": [{"lr_decay": -1.0}, {"initial_accumulator_value": -0.1}, {"initial_accumulator_value": NAN}],
    "Adam": [
        {"betas": (0, 0.9)},
        {"betas": (0.9, torch.tensor(0.9))},
        {"betas": (torch.tensor(0.9), torch.tensor(0.9)), "foreach": True},
        {"lr": TENSOR, "foreach": True},
    ],
    "Muon": [{"adjust_lr_fn": "unknown"}],
    "NAdam": [{"momentum_decay": -0.1}],
    "RMSprop": [{"alpha": -0.1}],
    "Rprop": [{"etas": (0.0, 1.2)}, {"etas": (0.5, 0.9)}, {"etas": (1.0, 2.0)}, {"etas": (NAN, 2.0)}],
    "SGD": [{"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}],
    "SparseAdam": [{"lr": 0.0}, {"eps": 0.0}],
}
WRONG_HERE["AdamW"] = WRONG_HERE["Adam"]


def takes(cls, *names):
    return all(name in inspect.signature(cls.__init__).parameters for name in names)


def wrong():
    for name, ours in BASES.items():
        options = list(WRONG_HERE.get(name, []))
        for option, values in WRONG_ANYWHERE.items():
            if takes(ours, option) and (name, option) != ("Muon", "eps") and (name, option) != ("Adafactor", "eps"):
                options += [{option: value} for value in values]
        if name != "SGD":
            options += [{option: NAN} for option in ("lr", "weight_decay") if takes(ours, option)]
        if takes(ours, "fused"):
            options += [{"fused": True, "foreach": True}, {"fused": True, "differentiable": True}]
        for option in options:
            yield pytest.param(ours, getattr(torch.optim, name), option, id=f"{name}-{option}")


def parameter(dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (3, 2)) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(shape, dtype=dtype))


def give_gradient(cls, param):
    """A gradient of the layout that the optimizer takes."""
    param.grad = torch.ones_like(param)
    if issubclass(cls, sparse_adam.SparseAdamBase | torch.optim.SparseAdam):
        param.grad = param.grad.to_sparse(1)


def trained(cls, param, **options):
    give_gradient(cls, param)
    optimizer = cls([param], **options)
    optimizer.step()
    return optimizer


@both
def test_signature(ours, theirs):
    def shape(cls):
        return [(p.name, p.kind, p.default) for p in inspect.signature(cls.__init__).parameters.values()]

    assert shape(ours) == shape(theirs)


@pytest.mark.parametrize(("ours", "theirs", "options"), list(wrong()))
def test_refusals(ours, theirs, options):
    with pytest.raises(Exception) as expected:
        theirs([parameter()], **options)
    with pytest.raises(expected.type) as found:
        ours([parameter()], **options)
    # ours may say more, but begin as torch's do
    assert str(found.value).startswith(str(expected.value).rstrip("."))


GROUP_OPTIONS = [
    {},
    {"lr": TENSOR},
    {"lr": torch.tensor([0.1])},
    {"weight_decay": 0.5},
    {"maximize": True},
    {"foreach": True},
]


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [(*pair.values, options) for pair in PAIRS for options in GROUP_OPTIONS if takes(pair.values[1], *options)],
)
def test_groups_hold_what_torch_holds(ours, theirs, options):
    found, expected = ours([parameter()], **options), theirs([parameter()], **options)
    assert list(found.param_groups[0]) == list(expected.param_groups[0])
    assert found.defaults == expected.defaults
    assert found.param_groups[0]["lr"] is options.get("lr", found.defaults["lr"])


def test_betas_of_one_element_become_scalars():
    betas = (torch.tensor([0.5]), torch.tensor([[0.75]]))
    found, expected = (cls([parameter()], betas=betas).param_groups[0]["betas"] for cls in (AdamBase, torch.optim.Adam))
    assert found == expected == (0.5, 0.75)
    assert [beta.shape for beta in found] == [beta.shape for beta in expected]


DIFFERENTIABLE = [cls for cls in [*BASES.values(), lion.LionBase] if takes(cls, "differentiable")]


@pytest.mark.parametrize("cls", DIFFERENTIABLE)
def test_differentiable_names_the_tier_that_can(cls):
    with pytest.raises(ValueError, match=rf"use optbench\.reference\.{cls.__name__}"):
        cls([parameter()], differentiable=True)


@pytest.mark.parametrize("cls", DIFFERENTIABLE)
def test_differentiable_by_group_is_refused_at_the_step(cls):
    optimizer = cls([{"params": [parameter()], "differentiable": True}])
    with pytest.raises(ValueError, match="differentiable=True is not supported"):
        optimizer.step()


@stepping
def test_old_checkpoints(ours, theirs):
    options = {"momentum": 0.9} if theirs is torch.optim.SGD else {}
    state = trained(theirs, parameter(), lr=0.5, **options).state_dict()
    for name in ours.absent_options:
        del state["param_groups"][0][name]
    for entry in state["state"].values():
        for place, name in enumerate(ours.scalar_state):
            entry[name] = 0.5 + place if place else 7

    def loaded(cls):
        optimizer = cls([parameter()])
        optimizer.load_state_dict(copy.deepcopy(state))
        return optimizer

    found, expected = loaded(ours), loaded(theirs)
    # torch has no default for SparseAdam's maximize, but asks for it with one
    groups = [group | {"maximize": False} for group in expected.state_dict()["param_groups"]]
    assert found.state_dict()["param_groups"] == (
        groups if takes(theirs, "maximize") else expected.state_dict()["param_groups"]
    )
    for mine, its in zip(found.state.values(), expected.state.values(), strict=True):
        assert list(mine) == list(its)
        for key in mine:
            assert type(mine[key]) is type(its[key])
            torch.testing.assert_close(mine[key], its[key], rtol=0, atol=0)


def assert_like(found, expected):
    """The same kind of state, whatever its values."""
    assert list(found) == list(expected)
    for key, value in found.items():
        other = expected[key]
        assert type(value) is type(other)
        if isinstance(value, torch.Tensor):
            assert (value.dtype, value.shape, value.device, value.stride()) == (
                other.dtype,
                other.shape,
                other.device,
                other.stride(),
            )
            assert not value.requires_grad


@stepping
@pytest.mark.parametrize("default", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_first_state(ours, theirs, default, dtype):
    options = {"momentum": 0.9, "centered": True} if theirs is torch.optim.RMSprop else {}
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        # columns first in memory
        param = torch.nn.Parameter(torch.ones(4, 3, dtype=dtype).t())
        give_gradient(theirs, param)
        optimizer = ours([param], **options)
        # the first gradient becomes SGD's buffer: nothing exists before it
        found = {} if theirs is torch.optim.SGD else optimizer._init_state(param, optimizer.param_groups[0])
        expected = trained(theirs, param, **options).state[param]
    finally:
        torch.set_default_dtype(before)
    assert_like(found, expected)
    starts = {"mu_product": 1.0, "mu": 1.0} | dict.fromkeys(("eta", "step_size"), optimizer.defaults["lr"])
    for name, value in found.items():
        start = torch.full((), starts.get(name, 0.0))
        torch.testing.assert_close(
            torch.as_tensor(value).float(), start.expand(getattr(value, "shape", ())), rtol=4e-3, atol=0
        )


@pytest.mark.parametrize("cls", [BASES["Rprop"], BASES["Adagrad"]])
def test_complex_state_holds_a_value_for_each_part(cls):
    param = parameter(torch.complex64)
    param.grad = torch.ones_like(param)
    optimizer = cls([param], **({"lr": 0.5} if cls is BASES["Rprop"] else {"initial_accumulator_value": 0.5}))
    value = optimizer._init_state(param, optimizer.param_groups[0])["step_size" if cls is BASES["Rprop"] else "sum"]
    assert torch.equal(value, torch.full((3, 2), 0.5 + 0.5j))


@pytest.mark.parametrize(
    ("shape", "names"), [((), ["variance"]), ((5,), ["variance"]), ((2, 3, 4), ["row_var", "col_var"])]
)
def test_state_of_adafactor(shape, names):
    param = parameter(shape=shape)
    param.grad = torch.ones_like(param)
    optimizer = BASES["Adafactor"]([param])
    found = optimizer._init_state(param, optimizer.param_groups[0])
    assert list(found) == ["step", *names]
    assert_like(found, trained(torch.optim.Adafactor, param).state[param])


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_complex_parameters_are_refused_at_the_first_step(name):
    messages = []
    for cls in (BASES[name], torch.optim.__dict__[name]):
        param = parameter(torch.complex64)
        param.grad = torch.ones_like(param)
        optimizer = cls([param])
        with pytest.raises(RuntimeError) as error:
            optimizer._init_state(param, optimizer.param_groups[0]) if cls is BASES[name] else optimizer.step()
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("SparseAdam", [parameter(), parameter(torch.complex64)]),
        ("SparseAdam", [{"params": [parameter()]}, {"params": [torch.ones(3).to_sparse().requires_grad_()]}]),
        ("Muon", [parameter(), parameter(shape=(3,))]),
        ("LBFGS", [{"params": [parameter()]}, {"params": [parameter()]}]),
    ],
)
def test_parameters_refused_by_the_constructor(name, params):
    with pytest.raises(ValueError) as expected:
        getattr(torch.optim, name)(params)
    with pytest.raises(ValueError) as found:
        BASES[name](params)
    assert str(found.value).startswith(str(expected.value))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_are_refused_in_groups_and_without(kind):
    for params in (kind([parameter()]), [{"params": kind([parameter()])}]):
        with pytest.raises(TypeError, match="an order that every run repeats"):
            SGDBase(params)


def test_adagrad_makes_its_state_in_the_constructor():
    param, late = parameter(), parameter()
    optimizer = BASES["Adagrad"]([param], initial_accumulator_value=0.25)
    assert_like(optimizer.state[param], torch.optim.Adagrad([param]).state[param])
    optimizer.share_memory()
    assert optimizer.state[param]["sum"].is_shared()
    optimizer.add_param_group({"params": [late], "initial_accumulator_value": 7.0})
    assert late not in optimizer.state
    # unlike in torch, a group's own value counts
    assert torch.equal(optimizer._init_state(late, optimizer.param_groups[1])["sum"], torch.full((3, 2), 7.0))


def test_lbfgs_keeps_its_state_under_the_first_parameter_and_its_parameters_in_copies():
    class Spy(BASES["LBFGS"]):
        def _minimize(self, closure, group, state):
            assert group is self.param_groups[0] and not torch.is_grad_enabled()
            state["n_iter"] += 1
            return closure()

    params = [parameter(), parameter()]
    optimizer = Spy(params)
    assert optimizer.step(torch.is_grad_enabled) is True
    assert dict(optimizer.state) == {params[0]: {"func_evals": 0, "n_iter": 1}}
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()
    twin = copy.deepcopy(optimizer)
    assert all(mine is its for mine, its in zip(twin._params, twin.param_groups[0]["params"], strict=True))
    with pytest.raises(ValueError, match="takes one group"):
        optimizer.add_param_group({"params": [parameter()]})
    optimizer.param_groups.append({"params": [parameter()]})
    with pytest.raises(AssertionError, match="Expected exactly one param_group, but got 2"):
        optimizer.step(lambda: None)


@pytest.mark.parametrize(("name", "scalar"), [("NAdam", "mu_product"), ("ASGD", "eta"), ("ASGD", "mu")])
@pytest.mark.parametrize("saved", [torch.float32, torch.float64])
def test_loading_keeps_the_dtype_of_scalar_state(name, scalar, saved):
    param = parameter(torch.bfloat16)
    param.grad = torch.ones_like(param)
    source = trained(getattr(torch.optim, name), parameter())
    entry = next(iter(source.state.values()))
    entry[scalar] = torch.tensor(0.123456789, dtype=saved)
    state = source.state_dict()
    before = copy.deepcopy(state)
    optimizer = BASES[name]([param])
    optimizer.load_state_dict(state)
    found = optimizer.state[param][scalar]
    assert found.dtype == saved and torch.equal(found, entry[scalar]) and found is not entry[scalar]
    # the checkpoint is as it was, and the caller's hooks come first
    assert state["state"][0][scalar] is entry[scalar] and state.keys() == before.keys()
    optimizer.register_load_state_dict_pre_hook(
        lambda _, loaded: {**loaded, "state": {0: loaded["state"][0] | {scalar: torch.tensor(0.5)}}}
    )
    optimizer.load_state_dict(state)
    assert optimizer.state[param][scalar].item() == 0.5
    assert pickle.loads(pickle.dumps(optimizer)).state_dict()["state"][0][scalar].item() == 0.5


def test_lion():
    options = {"lr": 0.1, "betas": (0.5, 0.75), "weight_decay": 0.25, "maximize": True}
    optimizer = lion.LionBase([parameter()], **options)
    assert optimizer.defaults.items() >= options.items()
    param = optimizer.param_groups[0]["params"][0]
    assert_like(optimizer._init_state(param, optimizer.param_groups[0]), {"exp_avg": torch.zeros(3, 2)})
    for wrong_options in ({"lr": -1.0}, {"betas": (1.0, 0.5)}, {"betas": (0.5, -0.1)}, {"weight_decay": math.nan}):
        with pytest.raises(ValueError, match="Invalid"):
            lion.LionBase([param], **wrong_options)
    for flags in ({"fused": True, "foreach": True}, {"fused": True, "differentiable": True}):
        with pytest.raises(RuntimeError, match="`fused`"):
            lion.LionBase([param], **flags)


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"capturable": True}, {"fused": True}])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_state_of_adam(default, options, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        param = torch.nn.Parameter(torch.ones(2, 3, 4, 5, dtype=dtype).to(memory_format=torch.channels_last))
        param.grad = torch.ones_like(param)
        optimizer = AdamBase([param], **options)
        found = optimizer._init_state(param, optimizer.param_groups[0])
        # torch's loop refuses capturable on a CPU; capturable moves the step only
        theirs = torch.optim.Adam([param], **({} if "capturable" in options else options))
        theirs.step()
        expected = theirs.state[param]
    finally:
        torch.set_default_dtype(before)
    assert list(found) == list(expected)
    for key, value in found.items():
        assert (value.dtype, value.shape, value.device, value.stride()) == (
            expected[key].dtype,
            expected[key].shape,
            expected[key].device,
            expected[key].stride(),
        )
        assert not value.any() and not value.requires_grad


@pytest.mark.parametrize(
    ("options", "device"), [({}, "cpu"), ({"capturable": True}, "meta"), ({"fused": True}, "meta")]
)
def test_step_lives_where_torch_keeps_it(options, device):
    param = torch.nn.Parameter(torch.ones(3, device="meta"))
    optimizer = AdamBase([param], **options)
    assert optimizer._init_state(param, optimizer.param_groups[0])["step"].device.type == device


@pytest.mark.parametrize("cls", [AdamBase, BASES["Adagrad"], lion.LionBase])
def test_fused_refuses_complex_parameters(cls):
    param = parameter(torch.complex64)
    optimizer = cls([param], fused=True)
    with pytest.raises(RuntimeError, match=r"floating point Tensors but got torch\.complex64"):
        optimizer._init_state(param, optimizer.param_groups[0])


def test_adamw_stays_decoupled():
    optimizer = AdamWBase([parameter()])
    state = optimizer.state_dict()
    state["param_groups"][0]["decoupled_weight_decay"] = False
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_closure_runs_with_autograd_and_the_update_without():
    seen = []

    class Spy(SGDBase):
        def _update(self):
            seen.append(torch.is_grad_enabled())

    def closure():
        seen.append(torch.is_grad_enabled())
        return 3.5

    with torch.no_grad():
        assert Spy([parameter()]).step(closure) == 3.5
    assert seen == [True, False]


def test_base_class_says_what_is_missing():
    optimizer = SGDBase([parameter()])
    with pytest.raises(NotImplementedError, match="SGDBase must implement _update"):
        optimizer.step()
    with pytest.raises(NotImplementedError, match="must implement _init_state"):
        OptimizerBase._init_state(optimizer, parameter(), {})
