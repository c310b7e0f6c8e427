"""What a calibration leaves for later runs, and to which of them it speaks."""

from pathlib import Path
from typing import Any

import pytest

from optbench.runs import trust

HERE = {"machine": "abc", "torch": "2.13.0", "torch_threads": 2, "device": "cpu", "time": "2026-01-02T03:04:05Z",
        "load_average": [0.1, 0.2, 0.3], "commit": "f" * 40}  # fmt: skip
CURVE = {"workload": "100x64", "errors": [0.01, None], "trusted": False}


def test_a_later_run_here_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert trust.recall(HERE, home) is None
    trust.keep(HERE, [CURVE], home)
    later = {**HERE, "time": "2027-01-02T03:04:05Z", "load_average": [9.0, 9.0, 9.0], "commit": "0" * 40}
    assert trust.recall(later, home) == {"time": HERE["time"], "load_average": [0.1, 0.2, 0.3], "curves": [CURVE]}


@pytest.mark.parametrize("name", ["machine", "torch", "torch_threads", "device"])
def test_runs_elsewhere_are_not(tmp_path: Path, name: str) -> None:
    trust.keep(HERE, [CURVE], tmp_path)
    assert trust.recall({**HERE, name: "other"}, tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "optbench.calibration/1"}', '{"schema": "other"}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / trust.FILE).write_text(text)
    assert trust.recall(HERE, tmp_path) is None


def test_the_last_one_counts(tmp_path: Path) -> None:
    trust.keep(HERE, [CURVE], tmp_path)
    trust.keep(HERE, [{**CURVE, "trusted": True}], tmp_path)
    found: Any = trust.recall(HERE, tmp_path)
    assert found["curves"][0]["trusted"] is True
