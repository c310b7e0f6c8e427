"""update_bn: statistics of all batches, every form of a batch, and nothing else changed, whatever happens."""

import pytest
import torch
from optbench.impls.common.swa_utils.update_bn import update_bn
from torch import nn
from torch.optim import swa_utils as theirs


def model():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.0), nn.BatchNorm1d(4, momentum=0.3))
    layers[1].running_mean.fill_(7.0)
    layers[0].eval()
    layers[3].eval()
    return layers


def batches(count=3):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(5, 3, generator=generator) for _ in range(count)]


def statistics(layers):
    return {name: value.clone() for name, value in layers.named_buffers()}


def flags(layers):
    return [module.training for module in layers.modules()], [layers[1].momentum, layers[3].momentum]


@pytest.mark.parametrize(
    "form", [lambda x: x, lambda x: (x, 1), lambda x: [x, None], lambda x: (x,)], ids=["tensor", "pair", "list", "one"]
)
def test_statistics_are_the_mean_over_batches(form):
    layers, other = model(), model()
    before = flags(layers)
    update_bn([form(batch) for batch in batches()], layers, device="cpu")
    assert flags(layers) == before
    # the first normalisation sees the linear map of the inputs
    seen = [other[0](batch) for batch in batches()]
    torch.testing.assert_close(layers[1].running_mean, torch.stack([each.mean(0) for each in seen]).mean(0))
    torch.testing.assert_close(layers[1].running_var, torch.stack([each.var(0) for each in seen]).mean(0))
    theirs.update_bn(batches(), other)
    for name, value in statistics(other).items():
        torch.testing.assert_close(statistics(layers)[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("after", [0, 2])
def test_flags_come_back_where_the_loader_raises(after):
    layers = model()
    before, old = flags(layers), statistics(layers)

    def loader():
        yield from batches(after)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        update_bn(loader(), layers)
    assert flags(layers) == before
    kept = all(torch.equal(value, old[name]) for name, value in statistics(layers).items())
    assert kept == (after == 0)


def test_flags_come_back_where_the_model_raises():
    layers = model()
    before = flags(layers)
    with pytest.raises(RuntimeError):
        update_bn([torch.zeros(5, 99)], layers)
    assert flags(layers) == before


def test_an_empty_loader_leaves_the_statistics():
    layers = model()
    old = statistics(layers)
    update_bn([], layers)
    assert all(torch.equal(value, old[name]) for name, value in statistics(layers).items())


def test_a_model_without_normalisation_is_left_alone():
    layers = nn.Linear(3, 4)
    update_bn(iter(lambda: pytest.fail("the loader was asked"), None), layers)
    assert layers.training


def test_no_graph_is_made():
    layers, outputs = model(), []
    layers.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    update_bn(batches(1), layers)
    assert not outputs[0].requires_grad
