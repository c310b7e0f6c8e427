"""The roof touches every element, leaves everything as it was, and is only raised where memory is the limit."""

import numpy as np
import pytest
import torch

from optbench.timing import device, roof
from optbench.timing.roof import HostRoof, applies


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 5000])
@pytest.mark.parametrize("written", [1, 3, 5])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_two_sweeps_restore_and_one_touches_everything(length: int, written: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    read = rng.integers(1, 1 << 60, length)
    arrays = [rng.integers(1, 1 << 60, length) for _ in range(written)]
    before = [array.copy() for array in arrays]
    raised = HostRoof(read, arrays, threads)
    assert raised.bytes_per_step == 2 * 8 * length * (1 + 2 * written)
    raised.step()
    assert all((array == old).all() for array, old in zip(arrays, before, strict=True))
    # Once more for the single sweep that a step makes twice.
    for start, stop in raised._parts:
        raised._kernel(*raised._arrays, start, stop)
    assert all((array == old ^ read).all() for array, old in zip(arrays, before, strict=True))
    raised.close()


def test_where_it_applies() -> None:
    assert not applies(63 << 20, 32 << 20)
    assert applies(64 << 20, 32 << 20)


def test_the_workloads_own_memory_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cache_bytes", lambda: 1 << 10)
    arrays = [torch.full((5000,), float(i)) for i in range(4)]
    raised = device.roof("cpu", arrays, 4, 4 * arrays[0].nbytes, 2)
    assert isinstance(raised, HostRoof)
    assert raised._arrays[0].ctypes.data == arrays[0].data_ptr()
    assert [array.ctypes.data for array in raised._arrays[1]] == [array.data_ptr() for array in arrays[1:]]
    raised.step()
    assert all((array == i).all() for i, array in enumerate(arrays))
    raised.close()


def test_many_tensors_are_swept_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cache_bytes", lambda: 1 << 10)
    raised = device.roof("cpu", [], 3, 1 << 16, 1)
    assert isinstance(raised, HostRoof) and len(raised._arrays[1]) == 2
    assert raised.bytes_per_step == pytest.approx(2 * (1 << 16) * 5 / 3, rel=0.01)
    assert device.roof("cpu", [], 3, 1 << 10, 1) is None
    raised.close()


def test_a_folder_that_cannot_be_written_costs_the_cache_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    plain = numba.njit

    def refusing(cache: bool = False, **options: bool) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    monkeypatch.setattr(numba, "njit", refusing)
    roof._compiled.cache_clear()
    try:
        read, array = np.full(600, 3), np.full(600, 5)
        raised = HostRoof(read, [array], 1)
        raised._kernel(*raised._arrays, 0, 600)
        assert (array == 6).all()
    finally:
        roof._compiled.cache_clear()
