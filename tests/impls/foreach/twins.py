"""One of our optimizers and torch's, on the same parameters and gradients."""

import copy

import torch
from optbench.impls import foreach


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + sum(shape)))


def stream(values, steps=5, seed=1):
    """Rows of dense gradients, one row a step."""
    return [
        [normal(*value.shape, dtype=value.dtype, seed=seed + 100 * step + place) for place, value in enumerate(values)]
        for step in range(steps)
    ]


def parameters(values):
    return [torch.nn.Parameter(value.clone(memory_format=torch.preserve_format)) for value in values]


def flat(optimizer):
    return [param for group in optimizer.param_groups for param in group["params"]]


def train(optimizer, rows):
    for row in rows:
        for param, grad in zip(flat(optimizer), row, strict=True):
            param.grad = grad
        optimizer.step()
    return optimizer


def assert_same(found, expected, rtol=1e-12, atol=1e-12):
    """Parameters and state agree; keys, their order, types, dtypes and shapes are the same."""
    tolerance = {"rtol": rtol, "atol": atol, "equal_nan": True}
    for mine, its in zip(flat(found), flat(expected), strict=True):
        torch.testing.assert_close(mine, its, **tolerance)
    mine, its = found.state_dict(), expected.state_dict()
    assert [list(group) for group in mine["param_groups"]] == [list(group) for group in its["param_groups"]]
    assert list(mine["state"]) == list(its["state"])
    for key, entry in mine["state"].items():
        assert list(entry) == list(its["state"][key])
        for name, value in entry.items():
            other = its["state"][key][name]
            assert type(value) is type(other), name
            torch.testing.assert_close(value, other, **tolerance)


def check(name, values, rows, rtol=1e-12, atol=1e-12, **options):
    """Our steps against torch's, on the same gradients, which must not change."""
    given = [grad for row in rows for grad in row if grad is not None]
    kept = [(grad._version, grad.is_sparse and grad.is_coalesced(), grad.clone()) for grad in given]
    theirs = train(getattr(torch.optim, name)(parameters(values), **options), copy.deepcopy(rows))
    ours = train(getattr(foreach, name)(parameters(values), **options), rows)
    for grad, (version, coalesced, value) in zip(given, kept, strict=True):
        assert grad._version == version and (grad.is_sparse and grad.is_coalesced()) == coalesced
        assert torch.equal(grad.to_dense(), value.to_dense())
    assert_same(ours, theirs, rtol, atol)
    return ours


def check_interchange(name, values, rows, rtol=1e-12, atol=1e-12, **options):
    """A run begun by one and resumed by the other ends as if nothing had happened."""
    half = len(rows) // 2
    for first, second in ((torch.optim, foreach), (foreach, torch.optim), (foreach, foreach)):
        begun = train(getattr(first, name)(parameters(values), **options), rows[:half])
        resumed = getattr(second, name)(parameters([param.detach() for param in flat(begun)]), **options)
        resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
        assert_same(train(resumed, rows[half:]), train(begun, rows[half:]), rtol, atol)


def check_copy_goes_on_alone(name, values, rows, duplicate, **options):
    half = len(rows) // 2
    original = train(getattr(foreach, name)(parameters(values), **options), rows[:half])
    twin = duplicate(original)
    before = [param.detach().clone() for param in flat(original)]
    train(twin, rows[half:])
    assert all(torch.equal(param, value) for param, value in zip(flat(original), before, strict=True))
    assert_same(train(original, rows[half:]), twin, 0, 0)


def check_versions(name, values, row, **options):
    """A step raises the parameters' versions and leaves those of the gradients."""
    optimizer = getattr(foreach, name)(parameters(values), **options)
    for param, grad in zip(flat(optimizer), row, strict=True):
        param.grad = grad
    before = [param._version for param in flat(optimizer)]
    optimizer.step()
    assert all(param._version > version for param, version in zip(flat(optimizer), before, strict=True))
    assert all(param.grad is grad and grad._version == 0 for param, grad in zip(flat(optimizer), row, strict=True))


def refusal(make, value, grad, **options):
    """What a step says when it refuses a gradient, or None."""
    param = torch.nn.Parameter(value)
    param.grad = grad
    try:
        make([param], **options).step()
    except (RuntimeError, ValueError) as error:
        return type(error), str(error)
    return None
