"""Sparse gradients hold some rows, the same values in every layout."""

from __future__ import annotations

import pytest
import torch

from optbench.trials import sparse
from optbench.trials.problem import LAYOUTS, generator


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "expanded_grad"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (5,), (6, 3), (4, 2, 3)])
def test_every_layout_holds_the_same_values(shape: tuple[int, ...], layout: str) -> None:
    grad = sparse.some_rows(torch.randn(shape, dtype=torch.float64), generator("rows"))
    assert torch.equal(sparse.placed(grad, layout).to_dense(), grad.to_dense())


def test_layouts_are_what_they_are_for() -> None:
    grad = sparse.some_rows(torch.ones(6, 3, dtype=torch.float64), generator("rows"))
    assert 0 < grad.indices().shape[1] < 6
    assert not sparse.placed(grad, "strided").is_coalesced()
    assert sparse.placed(grad, "grad_unlike").sparse_dim() == 2
    assert sparse.placed(grad, "expanded_grad")._values().stride()[-1] == 0


def test_a_placed_gradient_shares_nothing_with_the_oracles() -> None:
    grad = sparse.some_rows(torch.ones(4, 3, dtype=torch.float64), generator("rows"))
    for layout in LAYOUTS:
        assert sparse.placed(grad, layout)._values().data_ptr() != grad.values().data_ptr()


def test_memory_is_shared_by_what_holds_the_same_values() -> None:
    rows = torch.sparse_coo_tensor([[0, 2]], torch.ones(2, 3), (4, 3), check_invariants=False).coalesce()
    assert sparse.share_memory(rows, rows.detach()) and sparse.share_memory(rows.values()[:1], rows)
    assert not sparse.share_memory(rows, rows.clone())
    assert not sparse.share_memory(rows, 3.0) and not sparse.share_memory(rows, None)
    assert not sparse.share_memory(torch.ones(0), torch.ones(0))
