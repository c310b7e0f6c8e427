"""The foreach tier computes what torch's for-loop computes, for every option, layout and dtype."""

import itertools
import math

import pytest
import torch
from optbench.impls import foreach
from optbench.impls.foreach.scalars import factors
from torch.utils._python_dispatch import TorchDispatchMode

from .plain import loop

COMMON_OPTIONS = {
    "lr": 0.03,
    "weight_decay": 0.1,
    "maximize": True,
    "lr tensor": torch.tensor([0.02], dtype=torch.float64),
}
MOMENTS = COMMON_OPTIONS | {"betas": (0.7, 0.9), "eps": 1e-3, "capturable": True}
ADAM_OPTIONS = MOMENTS | {
    "amsgrad": True,
    "lr tensor": torch.tensor(0.02, dtype=torch.float64),
    "betas tensors": (torch.tensor(0.8, dtype=torch.float64), torch.tensor([0.95], dtype=torch.float64)),
}
OPTIONS = {
    "Adadelta": COMMON_OPTIONS | {"rho": 0.7, "eps": 1e-3, "capturable": True},
    "Adagrad": COMMON_OPTIONS | {"lr_decay": 0.3, "initial_accumulator_value": 0.2, "eps": 1e-3},
    "Adam": ADAM_OPTIONS | {"decoupled_weight_decay": True},
    "AdamW": ADAM_OPTIONS,
    "Adamax": MOMENTS,
    "ASGD": COMMON_OPTIONS | {"lambd": 0.1, "alpha": 0.5, "t0": 2, "capturable": True},
    "Lion": COMMON_OPTIONS | {"betas": (0.7, 0.8), "capturable": True},
    "NAdam": MOMENTS | {"momentum_decay": 0.3, "decoupled_weight_decay": True},
    "RAdam": MOMENTS | {"decoupled_weight_decay": True},
    "RMSprop": COMMON_OPTIONS | {"alpha": 0.7, "eps": 1e-3, "momentum": 0.8, "centered": True, "capturable": True},
    "Rprop": {
        "lr": 0.03,
        "etas": (0.3, 1.7),
        "step_sizes": (0.02, 0.04),
        "maximize": True,
        "lr tensor": torch.tensor([0.02], dtype=torch.float64),
        "capturable": True,
    },
    "SGD": COMMON_OPTIONS | {"momentum": 0.8, "dampening": 0.3, "nesterov": True},
}
ALGORITHMS = list(OPTIONS)
CAPTURABLE = [name for name in ALGORITHMS if "capturable" in OPTIONS[name]]
# what makes a step read all the state that there can be
FULL = {
    "Adam": {"amsgrad": True},
    "AdamW": {"amsgrad": True},
    "ASGD": {"t0": 2, "lambd": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "SGD": {"momentum": 0.9, "nesterov": True},
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


def decayed(name):
    return {} if name == "Rprop" else {"weight_decay": 0.1}


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


def stream(values, steps=7, seed=1):
    # seven steps, because RAdam rectifies from the sixth on
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
    grads = stream(values, steps=8)
    for step, place in [(0, 0), (1, 0), (3, 2), *[(step, 3) for step in range(8)]]:
        grads[step][place] = None
    options = {"momentum": 0.9, "dampening": 0.2} if name == "SGD" else FULL.get(name, {})
    check(name, values, grads, **options)
    if name in CAPTURABLE:
        check(name, values, grads, capturable=True, **options)


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
    # a lasting gradient, then its opposite
    rows = [grads] * 5 + [[-grad for grad in grads]] * 2
    check(name, values, rows, **decayed(name), **FULL.get(name, {}))


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
    options = {"eps": 1e-4} if "eps" in OPTIONS[name] else {}
    options |= {"maximize": True} | decayed(name) | FULL.get(name, {})
    check(name, values, stream(values), rtol=tolerance, atol=tolerance, **options)


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("name", ["Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop"])
def test_float16_denominators_stay_in_range(name, capturable):
    # sqrt(v)/lr = 1e7 is beyond float16
    options = {"lr": 1e-5} | ({"capturable": True} if capturable and name in CAPTURABLE else {})
    value, grad = torch.full((4,), 2e-3, dtype=torch.float16), torch.full((4,), 100.0, dtype=torch.float16)
    (param,), _ = run(getattr(foreach, name), [value], [[grad]], **options)
    (expected,), _ = run(loop(name), [value.double()], [[grad.double()]], **options)
    torch.testing.assert_close(param.double(), expected, rtol=0, atol=2e-6)


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
    optimizer = getattr(foreach, name)(
        [param, torch.nn.Parameter(plain_value.clone())], lr=0.1, **decayed(name), **FULL.get(name, {})
    )
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
        scalars = optimizer.scalar_state
        moments = [value.dtype for key, value in optimizer.state[param].items() if key not in scalars]
        assert set(moments) <= {torch.bfloat16 if param is params[0] else torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_tensor_betas_of_another_dtype(dtype):
    values = [normal(6, dtype=dtype), normal(dtype=dtype)]
    betas = (torch.tensor(0.75), torch.tensor(0.5))
    # these betas are exact in every dtype, but torch's bias corrections take the dtype of the betas
    tolerance = 1e-2 if dtype is torch.bfloat16 else 1e-8
    check("Adam", values, stream(values), tolerance, tolerance, betas=betas, capturable=True)


def test_factors_beside_16_bit_tensors_keep_their_digits():
    (factor,) = factors(torch.tensor([0.1], dtype=torch.float64), torch.ones(1).bfloat16(), torch.device("cpu"))
    assert factor.dtype == torch.float32


class Reads(TorchDispatchMode):
    """Counts how often a tensor's value comes to the host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def reads(name, **options):
    param = torch.nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    optimizer = getattr(foreach, name)([param], **decayed(name), **options)
    # the first step may read what state begins with
    optimizer.step()
    with Reads() as counter:
        optimizer.step()
    return counter.count


@pytest.mark.parametrize("name", CAPTURABLE)
def test_capturable_reads_nothing_on_the_host(name):
    tensors = {"lr": torch.tensor(0.1)}
    if "betas tensors" in OPTIONS[name]:
        tensors["betas"] = (torch.tensor(0.9), torch.tensor(0.99))
    assert reads(name, capturable=True) == 0
    assert reads(name, capturable=True, **tensors) == 0
    # and the count counts
    assert name == "Rprop" or reads(name, **tensors) > 0


@pytest.mark.parametrize("capturable", [False, True])
def test_equal_steps_with_scalar_state_of_their_own(capturable):
    changes = {"NAdam": {"mu_product": 0.3}, "ASGD": {"eta": 0.5, "mu": 0.25}}
    for name, change in changes.items():
        results = []
        for make in (getattr(foreach, name), loop(name)):
            params = [torch.nn.Parameter(normal(4, seed=seed)) for seed in range(3)]
            optimizer = make(params, capturable=capturable)
            for step in range(3):
                for place, param in enumerate(params):
                    param.grad = normal(4, seed=10 * step + place)
                optimizer.step()
                if step == 0:
                    for key, value in change.items():
                        optimizer.state[params[1]][key].fill_(value)
            results.append((params, [optimizer.state[param] for param in params]))
        torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=1e-12)
        for mine, its in zip(results[0][1], results[1][1], strict=True):
            torch.testing.assert_close(mine, dict(its))


@pytest.mark.parametrize("capturable", [False, True])
def test_asgd_copies_exactly_until_it_averages(capturable):
    param = torch.nn.Parameter(torch.zeros(5))
    optimizer = foreach.ASGD([param], lr=1.0, lambd=0.0, t0=3, capturable=capturable)
    param.grad = torch.zeros(5)
    for step in range(7):
        # each time ten times smaller: the way from the old average has fewer digits than the parameter
        param.detach().copy_(normal(5, dtype=torch.float32, seed=step) * 10.0**-step)
        optimizer.step()
        assert torch.equal(optimizer.state[param]["ax"], param) is (step < 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_rprop_tells_signs_of_gradients_whose_product_is_zero(dtype):
    tiny = torch.finfo(dtype).tiny
    param = torch.nn.Parameter(torch.zeros(3, dtype=dtype))
    optimizer = foreach.Rprop([param], lr=0.5)
    for signs in ([1, 1, 0], [1, -1, 0]):
        param.grad = torch.tensor(signs, dtype=dtype) * tiny
        optimizer.step()
    state = optimizer.state[param]
    torch.testing.assert_close(state["step_size"], torch.tensor([0.6, 0.25, 0.5], dtype=dtype))
    torch.testing.assert_close(param.detach(), torch.tensor([-1.1, -0.5, 0.0], dtype=dtype))
    assert torch.equal(state["prev"], torch.tensor([tiny, 0, 0], dtype=dtype))


# a moment that lerp moves on from infinity is not a number: so it is in torch, but not in the plain Lion
@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"Lion"}))
def test_numbers_that_are_none(name):
    """Infinite gradients of either sign, then NaN; what follows them is compared too."""
    values = [torch.ones(4, dtype=torch.float64)]
    odd = [torch.tensor([number, -number, 1.0, -1.0], dtype=torch.float64) for number in (math.inf, 1.0, -2.0)]
    odd[1][2] = math.nan
    check(name, values, [[grad] for grad in [*odd, *odd]], **FULL.get(name, {}))


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


SPARSE_SHAPES = {"rows": ((6, 2), 1), "elements": ((6, 2), 2), "blocks": ((6, 2, 3), 2), "vector": ((6,), 1)}


@pytest.mark.parametrize("shape", SPARSE_SHAPES)
@pytest.mark.parametrize(
    "options", [{}, {"maximize": True, "lr_decay": 0.5}, {"initial_accumulator_value": 0.3, "eps": 1e-3}]
)
def test_adagrad_takes_sparse_gradients(shape, options):
    size, sparse_dims = SPARSE_SHAPES[shape]
    values, rows = [normal(*size), normal(5), normal(*size, seed=7).transpose(0, -1).contiguous().transpose(0, -1)], []
    for step in range(4):
        # an index comes twice, another at each step; the third step names none
        places = torch.tensor([[step, 4, 4], [1, 0, 0]])[:sparse_dims, : 0 if step == 2 else 3]
        entries = normal(places.shape[1], *size[sparse_dims:], seed=20 + step)
        sparse = torch.sparse_coo_tensor(places, entries, size, check_invariants=True)
        rows.append([sparse, normal(5, seed=30 + step), None if step == 1 else sparse * 2])
    results = []
    for make in (foreach.Adagrad, loop("Adagrad")):
        grads = [[None if grad is None else grad.clone() for grad in row] for row in rows]
        # torch warns of sparse tensors made without a decision on checks
        with torch.sparse.check_sparse_tensor_invariants():
            results.append(run(make, values, grads, lr=0.1, **options))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-13, atol=1e-13)
    for mine, its in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("lazy", [False, True])
def test_adagrad_takes_a_sparse_complex_gradient_for_pairs_of_numbers(lazy):
    value, entries = normal(3, 2, dtype=torch.complex128), normal(2, 2, dtype=torch.complex128, seed=5)
    param = torch.nn.Parameter(value.conj() if lazy else value.clone())
    param.grad = torch.sparse_coo_tensor([[0, 2]], entries, (3, 2), check_invariants=True)
    optimizer = foreach.Adagrad([param], lr=0.1)
    twin = torch.nn.Parameter(torch.view_as_real(param.detach().resolve_conj()).clone())
    twin.grad = torch.view_as_real(param.grad.to_dense())
    expected = loop("Adagrad")([twin], lr=0.1)
    for _ in range(3):
        versions = param._version, param.grad._version
        optimizer.step()
        expected.step()
        assert param._version > versions[0] and param.grad._version == versions[1]
    torch.testing.assert_close(torch.view_as_real(param.detach().resolve_conj()), twin.detach())
    torch.testing.assert_close(torch.view_as_real(optimizer.state[param]["sum"]), expected.state[twin]["sum"])


REFUSED = [(name, {}) for name in ALGORITHMS if name not in ("Adagrad", "Lion", "SGD")]


@pytest.mark.parametrize(("name", "options"), [*REFUSED, ("Adagrad", {"weight_decay": 0.1})])
def test_sparse_gradients_are_refused_as_torch_refuses_them(name, options):
    messages = []
    for make in (getattr(foreach, name), loop(name)):
        param = torch.nn.Parameter(torch.ones(3))
        param.grad = torch.ones(3).to_sparse()
        with pytest.raises(RuntimeError) as error:
            make([param], **options).step()
        messages.append(str(error.value))
    # ours may say more, but begin as torch's do
    assert messages[0].startswith(messages[1])


@pytest.mark.parametrize("name", ["Adagrad", "SGD"])
def test_weight_decay_of_a_sparse_gradient_is_refused_before_anything_moves(name):
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    params[0].grad, params[1].grad = torch.ones(3), torch.ones(3).to_sparse()
    optimizer = getattr(foreach, name)(params, weight_decay=0.1)
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse gradients"):
        optimizer.step()
    assert all(torch.equal(param, torch.ones(3)) for param in params)


def test_lion_refuses_sparse_gradients():
    param = torch.nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="Lion does not support sparse gradients"):
        foreach.Lion([param]).step()
