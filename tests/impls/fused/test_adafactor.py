"""Fused Adafactor: three launches that compute what torch's for-loop computes, whatever the shapes."""

import copy
import pickle

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import numba_adafactor, tiles

from .support import layout_copy, random

CONFIGS = {
    "default": {},
    "lr": {"lr": 0.1, "d": 3.0},
    "floor": {"lr": 0.1, "eps": (1.1, 1e-3)},
    "all": {"lr": 0.1, "weight_decay": 0.1, "maximize": True, "eps": (1e-3, 1e-2), "beta2_decay": -0.5},
}
configs = pytest.mark.parametrize("config", CONFIGS)
# Parts along rows and columns, several slices of a size, and vectors of more than one tile.
SHAPES = [(33, 70), (7,), (), (2, 3, 4, 5), (1, 1), (300, 1100), (5, 1), (1, 9), (70_000,), (20, 6, 3, 3), (600, 2)]


class Pair:
    """Our optimizer and torch's on equal parameters."""

    def __init__(self, params, **options):
        self.mine = [param.detach().requires_grad_() for param in params]
        self.other = [layout_copy(param.detach()).requires_grad_() for param in params]
        self.ours = fused.Adafactor(self.mine, **options)
        self.theirs = torch.optim.Adafactor(self.other, foreach=False, **options)

    def step(self, seed, idle=()):
        for place, (a, b) in enumerate(zip(self.mine, self.other, strict=True)):
            grad = None if place in idle else random(a.shape, a.dtype, 1000 * seed + place)
            a.grad, b.grad = grad, None if grad is None else grad.clone()
        self.ours.step()
        self.theirs.step()

    def check(self, rtol=1e-12, atol=1e-14):
        for a, b in zip(self.mine, self.other, strict=True):
            torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
        mine, other = self.ours.state_dict()["state"], self.theirs.state_dict()["state"]
        assert mine.keys() == other.keys()
        for key, entries in other.items():
            assert list(mine[key]) == list(entries)
            for name, value in entries.items():
                assert mine[key][name].stride() == value.stride()
                torch.testing.assert_close(mine[key][name], value, rtol=rtol, atol=atol)


@configs
def test_agrees_with_torch_in_double_precision(config):
    pair = Pair([random(shape, seed=seed) for seed, shape in enumerate(SHAPES)], **CONFIGS[config])
    for seed, idle in ((1, ()), (2, (0, 1)), (3, ()), (4, range(len(SHAPES)))):
        pair.step(seed, idle)
        pair.check()
    assert pair.ours.backend is None or pair.ours.backend == "numba"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@configs
def test_storage_is_rounded_once(config, dtype):
    """A step in a narrow dtype is that in float64 on the same numbers, rounded."""
    options = {"eps": (1e-3, 1e-3)} | CONFIGS[config]
    shapes = [(33, 70), (40,), (2, 3, 4, 5)]
    narrow = [random(shape, dtype, seed).requires_grad_() for seed, shape in enumerate(shapes)]
    wide = [param.detach().double().requires_grad_() for param in narrow]
    for seed, (a, b) in enumerate(zip(narrow, wide, strict=True)):
        a.grad = random(a.shape, dtype, 10 + seed)
        b.grad = a.grad.double()
    for params in (narrow, wide):
        fused.Adafactor(params, **options).step()
    for a, b in zip(narrow, wide, strict=True):
        spacing = torch.finfo(dtype).eps * b.detach().abs()
        assert ((a.detach().double() - b.detach()).abs() <= 0.51 * spacing + 2e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_state_in_narrow_dtypes(dtype):
    # torch rounds its norms before it squares them, and every result between
    pair = Pair([random(shape, dtype, seed) for seed, shape in enumerate([(9, 20), (30,)])], lr=0.1)
    pair.step(1)
    pair.check(rtol=4 * torch.finfo(dtype).eps, atol=2 * torch.finfo(dtype).eps)


def gappy(tensor):
    return torch.stack([tensor, tensor], -1)[..., 0]


@pytest.mark.parametrize("layout", ["transposed", "gappy", "channels_last"])
def test_strides(layout):
    params = {
        "transposed": [random((7, 4)).t()],
        "gappy": [gappy(random((6, 5))), gappy(random((9,)))],
        "channels_last": [random((2, 3, 4, 5)).to(memory_format=torch.channels_last)],
    }[layout]
    strides = [param.stride() for param in params]
    pair = Pair(params)
    for seed in (1, 2, 3):
        pair.step(seed)
        pair.check()
    assert [param.stride() for param in pair.mine] == strides


def test_empty_tensors_only_count():
    params = [torch.zeros(0).requires_grad_(), torch.zeros(3, 0).requires_grad_(), torch.ones(2, 2).requires_grad_()]
    optimizer = fused.Adafactor(params)
    for _ in range(2):
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
    assert [optimizer.state[param]["step"].item() for param in params] == [2, 2, 2]
    assert (params[2] != 1).all()


def test_groups_have_options_of_their_own_and_options_may_change():
    sides = []
    for optimizer_class, extra in ((fused.Adafactor, {}), (torch.optim.Adafactor, {"foreach": False})):
        params = [random((4, 3), seed=seed).requires_grad_() for seed in range(3)]
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.5, "d": 2.0, "maximize": True}]
        optimizer = optimizer_class(groups, lr=torch.tensor(0.1, dtype=torch.float64), **extra)
        for step in range(4):
            for place, param in enumerate(params):
                param.grad = random((4, 3), seed=10 * step + place)
            optimizer.step()
            optimizer.param_groups[0]["lr"].mul_(0.5)
            optimizer.param_groups[1]["weight_decay"] = 0.1 * step
        sides.append(params)
    for ours, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("change", ["nothing", "grad", "data", "state", "load", "group", "deepcopy", "pickle"])
def test_what_changes_between_steps_is_noticed(change):
    pair = Pair([random((4, 3)), random((5,), seed=1)])
    pair.step(1)
    pair.step(2)
    plan = pair.ours._plan
    for name in ("ours", "theirs"):
        optimizer, params = getattr(pair, name), pair.mine if name == "ours" else pair.other
        if change == "data":
            params[0].data = random((3, 4), seed=5).t()
        elif change == "state":
            optimizer.state[params[0]]["row_var"] = torch.full((4, 1), 0.5, dtype=torch.float64)
        elif change == "load":
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        elif change == "group":
            params.append(random((2, 2), seed=7).requires_grad_())
            optimizer.add_param_group({"params": params[2:]})
    if change in ("deepcopy", "pickle"):
        again = copy.deepcopy if change == "deepcopy" else lambda value: pickle.loads(pickle.dumps(value))
        pair.ours, pair.mine = again((pair.ours, pair.mine))
        assert pair.ours._plan is None
    pair.step(3)
    pair.step(4)
    pair.check()
    assert (pair.ours._plan is plan) == (change in ("nothing", "grad"))


def test_launches_do_not_grow_with_parameters(monkeypatch):
    launches = []
    run = numba_adafactor.workers.run
    monkeypatch.setattr(numba_adafactor.workers, "run", lambda *args: launches.append(1) or run(*args))
    for count in (1, 50):
        params = [random((4, 3), seed=seed).requires_grad_() for seed in range(count)]
        for param in params:
            param.grad = torch.ones_like(param)
        fused.Adafactor(params).step()
    assert len(launches) == 6


def test_result_does_not_depend_on_threads():
    results, threads = [], torch.get_num_threads()
    for used in (1, 2):
        param = random((700, 1500), torch.float32).requires_grad_()
        param.grad = random((700, 1500), torch.float32, 1)
        torch.set_num_threads(used)
        try:
            fused.Adafactor([param]).step()
        finally:
            torch.set_num_threads(threads)
        results.append(param.detach())
    assert torch.equal(*results)


def test_tiles_cover_every_element_once():
    size = tiles.TileSize(rows=4, cols=5, parts=3, elements=24)
    for shape in [(9, 11), (40, 3), (7, 2, 3), (1, 1), (2, 2, 9, 9), (50,), ()]:
        param = torch.zeros(shape)
        states = [torch.zeros(1)] * (2 if len(shape) > 1 else 1)
        record, made = tiles._tile_tensor(0, [param, param, *states], size)
        seen = torch.zeros(max(param.numel() // (record["rows"] * record["cols"]), 1), record["rows"], record["cols"])
        for _, first, end, row, end_row, col, end_col, row_part, col_part in made:
            seen[first:end, row:end_row, col:end_col] += 1
            assert row_part < record["row_parts"]
            assert col_part < record["col_parts"]
        assert (seen == 1).all()
        assert record["tiles"] == len(made)


def test_nan_stays_where_it_is_and_in_its_row_and_column():
    pair = Pair([random((4, 6)), random((8,))])
    pair.step(1)
    for params in (pair.mine, pair.other):
        params[0].grad[1, 2] = params[1].grad[3] = float("nan")
    pair.ours.step()
    pair.theirs.step()
    for a, b in zip(pair.mine, pair.other, strict=True):
        assert torch.equal(a.isnan(), b.isnan())
        assert a.isnan().any()


def test_refusals():
    weight = torch.ones(3, 2, requires_grad=True)
    weight.grad = torch.ones(3, 2).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        fused.Adafactor([weight]).step()
    weight = torch.ones(3, dtype=torch.complex64, requires_grad=True)
    weight.grad = torch.ones_like(weight)
    with pytest.raises(RuntimeError, match="complex"):
        fused.Adafactor([weight]).step()


def test_the_gradient_is_not_written_and_the_version_rises():
    param = random((6, 3)).requires_grad_()
    param.grad = random((6, 3), seed=1)
    before, version = param.grad.clone(), param._version
    fused.Adafactor([param], maximize=True).step()
    assert torch.equal(param.grad, before)
    assert param._version > version
