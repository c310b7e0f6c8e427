"""update_bn: exact statistics, every form of a batch, and all that it changes put back."""

import pytest
import torch
from optbench.reference.swa_utils import update_bn
from torch import nn
from torch.optim import swa_utils as torchs


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.3), nn.Dropout(0.5))
        self.head = nn.BatchNorm1d(4, momentum=None)
        self.plain = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x):
        assert not torch.is_grad_enabled()
        return self.plain(self.head(self.body[:2](x)))


def make(seed=0):
    torch.manual_seed(seed)
    net = Net().to(torch.float64)
    # Not what any training step would leave.
    net.body[1].running_mean.fill_(7.0)
    net.body[1].num_batches_tracked.fill_(3)
    # A frozen layer in a model that trains, and the other way round.
    net.train()
    net.body.eval()
    net.body[1].train()
    return net


def batches(count=4):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(5 + index, 3, generator=generator, dtype=torch.float64) for index in range(count)]


def flags(net):
    return [(name, module.training, getattr(module, "momentum", "none")) for name, module in net.named_modules()]


FORMS = {
    "tensor": lambda batch: batch,
    "tuple": lambda batch: (batch, torch.zeros(1)),
    "list": lambda batch: [batch, torch.zeros(1), "more"],
}


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("form", FORMS)
def test_statistics_are_means_over_the_batches(form, device):
    net, theirs = make(), make()
    before = flags(net)
    loader = [FORMS[form](batch) for batch in batches()]
    update_bn(iter(loader), net, device)
    assert flags(net) == before
    outputs = [net.body[0](batch).detach() for batch in batches()]
    layer = net.body[1]
    torch.testing.assert_close(layer.running_mean, sum(each.mean(0) for each in outputs) / 4, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(layer.running_var, sum(each.var(0) for each in outputs) / 4, rtol=1e-13, atol=1e-15)
    assert layer.num_batches_tracked == 4
    torchs.update_bn(loader, theirs, device)
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[key])


@pytest.mark.parametrize("good", [0, 2])
def test_all_is_put_back_when_the_loader_raises(good):
    net = make()
    before = flags(net)
    statistics = {key: value.clone() for key, value in net.state_dict().items()}

    def loader():
        yield from batches(good)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        update_bn(loader(), net)
    assert flags(net) == before
    if not good:
        assert all(torch.equal(value, statistics[key]) for key, value in net.state_dict().items())


def test_all_is_put_back_when_the_model_raises():
    net = make()
    before = flags(net)
    with pytest.raises(RuntimeError):
        update_bn([torch.zeros(2, 99, dtype=torch.float64)], net)
    assert flags(net) == before


def test_an_empty_loader_leaves_the_statistics():
    net, theirs = make(), make()
    statistics = {key: value.clone() for key, value in net.state_dict().items()}
    update_bn([], net)
    assert all(torch.equal(value, statistics[key]) for key, value in net.state_dict().items())
    torchs.update_bn([], theirs)
    # torch resets them.
    assert theirs.body[1].running_mean.tolist() == [0.0] * 4


def test_a_model_without_such_layers_is_not_called():
    def loader():
        raise AssertionError("asked for a batch")
        yield

    update_bn(loader(), nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
