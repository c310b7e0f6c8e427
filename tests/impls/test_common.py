"""What foreach and fused share must be torch's: arguments, refusals, groups, state layout, old checkpoints."""

import inspect

import pytest
import torch
from optbench.impls.common.adam import AdamBase
from optbench.impls.common.adamw import AdamWBase
from optbench.impls.common.base import OptimizerBase
from optbench.impls.common.sgd import SGDBase

PAIRS = [
    pytest.param(AdamBase, torch.optim.Adam, id="adam"),
    pytest.param(AdamWBase, torch.optim.AdamW, id="adamw"),
    pytest.param(SGDBase, torch.optim.SGD, id="sgd"),
]
both = pytest.mark.parametrize(("ours", "theirs"), PAIRS)

TENSOR = torch.tensor(0.1)
WRONG_ANYWHERE = [
    {"lr": -1.0},
    {"lr": torch.tensor([0.1, 0.2])},
    {"weight_decay": -0.5},
    {"fused": True, "foreach": True},
    {"fused": True, "differentiable": True},
]
WRONG_ADAM = [
    {"lr": float("nan")},
    {"eps": -1e-8},
    {"eps": float("nan")},
    {"betas": (1.0, 0.9)},
    {"betas": (-0.1, 0.9)},
    {"betas": (0.9, 1.5)},
    {"betas": (0.9, -0.1)},
    {"betas": (0, 0.9)},
    {"betas": (0.9, torch.tensor(0.9))},
    {"betas": (torch.tensor(0.9), torch.tensor(0.9)), "foreach": True},
    {"lr": TENSOR, "foreach": True},
    {"weight_decay": float("nan")},
]
WRONG_SGD = [
    {"momentum": -0.1},
    {"nesterov": True},
    {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
]
WRONG = [
    *[(*pair.values, options) for pair in PAIRS for options in WRONG_ANYWHERE],
    *[(*pair.values, options) for pair in PAIRS[:2] for options in WRONG_ADAM],
    *[(*PAIRS[2].values, options) for options in WRONG_SGD],
]


def parameter(dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(3, dtype=dtype))


@both
def test_signature(ours, theirs):
    def shape(cls):
        return [(p.name, p.kind, p.default) for p in inspect.signature(cls.__init__).parameters.values()]

    assert shape(ours) == shape(theirs)


@pytest.mark.parametrize(("ours", "theirs", "options"), WRONG)
def test_refusals(ours, theirs, options):
    with pytest.raises(Exception) as expected:
        theirs([parameter()], **options)
    with pytest.raises(expected.type) as found:
        ours([parameter()], **options)
    # ours may say more, but begin as torch's do
    assert str(found.value).startswith(str(expected.value).rstrip("."))


@both
@pytest.mark.parametrize(
    "options",
    [{}, {"lr": TENSOR}, {"lr": torch.tensor([0.1])}, {"weight_decay": 0.5, "maximize": True, "foreach": True}],
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


@both
def test_differentiable_names_the_tier_that_can(ours, theirs):
    with pytest.raises(ValueError, match=rf"use optbench\.reference\.{ours.__name__}"):
        ours([parameter()], differentiable=True)


@both
def test_differentiable_by_group_is_refused_at_the_step(ours, theirs):
    optimizer = ours([{"params": [parameter()], "differentiable": True}])
    with pytest.raises(ValueError, match="differentiable=True is not supported"):
        optimizer.step()


@both
def test_old_checkpoints(ours, theirs):
    def loaded(cls):
        param = parameter()
        param.grad = torch.ones(3)
        trained = theirs([param], lr=0.5, **({"momentum": 0.9} if theirs is torch.optim.SGD else {}))
        trained.step()
        state = trained.state_dict()
        for key in list(state["param_groups"][0]):
            if key not in ("params", "lr", "betas", "eps", "weight_decay", "momentum", "dampening"):
                del state["param_groups"][0][key]
        for entry in state["state"].values():
            if "step" in entry:
                entry["step"] = 7
        optimizer = cls([param])
        optimizer.load_state_dict(state)
        return optimizer

    found, expected = loaded(ours), loaded(theirs)
    assert found.state_dict()["param_groups"] == expected.state_dict()["param_groups"]
    for mine, its in zip(found.state.values(), expected.state.values(), strict=True):
        assert list(mine) == list(its)
        for key in mine:
            torch.testing.assert_close(mine[key], its[key], rtol=0, atol=0)


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


@pytest.mark.parametrize("cls", [AdamBase, SGDBase])
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
