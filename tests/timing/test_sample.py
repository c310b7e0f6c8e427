"""Which elements are judged, and that reading and writing them is exact in every layout."""

import torch

from optbench.timing.sample import Sample


def test_small_problems_are_judged_whole() -> None:
    tensors = [torch.arange(6.0).view(2, 3), torch.tensor(7.0), torch.zeros(0), torch.arange(4.0)]
    sample = Sample(tensors, limit=100)
    assert sample.read(tensors).tolist() == [0, 1, 2, 3, 4, 5, 7, 0, 1, 2, 3]


def test_ends_and_block_edges_are_always_among_the_judged() -> None:
    count = 100_003
    position = torch.arange(count, dtype=torch.float64)
    chosen = set(Sample([position], limit=200, seed=5).read([position]).long().tolist())
    edges = {0, 1, count - 2, count - 1, 63, 64, 1023, 1024, 4095, 4096, 65535, 65536, count - count % 1024 - 1}
    assert edges <= chosen and 150 <= len(chosen) <= 200
    other = set(Sample([position], limit=200, seed=6).read([position]).long().tolist())
    assert chosen != other and edges <= other


def test_every_tensor_of_a_mixture_is_judged() -> None:
    tensors = [torch.full((50_000,), 1.0), torch.full((3, 5), 2.0), torch.full((), 3.0), torch.full((9, 1000), 4.0)]
    values = Sample(tensors, limit=500).read(tensors)
    assert set(values.tolist()) == {1.0, 2.0, 3.0, 4.0}


def test_writing_reaches_the_same_elements_in_any_layout() -> None:
    base = torch.zeros(40, 60)
    for tensor in (base.clone(), base.t().clone().t(), torch.zeros(40, 120)[:, ::2]):
        other = torch.zeros(7)
        sample = Sample([tensor, other], limit=120, seed=1)
        values = torch.arange(1, len(sample.read([tensor, other])) + 1, dtype=torch.float64)
        sample.write([tensor, other], values)
        assert torch.equal(sample.read([tensor, other]), values)
        assert int((tensor != 0).sum() + (other != 0).sum()) == len(values)


def test_writing_a_whole_problem_in_its_own_dtype() -> None:
    tensors = [torch.zeros(3, dtype=torch.bfloat16, requires_grad=True), torch.zeros((), dtype=torch.bfloat16)]
    Sample(tensors, limit=10).write(tensors, torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64))
    assert tensors[0].tolist() == [1.0, 2.0, 3.0] and tensors[1].item() == 4.0


def test_complex_elements() -> None:
    tensor = torch.randn(1000, dtype=torch.complex64)
    sample = Sample([tensor], limit=50)
    values = sample.read([tensor])
    assert values.dtype is torch.complex128
    sample.write([tensor], -values)
    assert torch.equal(sample.read([tensor]), -values)
