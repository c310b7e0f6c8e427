"""Averages against explicit sums in float64, torch's own averager, and what a model's owner may do in between."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from optbench.impls.fused import numba_backend, swa_utils
from optbench.impls.fused.layout import real_dtype
from optbench.impls.fused.swa_utils import averagedmodel, memory
from torch import nn
from torch.optim import swa_utils as theirs

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64, torch.complex128]


def random(shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(shape, generator=generator, dtype=wide).to(dtype)


class Bag(nn.Module):
    """Tensors as parameters, and as buffers."""

    def __init__(self, params, buffers=()):
        super().__init__()
        self.params = nn.ParameterList([nn.Parameter(param, requires_grad=False) for param in params])
        for index, buffer in enumerate(buffers):
            self.register_buffer(f"buffer{index}", buffer)


def fill(model, seed):
    with torch.no_grad():
        for index, tensor in enumerate([*model.parameters(), *model.buffers()]):
            tensor.copy_(random(tensor.shape, tensor.dtype, 100 * seed + index))


def ours(model, decay=None, **options):
    function = None if decay is None else swa_utils.get_ema_multi_avg_fn(decay)
    return swa_utils.AveragedModel(model, multi_avg_fn=function, **options)


def exact(history, decay=None):
    """Mean or exponential average of what a tensor was, in float64."""
    result = wide(history[0])
    for count, tensor in enumerate(history[1:], start=1):
        weight = 1 / (count + 1) if decay is None else 1 - decay
        result = result + weight * (wide(tensor) - result)
    return result


def wide(tensor):
    return tensor.detach().clone().to(torch.complex128 if tensor.is_complex() else torch.float64)


def distance(tensor, expected):
    """In spacings of the dtype at the largest expected number."""
    return ((wide(tensor) - expected).abs().max() / (expected.abs().max() * torch.finfo(tensor.dtype).eps)).item()


def layouts(dtype):
    shapes = [(), (1,), (3, 5), (1000,), (7, 0), (2, 3, 4, 5)]
    tensors = [random(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    tensors[5] = tensors[5].to(memory_format=torch.channels_last)
    tensors.append(random((6, 4), dtype, 7).t())
    # gaps between its elements
    return [*tensors, random((8, 6), dtype, 8)[::2, 1::2]]


@pytest.mark.parametrize("decay", [None, 0.0, 0.3, 0.9, 0.9999, 1.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_averages_are_what_float64_gives(dtype, decay):
    model = Bag(layouts(dtype))
    average = ours(model, decay)
    history = []
    for seed in range(12):
        fill(model, seed)
        history.append([param.detach().clone() for param in model.parameters()])
        average.update_parameters(model)
    for param, past in zip(average.parameters(), zip(*history, strict=True), strict=True):
        if param.numel():
            assert distance(param, exact(past, decay)) < (3.0 if real_dtype(param).itemsize > 2 else 0.75)
    assert average.backend == "numba"
    assert average.n_averaged == 12


@pytest.mark.parametrize("use_buffers", [False, True])
def test_every_kind_of_tensor_at_once(use_buffers):
    """Tied parameters, mixed dtypes, buffers of integers and booleans."""
    shared = random((4, 4))
    model = Bag(
        [shared, random((3,), torch.bfloat16), random((2,), torch.float64)],
        [random((5,)), torch.tensor(3), torch.tensor([True, False])],
    )
    model.params.append(model.params[0])
    average = ours(model, use_buffers=use_buffers)
    sums, flags = [], [[True, False], [True, True], [False, True]]
    for seed in range(3):
        fill(model, seed)
        model.buffer1.fill_(10 + 7 * seed)
        model.buffer2.copy_(torch.tensor(flags[seed]))
        sums.append([wide(tensor) for tensor in [*model.parameters(), model.buffer0]])
        average.update_parameters(model)
    tensors = [*average.parameters(), average.module.buffer0]
    for tensor, past in zip(tensors[: None if use_buffers else -1], zip(*sums, strict=False), strict=False):
        assert distance(tensor, exact(past)) < 1.5
    module = average.module
    assert module.params[3] is module.params[0]
    assert module.buffer1 == (17 if use_buffers else 24)
    # two of three are 0.67, which rounds to true
    assert module.buffer2.tolist() == ([True, True] if use_buffers else flags[2])
    if not use_buffers:
        assert torch.equal(module.buffer0, model.buffer0)


def test_integers_do_not_stand_still():
    model = Bag([], [torch.tensor(0)])
    mean, ema = ours(model, use_buffers=True), ours(model, 0.99, use_buffers=True)
    for number in range(101):
        model.buffer0.fill_(number)
        mean.update_parameters(model)
        model.buffer0.fill_(50)
        ema.update_parameters(model)
    assert mean.module.buffer0 == 50
    for _ in range(600):
        model.buffer0.fill_(100)
        ema.update_parameters(model)
    assert ema.module.buffer0 == 100


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_16_bit_average_reaches_a_constant_target(dtype):
    model = Bag([random((64,), dtype)])
    average = ours(model, 0.999)
    average.update_parameters(model)
    fill(model, 1)
    for _ in range(9000):
        average.update_parameters(model)
    assert distance(average.module.params[0], wide(model.params[0])) < 0.6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize(
    ("decay", "updates"), [(0.9999, 3000), (None, 3000), pytest.param(None, 100_000, marks=pytest.mark.slow)]
)
def test_long_runs_lose_no_digits(dtype, decay, updates):
    model = Bag([random((16,), dtype)])
    average = ours(model, decay)
    values = 1 + 0.1 * random((updates, 16), dtype, 5)
    expected = None
    for count, value in enumerate(values):
        model.params[0].data.copy_(value)
        average.update_parameters(model)
        weight = 1 / (count + 1) if decay is None else 1 - decay
        expected = wide(value) if expected is None else expected + weight * (wide(value) - expected)
    assert distance(average.module.params[0], expected) < (0.6 if decay or dtype == torch.bfloat16 else 6)


def test_few_models_take_the_plain_pass_and_many_the_compensated_one():
    model = Bag([random((9,))])
    average = ours(model)
    kinds = []
    for count in (0, 1, 1022, 1024, 5):
        average.n_averaged.fill_(count)
        average.update_parameters(model)
        digits = average._memory.digits if average._memory else []
        kinds.append([one.residual is not None for one in digits])
    assert kinds == [[], [False], [False], [True], [False]]


def rewrite(average):
    with torch.no_grad():
        average.module.params[0].mul_(3)


def replace_data(average):
    average.module.params[0].data = average.module.params[0].data * 3


def load(average):
    state = {name: value * 3 if name != "n_averaged" else value for name, value in average.state_dict().items()}
    average.load_state_dict(state)


def replace_parameter(average):
    average.module.params[0] = nn.Parameter(average.module.params[0] * 3, requires_grad=False)


def transpose(average):
    average.module.params[0].data = (average.module.params[0].data * 3).t().contiguous().t()


@pytest.mark.parametrize("change", [rewrite, replace_data, load, replace_parameter, transpose])
@pytest.mark.parametrize(("dtype", "decay"), [(torch.float32, 0.5), (torch.float32, 0.9999), (torch.bfloat16, 0.5)])
def test_what_somebody_else_wrote_is_averaged_on(change, dtype, decay):
    model = Bag([random((8, 6), dtype)])
    average = ours(model, decay)
    for seed in range(3):
        fill(model, seed)
        average.update_parameters(model)
    change(average)
    before = wide(average.module.params[0])
    average.update_parameters(model)
    expected = decay * before + (1 - decay) * wide(model.params[0])
    assert distance(average.module.params[0], expected) < 1.0


def test_a_change_of_dtype_is_noticed():
    model = nn.Linear(5, 3)
    average = ours(model, 0.5)
    for _ in range(2):
        fill(model, 1)
        average.update_parameters(model)
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        average.to(dtype)
        before = wide(average.module.weight)
        fill(model, 2)
        average.update_parameters(model)
        assert average.module.weight.dtype == dtype
        assert distance(average.module.weight, (before + wide(model.weight)) / 2) < 1.0


@pytest.mark.parametrize("average_dtype", [torch.bfloat16, torch.float32])
def test_averages_of_another_dtype_than_the_model(average_dtype):
    model = nn.Linear(5, 3).to(torch.float64)
    average = ours(model, 0.75).to(average_dtype)
    history = []
    for seed in range(9):
        fill(model, seed)
        history.append(wide(model.weight))
        average.update_parameters(model)
    history[0] = wide(history[0].to(average_dtype))
    assert distance(average.module.weight, exact(history, 0.75)) < (0.75 if average_dtype == torch.bfloat16 else 1.5)


def through_pickle(average):
    return pickle.loads(pickle.dumps(average))


def through_file(average):
    file = io.BytesIO()
    torch.save(average, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("clone", [copy.deepcopy, through_pickle, through_file])
@pytest.mark.parametrize(("dtype", "decay"), [(torch.float32, 0.9999), (torch.bfloat16, 0.9), (torch.float32, None)])
def test_a_copy_goes_on_to_the_bit(clone, dtype, decay):
    model = Bag([random((8, 6), dtype), random((3,), dtype)], [torch.tensor(2)])
    average = ours(model, decay, use_buffers=True)
    for seed in range(5):
        fill(model, seed)
        average.update_parameters(model)
    twin = clone(average)
    assert len(twin._memory.digits) == 3
    for seed in range(5, 40):
        fill(model, seed)
        for one in (average, twin):
            one.update_parameters(model)
    for a, b in zip(average.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    digits = zip(average._memory.digits, twin._memory.digits, strict=True)
    assert all(a.wide is None or a.wide is not b.wide for a, b in digits)


def test_a_copy_forgets_what_was_overwritten_before():
    model = Bag([random((8,), torch.bfloat16), random((8,), torch.bfloat16)])
    average = ours(model, 0.9)
    for seed in range(3):
        fill(model, seed)
        average.update_parameters(model)
    rewrite(average)
    assert len(copy.deepcopy(average)._memory.digits) == 1


def test_checkpoints_are_torchs():
    model = nn.BatchNorm1d(4)
    average, other = ours(model, 0.9, use_buffers=True), theirs.AveragedModel(model, use_buffers=True)
    average.update_parameters(model)
    average.update_parameters(model)
    assert list(average.state_dict()) == list(other.state_dict())
    other.load_state_dict(average.state_dict())
    assert other.n_averaged == 2
    assert isinstance(average, theirs.AveragedModel)
    average.load_state_dict(other.state_dict())
    average.update_parameters(model)
    assert average.n_averaged == 3


def test_a_reset_count_copies_the_next_model():
    model = Bag([random((8,))])
    average = ours(model)
    for seed in range(3):
        fill(model, seed)
        average.update_parameters(model)
    average.n_averaged.zero_()
    fill(model, 9)
    average.update_parameters(model)
    assert torch.equal(average.module.params[0], model.params[0])


def test_a_changed_model_is_noticed():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    average = ours(model, 0.0)
    for _ in range(3):
        average.update_parameters(model)
    model[0].weight = nn.Parameter(torch.ones(2, 3))
    model[1] = nn.Linear(2, 2)
    other = copy.deepcopy(model)
    for source in (model, other):
        fill(source, 5)
        average.update_parameters(source)
        for a, b in zip(average.parameters(), source.parameters(), strict=True):
            assert torch.equal(a, b)
    average.update_parameters(model)
    model[0].weight.data = torch.zeros(2, 3)
    average.update_parameters(model)
    assert not average.module[0].weight.any()
    model[1] = nn.Linear(2, 2)
    average.update_parameters(model)
    assert torch.equal(average.module[1].weight, model[1].weight)


def test_the_model_is_neither_written_nor_kept_alive():
    model = nn.Linear(3, 2)
    before = [(param.detach().clone(), param._version) for param in model.parameters()]
    average = ours(model, 0.9)
    for _ in range(3):
        average.update_parameters(model)
    assert all(
        torch.equal(param, old) and param._version == version
        for param, (old, version) in zip(model.parameters(), before, strict=True)
    )
    references = [weakref.ref(model), *map(weakref.ref, model.parameters())]
    gc.disable()
    try:
        del model
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


def test_versions_rise_so_that_autograd_notices():
    model = nn.Linear(3, 2)
    average = ours(model, 0.9)
    average.update_parameters(model)
    loss = average(torch.ones(1, 3)).square().sum()
    average.update_parameters(model)
    product = (average.module.weight * average.module.weight).sum()
    average.update_parameters(model)
    del loss
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_one_launch_for_all_tensors_of_a_dtype(monkeypatch):
    model = Bag([random((3, 3), dtype, seed) for dtype in (torch.float32, torch.bfloat16) for seed in range(40)])
    average = ours(model, 0.9)
    launched, made = [], []
    update, passes = numba_backend.update, averagedmodel.Passes
    monkeypatch.setattr(numba_backend, "update", lambda bucket, *rest: launched.append(bucket) or update(bucket, *rest))
    monkeypatch.setattr(averagedmodel, "Passes", lambda *arguments: made.append(1) or passes(*arguments))
    for seed in range(4):
        fill(model, seed)
        average.update_parameters(model)
    assert len(launched) == 6
    assert {len(bucket.numel) for bucket in launched} == {40}
    assert len(made) == 1


def test_tensors_of_inference_mode_are_averaged():
    with torch.inference_mode():
        model = nn.Linear(3, 2)
        average = ours(model, 0.5)
        for seed in range(3):
            fill(model, seed)
            average.update_parameters(model)
    assert average.n_averaged == 3


@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
@pytest.mark.parametrize(("name", "arguments"), [("ema", (0.7,)), ("ema", ()), ("swa", ())])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.bfloat16, torch.int64], ids=str)
def test_functions_in_torchs_averager(kind, name, arguments, dtype):
    """They give there what torch's functions give; torch's mean of many integers in place raises."""
    if (dtype, kind, name) == (torch.int64, "multi_avg_fn", "swa"):
        pytest.skip("torch has none")
    model = Bag([], [random((5, 4), dtype)])
    make = f"get_{name}_{'multi_' * (kind == 'multi_avg_fn')}avg_fn"
    averages = [
        theirs.AveragedModel(model, use_buffers=True, **{kind: getattr(module, name)(*arguments)})
        for module, name in ((swa_utils, make), (theirs, make))
    ]
    for seed in range(6):
        if dtype == torch.int64:
            model.buffer0.fill_(1000 * seed)
        else:
            fill(model, seed)
        for average in averages:
            average.update_parameters(model)
    a, b = (average.module.buffer0 for average in averages)
    if dtype == torch.int64:
        assert (a - b).abs().max() <= 6
    else:
        assert distance(a, wide(b)) < 3


@pytest.mark.parametrize("make", [swa_utils.get_ema_multi_avg_fn, swa_utils.get_ema_avg_fn])
def test_functions_refuse_and_copy(make):
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"Invalid decay value {decay}"):
            make(decay)
    assert pickle.loads(pickle.dumps(make())).decay == 0.999


def test_other_functions_are_called_as_torch_calls_them():
    model, seen = nn.Linear(2, 2), []

    def keep_larger(averaged, current, count):
        seen.append(int(count))
        return torch.maximum(averaged, current)

    def keep_larger_of_lists(averaged, current, count):
        seen.append(int(count))
        torch._foreach_maximum_(averaged, current)

    for options in ({"avg_fn": keep_larger}, {"multi_avg_fn": keep_larger_of_lists}):
        average = swa_utils.AveragedModel(model, **options)
        largest = model.weight.detach().clone()
        average.update_parameters(model)
        for seed in range(3):
            fill(model, seed)
            largest = torch.maximum(largest, model.weight.detach())
            average.update_parameters(model)
        assert torch.equal(average.module.weight, largest)
    assert seen == [1, 1, 2, 2, 3, 3, 1, 2, 3]
    with pytest.raises(AssertionError):
        swa_utils.AveragedModel(model, avg_fn=keep_larger, multi_avg_fn=keep_larger_of_lists)


def test_torchs_functions_and_ours_may_take_turns():
    model = Bag([random((5,), torch.bfloat16)])
    average = ours(model, 0.5)
    for seed in range(3):
        fill(model, seed)
        average.update_parameters(model)
    average.multi_avg_fn = theirs.get_ema_multi_avg_fn(0.5)
    average.update_parameters(model)
    average.multi_avg_fn = swa_utils.get_ema_multi_avg_fn(0.5)
    before = wide(average.module.params[0])
    average.update_parameters(model)
    assert distance(average.module.params[0], (before + wide(model.params[0])) / 2) < 0.75


def test_buffers_that_do_not_pair_are_refused():
    model = nn.BatchNorm1d(2)
    average = ours(model)
    model.register_buffer("more", torch.zeros(1))
    with pytest.raises(ValueError, match="zip"):
        average.update_parameters(model)


def test_small_weights_of_16_bit_tensors_have_their_own_bound():
    assert memory.SMALL_WEIGHT == 2.0**-10
    model = Bag([random((4,), torch.bfloat16)])
    average = ours(model, 0.9999)
    for _ in range(2):
        average.update_parameters(model)
    assert [(one.wide.dtype, one.residual) for one in average._memory.digits] == [(torch.float32, None)]
