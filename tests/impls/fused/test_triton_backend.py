"""What the Triton backend keeps on the device, and when it makes it anew. Nothing is launched here."""

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from optbench.impls.fused import adam, sgd, triton_backend
from optbench.impls.fused.bucket import Bucket
from optbench.impls.fused.triton_kernels import block_size, kernel_source


class Device:
    """A stream that can be changed and captured, and a count of the copies made on it."""

    def __init__(self):
        self.stream, self.capturing, self.copies = 1, False, []


@pytest.fixture
def device(monkeypatch):
    device = Device()
    upload = triton_backend.Uploader.__call__

    def counting(self, arrays):
        device.copies.append(len(arrays))
        return upload(self, arrays)

    monkeypatch.setattr(triton_backend.Uploader, "__call__", counting)
    monkeypatch.setattr(triton_backend, "_check_device", lambda _: None)
    monkeypatch.setattr(triton_backend, "_stream", lambda _: device.stream)
    monkeypatch.setattr(triton_backend, "_capturing", lambda _: device.capturing)
    return device


def make_bucket(sizes=(5, 2000), rule=adam.RULE, flags=(0, 0, 0, 0), **options):
    count = len(sizes)
    addresses = np.arange(1, 1 + (2 + len(rule.state)) * count, dtype=np.int64).reshape(-1, count) * 4096
    addresses[[False, False, *(not present for present in rule.present(flags))]] = 0
    facts = {
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "arrays": addresses,
        "numel": np.array(sizes),
        "steps": np.arange(count, dtype=np.int64) * 8 + 64,
        "step_dtype": torch.float32,
        "steps_on_device": False,
        "step_numbers": np.ones(count),
        "hyper": np.full((count, len(rule.hyper)), 0.5),
    }
    return Bucket(rule=rule, flags=flags, **(facts | options))


def move(bucket, by=64, row=1):
    bucket.arrays[row] += by
    bucket.revision += 1


def change_rate(bucket):
    bucket.hyper[:, 0] *= 0.5
    bucket.revision += 1


def test_copies_follow_what_changed(device):
    bucket = make_bucket()
    for _ in range(3):
        tables = triton_backend._tables(bucket)
    change_rate(bucket)
    triton_backend._tables(bucket)
    # records and one block map
    assert device.copies == [2]
    move(bucket)
    triton_backend._tables(bucket)
    assert device.copies == [2, 1]
    assert tables.records.tolist() == [[*column, size, step] for column, size, step in zip(
        bucket.arrays.T.tolist(), bucket.numel.tolist(), bucket.steps.tolist(), strict=True
    )]  # fmt: skip


def test_rates_are_copied_only_for_the_device_to_prepare_with(device):
    bucket = make_bucket(steps_on_device=True)
    triton_backend._tables(bucket)
    change_rate(bucket)
    tables = triton_backend._tables(bucket)
    assert device.copies == [3, 2]
    assert tables.hyper.tolist() == bucket.hyper.tolist()


def test_another_stream_gets_tables_of_its_own(device):
    bucket = make_bucket()
    first = triton_backend._tables(bucket).records
    device.stream = 2
    second = triton_backend._tables(bucket).records
    assert device.copies == [2, 2]
    assert first.data_ptr() != second.data_ptr()


def test_a_capture_gets_tables_of_its_own_and_leaves_none(device):
    bucket = make_bucket(steps_on_device=True)
    triton_backend._tables(bucket)
    device.capturing = True
    captured = triton_backend._tables(bucket).records
    device.capturing = False
    after = triton_backend._tables(bucket).records
    assert device.copies == [3, 3, 3]
    assert after.data_ptr() != captured.data_ptr()


class Launches:
    """Kernels that only count."""

    def __init__(self):
        self.made = []

    def __getattr__(self, name):
        return {(grid,): lambda *_, launch=(name, grid), **__: self.made.append(launch) for grid in range(1, 9)}


def test_a_step_prepared_on_the_device_is_two_launches_and_one_copy(device, monkeypatch):
    launches = Launches()
    monkeypatch.setattr(triton_backend, "kernels", lambda rule: launches)
    monkeypatch.setattr(triton_backend, "_options", dict)
    bucket = make_bucket(steps_on_device=True)
    for device.capturing in (False, True):
        triton_backend.update(bucket, triton_backend.prepare(bucket))
    programs = len(triton_backend._tables(bucket).launches[0][1])
    assert launches.made == [("prepare_kernel", 1), ("update_kernel", programs)] * 2
    assert device.copies == [3, 3, 3]


def test_programs_cover_each_tensor_once_and_split_by_alignment(device):
    aligned, unaligned = block_size(4, True), block_size(4, False)
    sizes = (1, aligned, aligned + 1, unaligned + 1)
    bucket = make_bucket(sizes)
    bucket.arrays[3, 3] += 4
    launches = {kind: programs.tolist() for kind, programs in triton_backend._tables(bucket).launches}
    assert launches == {True: [[0, 0], [1, 0], [2, 0], [2, 1]], False: [[3, 0], [3, 1]]}
    # the tensor moves to where it is aligned
    move(bucket, by=-4 * np.array([0, 0, 0, 1]), row=3)
    launches = {kind: programs.tolist() for kind, programs in triton_backend._tables(bucket).launches}
    assert launches == {True: [[0, 0], [1, 0], [2, 0], [2, 1], [3, 0], [3, 1]][: 4 + -(-sizes[3] // aligned)]}


def test_a_rule_without_stored_steps_hands_over_their_numbers(device):
    bucket = make_bucket(rule=sgd.RULE, flags=(1, 0, 0, 0), step_numbers=np.array([1.0, 2.0]))
    records = triton_backend._tables(bucket).records
    assert records[:, -1].clone().view(torch.float64).tolist() == [1.0, 2.0]


@pytest.mark.skipif(triton_backend._INTERPRETED, reason="the interpreter may read CPU tensors")
def test_cpu_tensors_need_the_interpreter():
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET"):
        triton_backend.update(make_bucket(), np.ones((2, 7)))


def test_kernels_name_every_array_and_refuse_their_own_names():
    source = kernel_source(adam.RULE)
    for name in (*adam.RULE.state, *adam.RULE.scalars):
        assert f"    {name} = load_" in source
    rule = type(adam.RULE)(**(vars(adam.RULE) | {"hyper": ("lr", "offset")}))
    with pytest.raises(ValueError, match="offset"):
        kernel_source(rule)
