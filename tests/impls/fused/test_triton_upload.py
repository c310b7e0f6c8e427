"""The copies of small tables to a GPU, with a CUDA that only keeps account of itself."""

import types

import numpy as np
import pytest
import torch
from optbench.impls.fused import triton_upload
from optbench.impls.fused.triton_upload import Uploader

ARRAYS = [np.arange(3, dtype=np.int64), np.arange(10, dtype=np.int32).reshape(5, 2), np.full((2, 2), 0.1)]


class FakeCuda:
    """Stands in for torch where a Uploader looks for it. Events are done only once they are waited for."""

    uint8 = torch.uint8
    int32, int64, float32, float64 = torch.int32, torch.int64, torch.float32, torch.float64

    def __init__(self):
        self.capturing = False
        self.pinned = []
        self.waited = 0
        self.cuda = types.SimpleNamespace(Event=self.event, is_current_stream_capturing=lambda: self.capturing)

    def event(self):
        def synchronize():
            self.waited += 1

        return types.SimpleNamespace(record=lambda: None, synchronize=synchronize)

    def empty(self, size, dtype, device=None, pin_memory=False):
        if pin_memory and self.capturing:
            raise RuntimeError("operation not permitted when stream is capturing")
        buffer = torch.empty(size, dtype=dtype)
        if pin_memory:
            self.pinned.append(buffer)
        return buffer


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(triton_upload, "torch", fake)
    monkeypatch.setattr(triton_upload, "_captured", [])
    return fake


def assert_copied(tensors, arrays=ARRAYS):
    assert len(tensors) == len(arrays)
    for tensor, array in zip(tensors, arrays, strict=True):
        assert tensor.data_ptr() % 16 == tensors[0].data_ptr() % 16
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.numpy().dtype == array.dtype


def test_on_the_cpu_arrays_become_tensors_of_their_own():
    arrays = [array.copy() for array in ARRAYS]
    tensors = Uploader(torch.device("cpu"), capturable=False)(arrays)
    for array in arrays:
        array.fill(7)
    assert_copied(tensors)


def test_the_ring_waits_only_for_buffers_it_uses_again(cuda):
    upload = Uploader(types.SimpleNamespace(type="cuda"), capturable=False)
    for turn in range(4):
        assert_copied(upload(ARRAYS))
        assert (len(cuda.pinned), cuda.waited) == (turn + 1, 0)
    for turn in range(9):
        assert_copied(upload(ARRAYS))
        assert (len(cuda.pinned), cuda.waited) == (4, turn + 1)
    assert len({upload._slot(1)[0].data_ptr() for _ in range(4)}) == 4


def test_a_ring_buffer_grows(cuda):
    upload = Uploader(types.SimpleNamespace(type="cuda"), capturable=False)
    large = [np.arange(1000.0)]
    for arrays in [ARRAYS] * 4 + [large] * 5:
        assert_copied(upload(arrays), arrays)
    assert len(cuda.pinned) == 8


def test_a_capture_owns_its_buffers(cuda):
    upload = Uploader(types.SimpleNamespace(type="cuda"), capturable=True)
    upload(ARRAYS)
    cuda.capturing = True
    captured = upload(ARRAYS)
    cuda.capturing = False
    ((pinned, device),) = triton_upload._captured
    before = pinned.clone()
    for _ in range(9):
        upload([-array for array in ARRAYS])
    assert all(buffer is not pinned for buffer, _ in upload.ring)
    assert torch.equal(pinned, before)
    assert device.untyped_storage().data_ptr() == captured[0].untyped_storage().data_ptr()
    assert_copied(captured)
    # The next capture finds a buffer, too.
    cuda.capturing = True
    assert_copied(upload(ARRAYS))
    assert len({buffer.data_ptr() for buffer, _ in triton_upload._captured}) == 2
