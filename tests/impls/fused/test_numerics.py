"""The fused tier computes what torch's for-loop computes, and rounds once."""

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import native, numba_backend, numba_source

from .support import CONFIGS, Twins, layout_copy, plain, random

configs = pytest.mark.parametrize("config", CONFIGS)
SHAPES = [(3, 5), (), (0, 3), (257,), (1,)]


@configs
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_agrees_with_torch_in_double_precision(config, dtype):
    name, options = CONFIGS[config]
    twins = Twins(name, [random(shape, dtype, seed) for seed, shape in enumerate(SHAPES)], **options)
    # RAdam rectifies from the sixth step on
    twins.run(1, 2, 3, 4, 5, 6, 7)
    assert twins.ours.backend == "numba"


@pytest.mark.parametrize(
    "config",
    [
        "adam-amsgrad-decay", "adamw", "sgd-momentum", "sgd-nesterov", "adadelta-decay", "adagrad", "adamax-decay",
        "asgd-averaging-decay", "lion-decay", "nadam-decay", "radam", "rmsprop-momentum-decay", "rprop",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64], ids=str)
def test_every_step_is_close_to_double_precision(config, dtype):
    name, options = CONFIGS[config]
    options = {"eps": 1e-3} | options if name not in ("ASGD", "Lion", "Rprop", "SGD") else options
    work = torch.complex128 if dtype.is_complex else torch.float64
    param = random((1031,), dtype, 0).requires_grad_()
    optimizer = getattr(fused, name)([param], **options)
    for step in range(1, 6):
        exact = param.detach().to(work).requires_grad_()
        oracle = plain(name)([exact], foreach=False, **options)
        for key, value in optimizer.state[param].items() if optimizer.state else ():
            oracle.state[exact][key] = value.to(work) if value.dim() else value.clone()
        param.grad = random((1031,), dtype, step)
        exact.grad = param.grad.to(work)
        before = param.detach().clone()
        optimizer.step()
        oracle.step()
        size = (param.grad.abs() + before.abs() + 1).to(torch.float64)
        assert_rounded_once(param.detach(), exact.detach(), size)
        for key, value in optimizer.state[param].items() if optimizer.state else ():
            if not value.dim():
                assert torch.equal(value, oracle.state[exact][key]), key
            else:
                assert_rounded_once(value, oracle.state[exact][key], size**2)


def assert_rounded_once(result, exact, size):
    """Equal to the exact value up to half a spacing of storage and a few spacings of float32 of the operands."""
    result, exact = (torch.view_as_real(x) if x.is_complex() else x for x in (result, exact))
    size = size.unsqueeze(-1).expand(result.shape) if size.dim() < result.dim() else size
    stored = torch.maximum(exact.abs() * torch.finfo(result.dtype).eps / 2, torch.tensor(2.0**-25, dtype=torch.float64))
    if result.dtype in (torch.float32, torch.bfloat16):
        stored = exact.abs() * torch.finfo(result.dtype).eps / 2
    bound = stored + 4 * torch.finfo(torch.float32).eps * size
    error = (result.double() - exact).abs()
    assert (error <= bound).all(), (error / bound).max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_storage_rounds_like_torch_over_all_patterns(dtype):
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for seed in range(3):
        order = torch.randperm(2**16, generator=torch.Generator().manual_seed(seed))
        param = patterns.clone().view(dtype).requires_grad_()
        # Zero gradients first: every pattern must come back as it was.
        param.grad = torch.zeros_like(param) if seed == 0 else patterns[order].view(dtype)
        expected = (param.detach().float() - param.grad.float()).to(dtype)
        fused.SGD([param], lr=1.0).step()
        known = ~expected.isnan()
        assert torch.equal(param.isnan(), ~known)
        assert torch.equal(param.detach()[known].view(torch.int16), expected[known].view(torch.int16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_amsgrad_keeps_a_nan(dtype):
    param = torch.ones(40, dtype=dtype, requires_grad=True)
    optimizer = fused.Adam([param], amsgrad=True)
    param.grad = torch.ones_like(param)
    optimizer.step()
    param.grad[3] = float("nan")
    optimizer.step()
    param.grad[3] = 0.0
    optimizer.state[param]["exp_avg_sq"].fill_(0.5)
    optimizer.step()
    nan = torch.arange(40) == 3
    assert torch.equal(optimizer.state[param]["max_exp_avg_sq"].isnan(), nan)
    assert torch.equal(param.isnan(), nan)


def test_small_numbers_are_not_flushed():
    param = torch.full((64,), 1e-40, requires_grad=True)
    param.grad = torch.full((64,), 3e-41)
    expected = param.detach() - 0.5 * param.grad
    fused.SGD([param], lr=0.5).step()
    assert torch.equal(param.detach(), expected)
    assert expected[0] > 0


def test_result_does_not_depend_on_place_or_threads():
    values, grads = random((300_001,), torch.float32, 0), random((300_001,), torch.float32, 1)
    results, threads = [], torch.get_num_threads()
    for cut, used in ((0, 1), (0, 2), (77_777, 2), (5, 1)):
        params = [values[:cut].clone().requires_grad_(), values[cut:].clone().requires_grad_()]
        params[0].grad, params[1].grad = grads[:cut].clone(), grads[cut:].clone()
        torch.set_num_threads(used)
        try:
            optimizer = fused.AdamW(params, lr=0.1)
            optimizer.step()
            optimizer.step()
        finally:
            torch.set_num_threads(threads)
        results.append(torch.cat([param.detach() for param in params]))
    assert all(torch.equal(result, results[0]) for result in results[1:])


def test_bias_corrections_are_exact_where_powers_cancel():
    param = torch.ones(1, dtype=torch.float64, requires_grad=True)
    param.grad = torch.ones_like(param)
    optimizer = fused.Adam([param], lr=1.0, betas=(0.9, 0.999999), eps=0.0)
    optimizer.step()
    # m/(1 - beta1) = 1 and v/(1 - beta2) = 1
    assert param.item() == pytest.approx(0.0, abs=4e-16)


def test_steps_differ_by_parameter():
    twins = Twins("Adam", [random((4,), torch.float64, seed) for seed in range(3)], lr=0.1)
    twins.ours.step()
    assert not twins.ours.state
    for seed in range(1, 4):
        twins.give(seed)
        for params in (twins.mine, twins.other):
            for param in params[seed:]:
                param.grad = None
        twins.step()
        twins.check()
    assert [twins.ours.state[param]["step"].item() for param in twins.mine] == [3, 2, 1]


def test_groups_have_options_of_their_own():
    tensors = [random((5,), torch.float64, seed) for seed in range(3)]
    sides = []
    for optimizer_class, options in ((fused.Adam, {}), (torch.optim.Adam, {"foreach": False})):
        params = [layout_copy(tensor).requires_grad_() for tensor in tensors]
        groups = [
            {"params": params[:1]},
            {"params": params[1:2], "lr": 0.5, "weight_decay": 0.1},
            {"params": params[2:], "amsgrad": True, "maximize": True, "betas": (0.1, 0.2)},
        ]
        optimizer = optimizer_class(groups, lr=0.01, **options)
        for seed in range(3):
            for index, param in enumerate(params):
                param.grad = random((5,), torch.float64, 10 * seed + index)
            optimizer.step()
        sides.append(params)
    for ours, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@configs
def test_the_same_elements_stay_finite_as_in_torch(config):
    name, options = CONFIGS[config]
    twins = Twins(name, [random((9,), torch.float64)], **options)
    bad = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0], dtype=torch.float64)
    for seed in range(1, 8):
        twins.give(seed)
        if seed in (2, 6):
            for params in (twins.mine, twins.other):
                params[0].grad[2:7] = bad
        twins.step()
        mine, other = (
            [params[0].detach(), *optimizer.state[params[0]].values()]
            for params, optimizer in ((twins.mine, twins.ours), (twins.other, twins.theirs))
        )
        for a, b in zip(mine, other, strict=True):
            # Which of them is infinite and which NaN depends on how a sum is written.
            assert torch.equal(a.isfinite(), b.isfinite())
            torch.testing.assert_close(a[a.isfinite()], b[b.isfinite()], rtol=1e-12, atol=1e-14)


def test_step_sizes_hold_where_the_product_of_gradients_underflows():
    param = torch.zeros(2, requires_grad=True)
    optimizer = fused.Rprop([param], lr=0.5)
    for grad in (1e-30, 1e-30):
        param.grad = torch.tensor([grad, -grad])
        optimizer.step()
    torch.testing.assert_close(optimizer.state[param]["step_size"], torch.tensor([0.6, 0.6]))
    torch.testing.assert_close(param.detach(), torch.tensor([-1.1, 1.1]))


def test_asgd_does_not_read_the_average_before_averaging_starts():
    param = torch.ones(100, requires_grad=True)
    optimizer = fused.ASGD([param], lr=0.5, t0=2)
    for step in range(1, 6):
        param.grad = torch.ones_like(param)
        if step == 2:
            optimizer.state[param]["ax"].fill_(float("nan"))
        optimizer.step()
        assert torch.equal(optimizer.state[param]["ax"], param.detach()) == (step <= 4)


# torch rounds ASGD's rate to the default dtype on its way to float64.
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_written_around_the_caches_is_what_is_written_through_them(dtype, threads, monkeypatch):
    # the second lies one element into its buffer, so that no vector store fits it
    start = [random((70_001,), seed=1, dtype=dtype), random((40_000,), seed=2, dtype=dtype)[1:]]
    grads = [random(tensor.shape, seed=3, dtype=dtype) for tensor in start]
    averages = []
    for limit in (1, 1 << 40):
        monkeypatch.setattr(numba_source, "STREAMED", limit)
        numba_backend._update_kernel.cache_clear()
        params = [torch.cat([tensor.new_zeros(1), tensor])[1:].requires_grad_() for tensor in start]
        params[0] = start[0].clone().requires_grad_()
        optimizer = fused.ASGD(params, lr=0.1)
        for place, (param, grad) in enumerate(zip(params, grads, strict=True)):
            param.grad = grad
            optimizer.state[param] = {
                "step": torch.zeros(()), "eta": torch.tensor(0.1), "mu": torch.ones(()),
                "ax": torch.full((len(param) + 1,), torch.nan, dtype=dtype)[place : place + len(param)],
            }  # fmt: skip
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        optimizer.step()
        torch.set_num_threads(before)
        averages.append([optimizer.state[param]["ax"] for param in params])
        for param in params:
            assert torch.equal(optimizer.state[param]["ax"], param)
    numba_backend._update_kernel.cache_clear()
    assert all(map(torch.equal, *averages))


def test_only_large_arrays_that_are_not_read_are_written_around_the_caches():
    def listing(rule, dtype):
        source = numba_source.update_source(rule, [0] * len(rule.flags), dtype)
        return native.compile_kernel(source, "update", "llvm")[1]

    assert "!nontemporal" in listing(fused.ASGD.rule, "float32")
    assert "!nontemporal" not in listing(fused.Adam.rule, "float32")


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ("nadam-decay", torch.float16),
        ("nadam-decay", torch.bfloat16),
        ("nadam-decay", torch.float64),
        ("asgd-averaging-decay", torch.float16),
        ("asgd-averaging-decay", torch.bfloat16),
    ],
    ids=str,
)
def test_numbers_in_every_dtype_are_rounded_as_torch_rounds_them(config, dtype):
    name, options = CONFIGS[config]
    twins = Twins(name, [random((5,)), random((0,)), random((5,), seed=2)], **options)
    twins.run(1)
    for optimizer in (twins.ours, twins.theirs):
        for index, state in enumerate(optimizer.state.values()):
            for key in ("mu_product", "eta", "mu"):
                # not all alike
                if key in state and not (index == 2 and key == "mu"):
                    state[key] = state[key].to(dtype)
    twins.run(2, 3, 4)


@pytest.mark.parametrize("config", ["nadam", "asgd-averaging-decay"])
def test_numbers_in_the_default_dtype(config):
    torch.set_default_dtype(torch.float64)
    try:
        name, options = CONFIGS[config]
        twins = Twins(name, [random((5,)), random((3,), seed=1)], **options)
        twins.run(1, 2, 3, 4)
    finally:
        torch.set_default_dtype(torch.float32)
    numbers = [value for value in twins.ours.state[twins.mine[0]].values() if not value.dim()]
    assert {number.dtype for number in numbers} == {torch.float64}


@pytest.mark.parametrize("config", ["nadam", "asgd-averaging-decay"])
def test_numbers_of_one_tensor_are_not_taken_for_those_of_its_neighbour(config):
    name, options = CONFIGS[config]
    twins = Twins(name, [random((5,), seed=seed) for seed in range(4)], **options)
    twins.run(1)
    for optimizer in (twins.ours, twins.theirs):
        for factor, state in zip((1.0, 1.0, 0.5, 0.5), optimizer.state.values(), strict=True):
            for key in ("mu_product", "eta", "mu"):
                if key in state:
                    state[key].mul_(factor)
    twins.run(2, 3)
