"""The foreach tier computes what torch's for-loop computes, for every option, layout and dtype."""

import itertools

import pytest
import torch
from optbench.impls import foreach
from torch.utils._python_dispatch import TorchDispatchMode

ALGORITHMS = ["Adam", "AdamW", "SGD"]
ADAM_OPTIONS = {
    "lr": 0.03,
    "betas": (0.7, 0.9),
    "eps": 1e-3,
    "weight_decay": 0.1,
    "amsgrad": True,
    "maximize": True,
    "capturable": True,
    "lr tensor": torch.tensor(0.02, dtype=torch.float64),
    "betas tensors": (torch.tensor(0.8, dtype=torch.float64), torch.tensor([0.95], dtype=torch.float64)),
}
OPTIONS = {
    "Adam": ADAM_OPTIONS | {"decoupled_weight_decay": True},
    "AdamW": ADAM_OPTIONS,
    "SGD": {
        "lr": 0.03,
        "momentum": 0.8,
        "dampening": 0.3,
        "weight_decay": 0.1,
        "maximize": True,
        "nesterov": True,
        "lr tensor": torch.tensor([0.02], dtype=torch.float64),
    },
}


def pairs():
    for name in ALGORITHMS:
        yield name, {}
        for chosen in itertools.combinations(OPTIONS[name], 2):
            config = {key.split()[0]: OPTIONS[name][key] for key in chosen}
            if config.get("nesterov"):
                # needs a momentum, and no dampening
                config = {"momentum": 0.9} | config | {"dampening": 0}
            yield name, config


def loop(name):
    """torch's for-loop, which refuses capturable on a CPU: there it only moves the step."""

    def make(params, **options):
        options.pop("capturable", None)
        return getattr(torch.optim, name)(params, foreach=False, **options)

    return make


def run(make, values, grads, **options):
    """Parameters and state after one step for each row of gradients."""
    params = [torch.nn.Parameter(value.clone(memory_format=torch.preserve_format)) for value in values]
    optimizer = make(params, **options)
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            param.grad = grad
        optimizer.step()
    return params, [dict(optimizer.state.get(param, {})) for param in params]


def check(name, values, grads, rtol=1e-12, atol=1e-12, **options):
    """Our step against torch's, on the same gradients, which must not change."""
    copies = [[None if grad is None else grad.clone() for grad in row] for row in grads]
    versions = [[None if grad is None else grad._version for grad in row] for row in grads]
    params, state = run(getattr(foreach, name), values, grads, **options)
    assert [[None if grad is None else grad._version for grad in row] for row in grads] == versions
    expected_params, expected_state = run(loop(name), values, copies, **options)
    for param, expected in zip(params, expected_params, strict=True):
        torch.testing.assert_close(param, expected, rtol=rtol, atol=atol, equal_nan=True)
    for entry, expected in zip(state, expected_state, strict=True):
        assert list(entry) == list(expected)
        for key in entry:
            torch.testing.assert_close(entry[key], expected[key], rtol=rtol, atol=atol, equal_nan=True)


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + sum(shape)))


def stream(values, steps=5, seed=1):
    return [
        [normal(*value.shape, dtype=value.dtype, seed=seed + 100 * step + place) for place, value in enumerate(values)]
        for step in range(steps)
    ]


@pytest.mark.parametrize(("name", "config"), list(pairs()))
def test_pairwise_options(name, config):
    values = [normal(3, 4), normal(7), normal()]
    check(name, values, stream(values), **config)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_late_and_missing_gradients(name):
    values = [normal(3), normal(4), normal(5), normal(6)]
    grads = stream(values, steps=6)
    for step, place in [(0, 0), (1, 0), (3, 2), *[(step, 3) for step in range(6)]]:
        grads[step][place] = None
    options = {"momentum": 0.9, "dampening": 0.2} if name == "SGD" else {}
    check(name, values, grads, **options)
    if name != "SGD":
        check(name, values, grads, capturable=True)


LAYOUTS = {
    "contiguous": lambda: (normal(4, 6), normal(4, 6, seed=9)),
    "transposed gradient": lambda: (normal(4, 6), normal(6, 4).t()),
    "transposed parameter": lambda: (normal(6, 4).t(), normal(4, 6)),
    "channels_last": lambda: (normal(2, 3, 4, 5).to(memory_format=torch.channels_last), normal(2, 3, 4, 5)),
    "expanded gradient": lambda: (normal(4, 6), normal(4, 1).expand(4, 6)),
    "strided gradient": lambda: (normal(4, 6), normal(8, 12)[::2, ::2]),
    "zero elements": lambda: (normal(0, 3), normal(0, 3)),
    "0-d": lambda: (normal(), normal(seed=3)),
}


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_layouts(name, first):
    # every layout beside every other, the zero-element one first, last and between
    order = [first, *[other for other in LAYOUTS if other != first], first]
    values, grads = zip(*[LAYOUTS[key]() for key in order], strict=True)
    options = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {"amsgrad": True}
    check(name, values, [grads, grads, grads], weight_decay=0.1, **options)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_strided_view_leaves_its_neighbours(name):
    base = normal(8, 12)
    before = base.clone()
    param = torch.nn.Parameter(base[::2, 1::3])
    param.grad = normal(4, 4)
    getattr(foreach, name)([param], lr=0.1).step()
    touched = base != before
    assert touched[::2, 1::3].all() and touched.sum() == 16


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (torch.float16, 2e-3),
        (torch.bfloat16, 1e-2),
        (torch.float32, 2e-6),
        (torch.complex64, 2e-6),
        (torch.complex128, 1e-12),
    ],
)
def test_dtypes(name, dtype, tolerance):
    values = [normal(5, 3, dtype=dtype), normal(9, dtype=dtype), normal(dtype=dtype)]
    options = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {"eps": 1e-4, "amsgrad": True}
    check(name, values, stream(values), rtol=tolerance, atol=tolerance, weight_decay=0.1, maximize=True, **options)


@pytest.mark.parametrize("capturable", [False, True])
def test_float16_denominators_stay_in_range(capturable):
    # sqrt(v)/lr = 1e7 is beyond float16
    param = torch.nn.Parameter(torch.full((4,), 2e-3, dtype=torch.float16))
    param.grad = torch.full((4,), 100.0, dtype=torch.float16)
    foreach.Adam([param], lr=1e-5, capturable=capturable).step()
    torch.testing.assert_close(param.float(), torch.full((4,), 2e-3 - 1e-5), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(
    "lazy", ["conjugate gradient", "negative gradient", "conjugate parameter", "negative parameter"]
)
def test_lazy_bits(name, lazy):
    def lay(tensor):
        return tensor.conj() if "conjugate" in lazy else tensor.conj().imag

    value, grad = normal(4, dtype=torch.complex128), normal(4, dtype=torch.complex128, seed=3)
    lazy_value, lazy_grad = lay(value), lay(grad)
    assert lazy_value.is_conj() or lazy_value.is_neg()
    plain_value, plain_grad = lazy_value.resolve_conj().resolve_neg(), lazy_grad.resolve_conj().resolve_neg()
    param = torch.nn.Parameter(lazy_value if "parameter" in lazy else plain_value.clone())
    optimizer = getattr(foreach, name)([param, torch.nn.Parameter(plain_value.clone())], lr=0.1, weight_decay=0.1)
    other = optimizer.param_groups[0]["params"][1]
    other.grad = plain_grad
    for _ in range(3):
        param.grad = lazy_grad if "gradient" in lazy else plain_grad
        version = param.grad._version
        optimizer.step()
        assert param.grad._version == version
    torch.testing.assert_close(param.detach().resolve_conj().resolve_neg(), other.detach(), rtol=1e-13, atol=0)
    assert not torch.equal(other, plain_value)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_state_of_another_dtype(name):
    """bfloat16 parameters, two with float32 state, of which one has float32 gradients, beside a plain one."""
    options = {"momentum": 0.9} if name == "SGD" else {}
    params = [torch.nn.Parameter(normal(16, dtype=dtype, seed=4)) for dtype in [torch.bfloat16] * 3 + [torch.float32]]
    params[1].grad_dtype = None
    wide = [torch.nn.Parameter(param.detach().float()) for param in params]
    optimizer, expected = getattr(foreach, name)(params, lr=0.1, **options), loop(name)(wide, lr=0.1, **options)
    widened = params[1:]
    for step in range(4):
        for place, (param, other) in enumerate(zip(params, wide, strict=True)):
            dtype = torch.float32 if param is params[1] and step else param.dtype
            param.grad = normal(16, dtype=dtype, seed=50 + 10 * step + place)
            other.grad = param.grad.float()
            # each step is judged alone: both begin from what ours stored
            other.detach().copy_(param.detach())
            for key, value in expected.state[other].items():
                value.copy_(optimizer.state[param][key])
        versions = [param.grad._version for param in params]
        optimizer.step()
        expected.step()
        assert [param.grad._version for param in params] == versions
        for param, other in zip(params, wide, strict=True):
            exact = step and param in set(widened)
            tolerance = 1e-6 if exact else 2e-2
            torch.testing.assert_close(param.detach(), other.detach().to(param.dtype), rtol=tolerance, atol=tolerance)
        if step == 0:
            for param in widened:
                optimizer.state[param] = {key: value.float() for key, value in optimizer.state[param].items()}
    for param in params:
        moments = [value.dtype for key, value in optimizer.state[param].items() if key != "step"]
        assert set(moments) <= {torch.bfloat16 if param is params[0] else torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_tensor_betas_of_another_dtype(dtype):
    values = [normal(6, dtype=dtype), normal(dtype=dtype)]
    betas = (torch.tensor(0.75), torch.tensor(0.5))
    # these betas are exact in every dtype, but torch's bias corrections take the dtype of the betas
    tolerance = 1e-2 if dtype is torch.bfloat16 else 1e-8
    check("Adam", values, stream(values), tolerance, tolerance, betas=betas, capturable=True)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_capturable_reads_nothing_on_the_host(name):
    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            Reads.count += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    def reads(**options):
        Reads.count = 0
        param = torch.nn.Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        optimizer = getattr(foreach, name)([param], weight_decay=0.1, **options)
        with Reads():
            optimizer.step()
        return Reads.count

    tensors = {"lr": torch.tensor(0.1), "betas": (torch.tensor(0.9), torch.tensor(0.99))}
    assert reads(capturable=True) == 0
    assert reads(capturable=True, **tensors) == 0
    # and the count counts
    assert reads() > 0


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"maximize": True}])
def test_sparse_gradients_among_dense(order, options):
    values = [normal(6, 2), normal(5), normal(6, 2, seed=8)]
    grads = []
    for step in range(4):
        rows = torch.tensor([[step % 3, 4, 4]])
        sparse = torch.sparse_coo_tensor(rows, normal(3, 2, seed=20 + step), (6, 2), check_invariants=True)
        grads.append([sparse, normal(5, seed=30 + step), normal(6, 2, seed=40 + step)])
    values, grads = [values[place] for place in order], [[row[place] for place in order] for row in grads]
    results = [
        run(make, values, [[grad.clone() for grad in row] for row in grads], lr=0.1, **options)
        for make in (foreach.SGD, loop("SGD"))
    ]
    (params, state), (expected_params, expected_state) = results
    for param, expected in zip(params, expected_params, strict=True):
        torch.testing.assert_close(param, expected, rtol=1e-13, atol=1e-13)
    for entry, expected in zip(state, expected_state, strict=True):
        assert list(entry) == list(expected)
        for key in entry:
            assert entry[key].layout == expected[key].layout
            torch.testing.assert_close(entry[key].to_dense(), expected[key].to_dense(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}])
def test_sparse_gradients_of_complex_parameters(options):
    sparse = torch.sparse_coo_tensor([[0, 2]], normal(2, dtype=torch.complex128), (3,), check_invariants=True)
    values, grads = (
        [normal(3, dtype=torch.complex128, seed=seed) for seed in range(3)],
        [normal(3, dtype=torch.complex128)] * 2,
    )
    results = [
        run(make, values, [[grads[0], sparse.clone(), grads[1]]] * 2, lr=0.1, **options)
        for make in (foreach.SGD, loop("SGD"))
    ]
    torch.testing.assert_close(results[0][0], results[1][0])


@pytest.mark.parametrize(("name", "options"), [("Adam", {}), ("AdamW", {}), ("SGD", {"weight_decay": 0.1})])
def test_sparse_gradients_are_refused_as_torch_refuses_them(name, options):
    messages = []
    for make in (getattr(foreach, name), loop(name)):
        param = torch.nn.Parameter(torch.ones(3))
        param.grad = torch.ones(3).to_sparse()
        with pytest.raises(RuntimeError) as error:
            make([param], **options).step()
        messages.append(str(error.value))
    assert messages[0] == messages[1]
