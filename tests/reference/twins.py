"""What a drop-in has in common with its twin in torch.optim, beyond its arithmetic."""

import copy
import inspect

import pytest
import torch

from optbench import reference
from tests.reference.support import params_of, snapshot, train


def assert_signature_and_groups(name, param, options):
    def described(module):
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert described(reference) == described(torch.optim)
    ours, theirs = (getattr(module, name)([param], **options) for module in (reference, torch.optim))
    assert list(ours.param_groups[0]) == list(theirs.param_groups[0])
    assert list(ours.defaults) == list(theirs.defaults)
    assert repr(ours) == repr(theirs)


def assert_refused(name, params, options, text, *, nan_is_ours=False):
    """Both refuse, with the same type; ours names the value."""
    with pytest.raises((ValueError, RuntimeError, TypeError)) as ours:
        getattr(reference, name)(params, **options)
    assert text in str(ours.value)
    if not nan_is_ours:
        with pytest.raises(ours.type):
            getattr(torch.optim, name)(params, **options)


def assert_goes_on(name, source, target, params, options, other_options, **tolerance):
    """A checkpoint of `source` goes on in `target`, which was built otherwise, and is not changed by that."""
    first = train(getattr(source, name)(params, **options))
    second = getattr(target, name)(snapshot_params(first), **other_options)
    saved = first.state_dict()
    before = copy.deepcopy(saved["state"])
    second.load_state_dict(saved if target is reference else copy.deepcopy(saved))
    assert set(second.param_groups[0]) == set(getattr(torch.optim, name)(params, **options).param_groups[0])
    train(second, seeds=[4, 5])
    torch.testing.assert_close(saved["state"], before, rtol=0, atol=0)
    train(first, seeds=[4, 5])
    torch.testing.assert_close(snapshot(second), snapshot(first), **tolerance)


def snapshot_params(optimizer):
    return [param.detach().clone() for param in params_of(optimizer)]


def assert_laid_out_alike(ours, theirs):
    """State: keys in their order, shapes, dtypes, strides, devices."""
    for param, their_param in zip(params_of(ours), params_of(theirs), strict=True):
        described, their_described = (
            [(key, value.dtype, value.shape, value.device, value.stride()) for key, value in state.items()]
            for state in (ours.state[param], theirs.state[their_param])
        )
        assert described == their_described
