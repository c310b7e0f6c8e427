"""Averages against explicit sums in float64: exact where torch's stall, of every kind of tensor, kept and given up."""

import copy
import io
import pickle

import pytest
import torch
from optbench.impls.foreach import swa_utils as ours
from optbench.impls.foreach.swa_utils.averagedmodel import _compensated
from torch import nn
from torch.optim import swa_utils as theirs

HALVES = [torch.float16, torch.bfloat16]
FLOATS = [torch.float32, torch.float64, *HALVES]


class Weights(nn.Module):
    """A model of given tensors."""

    def __init__(self, *tensors, buffers=()):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(tensor.clone(), requires_grad=False) for tensor in tensors])
        for index, buffer in enumerate(buffers):
            self.register_buffer(f"buffer{index}", buffer.clone())

    def forward(self, inputs):
        return inputs * self.weights[0]


def values(averaged):
    return [tensor.detach().clone() for tensor in (*averaged.module.parameters(), *averaged.module.buffers())]


def explicit(history, decay):
    """The average in float64: of complex numbers, in complex128."""
    wide = [tensor.to(torch.complex128 if tensor.is_complex() else torch.float64) for tensor in history]
    if decay is None:
        return sum(wide) / len(wide)
    average = wide[0]
    for tensor in wide[1:]:
        average = decay * average + (1 - decay) * tensor
    return average


def spacings(average, exact, dtype):
    """The largest distance, in the dtype's spacing at 1 and above."""
    real = dtype.to_real() if dtype.is_complex else dtype
    scale = torch.finfo(real).eps * exact.abs().clamp(min=1.0)
    return ((average.to(exact.dtype) - exact).abs() / scale).max().item()


def run(dtype, function, models, shape=(40,), keywords=None, start=2.0):
    generator = torch.Generator().manual_seed(0)
    model = Weights(torch.zeros(shape, dtype=dtype))
    averaged = ours.AveragedModel(model, **(keywords or {"multi_avg_fn": function}))
    history = []
    for _ in range(models):
        drawn = start + torch.randn(shape, generator=generator, dtype=torch.complex128 if dtype.is_complex else None)
        model.weights[0].data.copy_(drawn)
        history.append(model.weights[0].detach().clone())
        averaged.update_parameters(model)
    return averaged, history


@pytest.mark.parametrize("dtype", [*FLOATS, torch.complex64, torch.complex128])
@pytest.mark.parametrize("decay", [None, 0.0, 0.9, 0.9999, 1.0])
@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
def test_averages_are_explicit_sums(dtype, decay, kind):
    names = {"avg_fn": "get_swa_avg_fn" if decay is None else "get_ema_avg_fn"}
    names["multi_avg_fn"] = names["avg_fn"].replace("avg_fn", "multi_avg_fn")
    function = getattr(ours, names[kind])(*([] if decay is None else [decay]))
    averaged, history = run(dtype, None, 20, keywords={kind: function})
    assert int(averaged.n_averaged) == 20
    assert spacings(values(averaged)[0], explicit(history, decay), dtype) < 4
    if decay is None:
        assert torch.equal(values(run(dtype, None, 20, keywords={})[0])[0], values(averaged)[0])


@pytest.mark.parametrize("decay", [None, 0.9999])
def test_long_averages_keep_float32s_digits(decay):
    function = None if decay is None else ours.get_ema_multi_avg_fn(decay)
    averaged, history = run(torch.float32, function, 2500)
    # of the first thousand models the mean has what plain additions rounded
    assert spacings(values(averaged)[0], explicit(history, decay), torch.float32) < (4 if decay is None else 2)
    if decay is not None:
        # this is no matter of course
        plain = history[0].clone()
        for tensor in history[1:]:
            plain.lerp_(tensor, 1 - decay)
        assert spacings(plain, explicit(history, decay), torch.float32) > 2


def test_large_tensors_are_averaged_to_their_ends():
    generator = torch.Generator().manual_seed(4)
    sizes = (3,), (3, 50_000), (140_000,), (40_000,), (40_000,), (2, 2)
    shapes = [torch.randn(size, generator=generator) for size in sizes]
    model = Weights(*shapes)
    model.weights[1].data = shapes[1].t()
    averaged = ours.AveragedModel(model, multi_avg_fn=ours.get_ema_multi_avg_fn(1 - 2**-11))
    averaged.update_parameters(model)
    for tensor in model.parameters():
        tensor.mul_(2)
    averaged.update_parameters(model)
    for average, tensor in zip(averaged.module.parameters(), model.parameters(), strict=True):
        assert spacings(average.detach(), explicit([tensor / 2, tensor], 1 - 2**-11), torch.float32) < 1


def test_what_an_addition_lost_is_exact_also_where_it_moved_far():
    averages, lows = [torch.tensor([1e-8, 3.0])], [torch.zeros(2)]
    old = averages[0].clone()
    # moves by 3, and by less than half a spacing of 3
    currents = [torch.tensor([3 * 2.0**11, 3.0 + 2.0**-13])]
    _compensated(averages, lows, currents, weight=2.0**-11)
    assert averages[0].tolist() == [3.0, 3.0] and lows[0].tolist() == [old[0].item(), 2.0**-24]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("decay", [None, 0.999, 0.99999])
def test_averages_of_16_bits_do_not_stall(dtype, decay):
    model = Weights(torch.ones(3, dtype=dtype))
    function = ours.get_swa_multi_avg_fn() if decay is None else ours.get_ema_multi_avg_fn(decay)
    averaged = ours.AveragedModel(model, multi_avg_fn=function)
    averaged.update_parameters(model)
    model.weights[0].data.fill_(2.0)
    for _ in range(1500):
        averaged.update_parameters(model)
    expected = 2 - 1 / 1501 if decay is None else 2 - decay**1500
    assert values(averaged)[0].dtype == dtype
    assert values(averaged)[0].tolist() == torch.full((3,), expected).to(dtype).tolist()


def test_whole_numbers_are_rounded_to_the_nearest():
    model = Weights(torch.zeros(2), buffers=[torch.zeros(2, dtype=torch.int64), torch.tensor(True)])
    averaged = ours.AveragedModel(model, use_buffers=True)
    seen = []
    for number in range(6):
        model.buffer0.copy_(torch.tensor([number, -number]))
        averaged.update_parameters(model)
        seen.append(averaged.module.buffer0.tolist())
    # the means are 0, 0.5, 1, 1.5, 2, 2.5; halves go to the even neighbour
    assert seen == [[0, 0], [0, 0], [1, -1], [2, -2], [2, -2], [2, -2]]
    assert averaged.module.buffer1.item() is True


def test_buffers_are_copied_unless_asked_for():
    model = Weights(torch.zeros(2), buffers=[torch.zeros(2), torch.zeros(2, dtype=torch.int64)])
    averaged = ours.AveragedModel(model)
    for number in (1, 5):
        model.buffer0.fill_(number), model.buffer1.fill_(number)
        averaged.update_parameters(model)
    assert averaged.module.buffer0.tolist() == averaged.module.buffer1.tolist() == [5, 5]


def test_tensors_of_every_kind_in_one_model():
    generator = torch.Generator().manual_seed(2)
    base = torch.randn(6, 5, 4, 3, generator=generator)
    shapes = [
        base,
        base.to(memory_format=torch.channels_last),
        base[0, 0].t(),
        base[:, ::2, 1],
        torch.zeros(0, 3),
        torch.tensor(1.5),
        base.double(),
        base[0].to(torch.bfloat16),
        torch.complex(base[0], base[1]),
    ]
    model = Weights(*shapes)
    model.weights.append(model.weights[0])
    for tensor, shape in zip(model.weights, shapes, strict=False):
        tensor.data = shape.clone(memory_format=torch.preserve_format)
    averaged = ours.AveragedModel(model, multi_avg_fn=ours.get_ema_multi_avg_fn(0.75))
    history = []
    for _ in range(3):
        for tensor in model.parameters():
            tensor.mul_(2)
        history.append([tensor.detach().clone() for tensor in model.parameters()])
        averaged.update_parameters(model)
    assert averaged.module.weights[0] is averaged.module.weights[9]
    for place, average in enumerate(averaged.module.parameters()):
        exact = explicit([tensors[place] for tensors in history], 0.75)
        assert average.stride() == model.weights[place].stride()
        assert not average.numel() or spacings(average.detach(), exact, average.dtype) < 2


def test_the_model_is_left_alone():
    model = Weights(torch.randn(4), buffers=[torch.randn(2)])
    before = [(tensor.clone(), tensor._version) for tensor in (*model.parameters(), *model.buffers())]
    averaged = ours.AveragedModel(model, use_buffers=True, multi_avg_fn=ours.get_ema_multi_avg_fn(0.9999))
    for _ in range(3):
        averaged.update_parameters(model)
    for tensor, (value, version) in zip((*model.parameters(), *model.buffers()), before, strict=True):
        assert torch.equal(tensor, value) and tensor._version == version


def digits(averaged):
    """What the averages have beyond their tensors."""
    return [more for _, _, more in averaged._memory._held.values()]


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda averaged: pickle.loads(pickle.dumps(averaged)),
    "torch.save": lambda averaged: saved(averaged),
}


def saved(averaged):
    buffer = io.BytesIO()
    torch.save(averaged, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_copies_go_on_to_the_last_digit(how, dtype):
    averaged, _ = run(dtype, ours.get_ema_multi_avg_fn(0.99999), 50)
    copied = COPIES[how](averaged)
    model = Weights(torch.full((40,), 3.0, dtype=dtype))
    for one in (averaged, copied):
        for _ in range(50):
            one.update_parameters(model)
    assert torch.equal(values(copied)[0], values(averaged)[0])
    for one, other in zip(digits(copied), digits(averaged), strict=True):
        for first, second in zip(one, other, strict=True):
            assert (first is None) == (second is None)
            assert first is None or (torch.equal(first, second) and first.data_ptr() != second.data_ptr())


def test_state_is_torchs():
    averaged, _ = run(torch.bfloat16, ours.get_ema_multi_avg_fn(0.999), 5)
    other = theirs.AveragedModel(Weights(torch.zeros(40, dtype=torch.bfloat16)))
    assert averaged.state_dict().keys() == other.state_dict().keys()
    other.load_state_dict(averaged.state_dict())
    assert torch.equal(other(torch.ones(40)), averaged(torch.ones(40))) and int(other.n_averaged) == 5


def replaced(averaged):
    averaged.module.weights[0].data = torch.full((40,), 9.0, dtype=torch.bfloat16)


def loaded(averaged):
    state = {name: value.clone() for name, value in averaged.state_dict().items()}
    state["module.weights.0"].fill_(9.0)
    averaged.load_state_dict(state)


def exchanged(averaged):
    averaged.module.weights[0] = nn.Parameter(torch.full((40,), 9.0, dtype=torch.bfloat16), requires_grad=False)


def widened(averaged):
    averaged.module.weights[0].fill_(9.0)
    averaged.module.double()


@pytest.mark.parametrize("write", [replaced, loaded, exchanged, widened, lambda one: one.module.weights[0].fill_(9.0)])
def test_an_average_goes_on_from_what_somebody_else_wrote(write):
    averaged, _ = run(torch.bfloat16, ours.get_ema_multi_avg_fn(0.5), 5)
    write(averaged)
    averaged.update_parameters(Weights(torch.full((40,), 5.0, dtype=torch.bfloat16)))
    assert values(averaged)[0].tolist() == [7.0] * 40


def test_functions_work_in_torchs_model():
    for name, arguments in (("get_ema_{}", [0.9]), ("get_swa_{}", [])):
        for kind in ("avg_fn", "multi_avg_fn"):
            function = getattr(ours, name.format(kind))(*arguments)
            buffers = [torch.tensor([4, 8])]
            model = Weights(torch.ones(3), torch.ones(2, dtype=torch.float16), buffers=buffers)
            averaged = theirs.AveragedModel(model, use_buffers=True, **{kind: pickle.loads(pickle.dumps(function))})
            averaged.update_parameters(model)
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.mul_(2)
            averaged.update_parameters(model)
            factor = 1.1 if arguments else 1.5
            wholes = [4, 9] if arguments else [6, 12]
            assert values(averaged)[0].tolist() == pytest.approx([factor] * 3)
            assert values(averaged)[1].tolist() == pytest.approx([factor] * 2, rel=1e-3)
            assert values(averaged)[2].tolist() == wholes


@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
def test_other_functions_are_called_as_torch_calls_them(kind):
    calls = []

    def single(averaged, current, count):
        calls.append((averaged.shape, int(count)))
        return averaged + current

    def several(averaged, current, count):
        calls.append((averaged[0].shape, int(count)))
        torch._foreach_add_(averaged, current)

    model = Weights(torch.ones(3))
    averaged = ours.AveragedModel(model, **{kind: single if kind == "avg_fn" else several})
    for _ in range(3):
        averaged.update_parameters(model)
    assert calls == [((3,), 1), ((3,), 2)] and values(averaged)[0].tolist() == [3.0] * 3


def test_refusals():
    for function in (ours.get_ema_avg_fn, ours.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match=r"1\.5"):
            function(1.5)
        with pytest.raises(ValueError, match="nan"):
            function(float("nan"))
        assert function().decay == 0.999
    functions = {"avg_fn": ours.get_ema_avg_fn(), "multi_avg_fn": ours.get_ema_multi_avg_fn()}
    with pytest.raises(AssertionError):
        ours.AveragedModel(Weights(torch.ones(1)), **functions)
