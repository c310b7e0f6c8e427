"""What is compiled is noticed, whoever compiles; nothing else is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numba
import pytest
import torch

from optbench.trials import compilations


def test_numba_is_noticed_once_for_each_kernel() -> None:
    @numba.njit
    def double(x: float) -> float:
        return 2 * x

    with compilations.noticed() as first:
        assert double(1.5) == 3.0
    with compilations.noticed() as second:
        assert double(2.5) == 5.0
    with compilations.noticed() as other_type:
        assert double(3) == 6
    assert (first, second, other_type) == (["numba"], [], ["numba"])


def test_what_lies_on_disk_is_noticed_too(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "kernel.py"
    source.write_text("import numba\n\n@numba.njit(cache=True)\ndef triple(x):\n    return 3 * x\n")
    for _ in range(2):
        space: dict[str, Any] = {"__name__": "kernel", "__file__": str(source)}
        exec(compile(source.read_text(), str(source), "exec"), space)
        with compilations.noticed() as compilers:
            assert space["triple"](2.0) == 6.0
        assert compilers == ["numba"]


def test_triton_is_noticed_and_an_earlier_hook_still_called(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def earlier(**named: Any) -> bool:
        told.append(named)
        return True

    knobs = SimpleNamespace(runtime=SimpleNamespace(jit_post_compile_hook=earlier))
    monkeypatch.setitem(__import__("sys").modules, "triton.knobs", knobs)
    with compilations.noticed() as compilers:
        assert knobs.runtime.jit_post_compile_hook(key="k") is True
    assert (compilers, told) == (["triton"], [{"key": "k"}])
    assert knobs.runtime.jit_post_compile_hook is earlier


def test_dynamo_is_noticed() -> None:
    compiled = torch.compile(lambda x: x + 1, backend="eager")
    with compilations.noticed() as first:
        compiled(torch.ones(2))
    with compilations.noticed() as second:
        compiled(torch.ones(2))
    assert (first, second) == (["torch.compile"], [])
