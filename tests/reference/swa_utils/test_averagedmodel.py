"""AveragedModel against exact averages and torch's, over long runs, and with what may happen in between."""

import copy
import io
import pickle
from fractions import Fraction

import pytest
import torch
from optbench.reference import swa_utils
from torch import nn
from torch.optim import swa_utils as torchs

from tests.recurrences.averages import ema, swa

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128]
AVERAGES = ["mean", "ema 0.9", "ema 0.2", "ema 0", "ema 1", "ema 0.9999"]


class Model(nn.Module):
    """Tensors of several shapes and strides, a tied one, and buffers of both kinds."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3, dtype=dtype).t())
        self.scalar = nn.Parameter(torch.zeros((), dtype=dtype))
        self.empty = nn.Parameter(torch.zeros(0, 5, dtype=dtype))
        self.tied = self.weight
        self.register_buffer("statistic", torch.zeros(6, dtype=dtype)[::2])
        self.register_buffer("count", torch.zeros(2, dtype=torch.int64))

    def forward(self, x):
        return x @ self.weight.real.to(x.dtype) + self.scalar.real.to(x.dtype)

    def fill(self, seed, scale=1.0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in [*self.parameters(), *self.buffers()]:
                if tensor.dtype == torch.int64:
                    tensor.copy_(torch.randint(-9, 9, tensor.shape, generator=generator))
                else:
                    tensor.copy_(scale * torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
                    if tensor.is_complex():
                        tensor.imag.copy_(torch.randn(tensor.shape, generator=generator))
        return self


def functions(average, module=swa_utils, single=False):
    kind = "avg_fn" if single else "multi_avg_fn"
    if average == "mean":
        return {kind: getattr(module, f"get_swa_{kind}")()}
    return {kind: getattr(module, f"get_ema_{kind}")(float(average.split()[1]))}


def exact(average, values):
    """The average of real numbers, exactly."""
    values = [Fraction(value) for value in values]
    if average == "mean":
        return swa(values)
    return ema(values, decay=Fraction(float(average.split()[1])))


def numbers(tensor):
    tensor = tensor.detach()
    return (torch.view_as_real(tensor) if tensor.is_complex() else tensor).to(torch.float64).flatten().tolist()


def everything(module):
    return [number for tensor in (*module.parameters(), *module.buffers()) for number in numbers(tensor)]


def spacing(dtype):
    return torch.finfo(dtype).eps if dtype.is_floating_point or dtype.is_complex else 1.0


@pytest.mark.parametrize("single", [False, True], ids=["multi_avg_fn", "avg_fn"])
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("average", AVERAGES)
def test_an_average_is_exact_but_for_one_rounding(average, dtype, use_buffers, single):
    model = Model(dtype)
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers, **functions(average, single=single))
    history = []
    for seed in range(6):
        averaged.update_parameters(model.fill(seed))
        history.append([numbers(tensor) for tensor in (*model.parameters(), *model.buffers())])
        assert averaged.n_averaged == seed + 1
        parameters = [*averaged.module.parameters()]
        for index, tensor in enumerate((*parameters, *averaged.module.buffers())):
            if index >= len(parameters) and not use_buffers:
                assert numbers(tensor) == history[-1][index]
                continue
            for element, found in enumerate(numbers(tensor)):
                wanted = float(exact(average, [values[index][element] for values in history])[-1])
                if tensor.dtype == torch.int64:
                    assert abs(found - wanted) <= 0.5 + 1e-9
                    assert found == round(found)
                else:
                    assert found == pytest.approx(wanted, rel=0.51 * spacing(tensor.dtype), abs=2.0**-25)


def tolerance(average, single):
    """torch's get_swa_multi_avg_fn computes 1/(n + 1) in the default dtype, also for float64."""
    return 1e-6 if average == "mean" and not single else 1e-14


@pytest.mark.parametrize("single", [False, True], ids=["multi_avg_fn", "avg_fn"])
@pytest.mark.parametrize("average", ["default", *AVERAGES])
def test_an_average_is_torchs(average, single):
    model = Model(torch.float64)
    averages = []
    for module in (swa_utils, torchs):
        options = {} if average == "default" else functions(average, module, single)
        averages.append(module.AveragedModel(model, **options))
    for seed in range(8):
        for averaged in averages:
            averaged.update_parameters(model.fill(seed))
        ours, theirs = (averaged.state_dict() for averaged in averages)
        assert list(ours) == list(theirs)
        for key, value in ours.items():
            close = tolerance(average, single)
            torch.testing.assert_close(value, theirs[key], rtol=close, atol=close)
            assert value.dtype == theirs[key].dtype
    inputs = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(averages[0](inputs), averages[0].module(inputs))
    assert isinstance(averages[0], torchs.AveragedModel)


@pytest.mark.parametrize("single", [False, True], ids=["multi_avg_fn", "avg_fn"])
@pytest.mark.parametrize("average", AVERAGES)
def test_functions_go_into_torchs_class_and_back(average, single):
    """Ours in torch's class; and torch's in ours, where it is called as any other."""
    model = Model(torch.float64)
    wanted = torchs.AveragedModel(model, use_buffers=False, **functions(average, torchs, single))
    others = [
        torchs.AveragedModel(model, **functions(average, swa_utils, single)),
        swa_utils.AveragedModel(model, **functions(average, torchs, single)),
    ]
    for seed in range(6):
        for averaged in (wanted, *others):
            averaged.update_parameters(model.fill(seed))
    for averaged in others:
        close = tolerance(average, single)
        assert everything(averaged) == pytest.approx(everything(wanted), rel=close, abs=close)


def test_whole_numbers_go_through_the_functions():
    for single in (False, True):
        ours = swa_utils.AveragedModel(Model(), use_buffers=True, **functions("ema 0.75", single=single))
        theirs = torchs.AveragedModel(Model(), use_buffers=True, **functions("ema 0.75", single=single))
        model = Model()
        for count in (0, 3, 1):
            model.count.fill_(count)
            ours.update_parameters(model)
            theirs.update_parameters(model)
        # 0, 0.75, 0.8125: kept to the end, or rounded each time
        assert ours.module.count.tolist() == theirs.module.count.tolist() == [1, 1]


def test_functions_of_ones_own_are_called_as_torch_calls_them():
    for module in (swa_utils, torchs):
        seen = []

        def avg_fn(averaged, current, number, seen=seen):
            seen.append((averaged.dtype, int(number)))
            return torch.maximum(averaged, current)

        def multi_avg_fn(averaged, current, number, seen=seen):
            seen.append((len(averaged), int(number)))
            torch._foreach_maximum_(averaged, current)

        for function in ({"avg_fn": avg_fn}, {"multi_avg_fn": multi_avg_fn}):
            model = Model()
            averaged = module.AveragedModel(model, **function)
            for seed in range(4):
                averaged.update_parameters(model.fill(seed))
            wanted = torch.stack([Model().fill(seed).scalar.detach() for seed in range(4)]).max()
            assert averaged.module.scalar == wanted
            assert averaged.n_averaged == 4
        assert seen == [(torch.float32, number) for number in (1, 2, 3) for _ in range(3)] + [(3, 1), (3, 2), (3, 3)]
    with pytest.raises(AssertionError):
        swa_utils.AveragedModel(Model(), avg_fn=max, multi_avg_fn=max)


@pytest.mark.parametrize("decay", [-0.25, 1.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    for get in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match=str(decay)):
            get(decay)
    assert swa_utils.get_ema_avg_fn().decay == swa_utils.get_ema_multi_avg_fn().decay == 0.999


def long_run(average, dtype, updates):
    """The average of a drifting weight, and what it has to be: sums in exact arithmetic take too long, so in pairs."""
    generator = torch.Generator().manual_seed(0)
    models = torch.linspace(1, 3, updates, dtype=torch.float64) + torch.randn(updates, generator=generator) / 4
    models = models.to(dtype)
    model = nn.Module()
    model.weight = nn.Parameter(models[0].clone())
    averaged = swa_utils.AveragedModel(model, **functions(average))
    for value in models:
        model.weight.data.copy_(value)
        averaged.update_parameters(model)
    values = models.to(torch.float64)
    if average == "mean":
        wanted = values.mean()
    else:
        decay = float(average.split()[1])
        weights = (1 - decay) * decay ** torch.arange(updates - 1, -1, -1, dtype=torch.float64)
        weights[0] = decay ** (updates - 1)
        wanted = (weights * values).sum()
    return averaged.module.weight.detach().to(torch.float64), wanted


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("average", ["mean", "ema 0.9999"])
def test_a_long_average_keeps_its_digits(average, dtype):
    found, wanted = long_run(average, dtype, 2000)
    # Against a float64 sum that has some rounding of its own.
    assert abs(found - wanted) <= (0.51 if dtype != torch.float64 else 4) * spacing(dtype) * abs(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("average", ["mean", "ema 0.9999"])
def test_a_hundred_thousand_updates_keep_their_digits(average):
    found, wanted = long_run(average, torch.float32, 100_000)
    assert abs(found - wanted) <= 0.51 * spacing(torch.float32) * abs(wanted)


def test_a_16_bit_average_arrives_at_a_constant_target():
    """A plain one stands still 0.2 away from it, where an update is less than half a last digit."""
    model = nn.Linear(3, 2, bias=False).to(torch.bfloat16)
    averaged = swa_utils.AveragedModel(model, **functions("ema 0.99"))
    averaged.update_parameters(model)
    target = torch.full((2, 3), 2.0, dtype=torch.bfloat16)
    model.weight.data.copy_(target)
    for _ in range(900):
        averaged.update_parameters(model)
    assert torch.equal(averaged.module.weight, target)


def saved(averaged):
    file = io.BytesIO()
    torch.save(averaged.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_copies_and_pickles_go_on_to_the_last_digit(dtype):
    model = Model(dtype)
    averaged = swa_utils.AveragedModel(model, use_buffers=True, **functions("ema 0.99"))
    for seed in range(5):
        averaged.update_parameters(model.fill(seed))
    others = [copy.deepcopy(averaged), pickle.loads(pickle.dumps(averaged))]
    for seed in range(5, 60):
        for each in (averaged, *others):
            each.update_parameters(model.fill(seed))
    for other in others:
        assert everything(other) == everything(averaged)
        assert other.module.weight.data_ptr() != averaged.module.weight.data_ptr()


def test_a_checkpoint_goes_on_one_rounding_away_also_in_torch():
    model = Model(torch.bfloat16)
    averaged = swa_utils.AveragedModel(model, **functions("ema 0.9"))
    for seed in range(5):
        averaged.update_parameters(model.fill(seed))
    state = saved(averaged)
    for module in (swa_utils, torchs):
        other = module.AveragedModel(Model(torch.bfloat16), **functions("ema 0.9", module))
        other.load_state_dict(state)
        assert everything(other) == everything(averaged)
        assert other.n_averaged == 5
    plain = swa_utils.AveragedModel(Model(torch.bfloat16), **functions("ema 0.9"))
    plain.load_state_dict(state)
    for each in (averaged, plain):
        each.update_parameters(model.fill(9))
    assert everything(plain) == pytest.approx(everything(averaged), rel=2 * spacing(torch.bfloat16))


def test_what_somebody_else_writes_is_what_the_average_goes_on_from():
    model = nn.Linear(2, 1, bias=False).to(torch.bfloat16)
    averaged = swa_utils.AveragedModel(model, **functions("ema 0.5"))

    def set_all(value):
        model.weight.data.fill_(value)
        averaged.update_parameters(model)

    set_all(1.0)
    # 1.00390625, which bfloat16 rounds to 1
    set_all(1.0078125)
    assert averaged.module.weight.tolist() == [[1.0, 1.0]]
    # One element is written, through .data, which no version counter sees; the other keeps its digits.
    averaged.module.weight.data[0, 0] = 1.0078125
    set_all(1.0078125)
    assert averaged.module.weight.tolist() == [[1.0078125, 1.0078125]]
    averaged.module.weight = nn.Parameter(torch.full((1, 2), 3.0, dtype=torch.bfloat16))
    set_all(1.0)
    assert averaged.module.weight.tolist() == [[2.0, 2.0]]
    averaged.to(torch.float64)
    averaged.module.weight = nn.Parameter(torch.full((3, 2), 3.0, dtype=torch.float64))
    model.weight = nn.Parameter(torch.ones(3, 2))
    averaged.update_parameters(model)
    assert averaged.module.weight.tolist() == [[2.0, 2.0]] * 3


def test_the_model_is_left_alone_and_not_shared():
    model = Model().fill(0)
    before = copy.deepcopy(model.state_dict())
    averaged = swa_utils.AveragedModel(model, device="cpu", use_buffers=True)
    for _ in range(3):
        averaged.update_parameters(model)
        with torch.no_grad():
            for tensor in (*averaged.module.parameters(), *averaged.module.buffers()):
                tensor.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert averaged.module.tied is averaged.module.weight
    assert not any("shadow" in key for key in averaged.state_dict())


def test_models_of_other_dtypes_are_averaged_in_the_first_ones():
    averaged = swa_utils.AveragedModel(Model(torch.float32))
    for seed in range(4):
        averaged.update_parameters(Model(torch.float64).fill(seed))
    wanted = sum(Model(torch.float64).fill(seed).weight.detach() for seed in range(4)) / 4
    torch.testing.assert_close(averaged.module.weight.detach(), wanted.to(torch.float32), rtol=1e-6, atol=1e-7)
