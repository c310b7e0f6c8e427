"""Figures that are kept: what fails, what is only told, and what cannot be compared."""

from pathlib import Path

import pytest

from optbench.errors import NothingToRun, UsageError
from optbench.runs import kept

ROW = {"dispatched_ops": 12, "launches": 2, "moved_bytes": 1000, "temporary_bytes": 0, "state_bytes": 80}
KEPT = {"adam fused 100x64": {**ROW, "host_calls": 1000}, "sgd fused 100x64": {**ROW, "host_calls": 40}}


def changed(**figures: int) -> list[kept.Change]:
    now = {name: dict(row) for name, row in KEPT.items()}
    now["adam fused 100x64"] |= figures
    return kept.compare(KEPT, now)


def test_the_same_is_no_change() -> None:
    assert changed() == []


@pytest.mark.parametrize("figure", kept.EXACT)
def test_counted_figures_are_exact(figure: str) -> None:
    (change,) = changed(**{figure: ROW[figure] + 1})
    assert (change.verdict, change.figure, change.fails) == ("worse", figure, True)
    if ROW[figure]:
        (change,) = changed(**{figure: ROW[figure] - 1})
        assert (change.verdict, change.fails) == ("better", False)


@pytest.mark.parametrize(
    ("calls", "verdict"), [(1100, None), (1101, "worse"), (900, None), (899, "better"), (12_904, "worse")]
)
def test_host_calls_may_move_a_little(calls: int, verdict: str | None) -> None:
    assert [change.verdict for change in changed(host_calls=calls)] == ([verdict] if verdict else [])


def test_new_and_missing_rows_fail_and_stand_first() -> None:
    now = {"adam fused 100x64": {**KEPT["adam fused 100x64"], "launches": 1}, "lion fused 100x64": dict(ROW)}
    found = kept.compare(KEPT, now)
    assert [(change.row, change.verdict) for change in found] == [
        ("lion fused 100x64", "new"), ("sgd fused 100x64", "gone"), ("adam fused 100x64", "better")
    ]  # fmt: skip
    # What was not asked for is not missed.
    assert not [each for each in kept.compare(KEPT, now, about={("adam", "fused")}) if each.verdict == "gone"]


def test_changes_are_told_in_words() -> None:
    (change,) = changed(launches=3)
    assert str(change) == "adam fused 100x64: launches 2 -> 3, worse"


def test_files_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    kept.write(path, {"torch": "2.13.0", "python": "3.11"}, KEPT)
    assert kept.read(path) == ({"torch": "2.13.0", "python": "3.11"}, KEPT)
    # A row a line, for `git diff`.
    assert sum("host_calls" in line for line in path.read_text().splitlines()) == len(KEPT)


@pytest.mark.parametrize(("text", "says"), [("{", "no JSON"), ('{"schema": "optbench.run/1"}', "holds no figures")])
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UsageError, match=says):
        kept.read(tmp_path / "other.json")
    with pytest.raises(UsageError, match="cannot read"):
        kept.read(tmp_path / "absent.json")


def test_another_torch_cannot_be_compared_and_another_python_only_in_part() -> None:
    here = {"torch": "2.13.0", "python": "3.11"}
    assert kept.comparable(Path("f"), here, here) == kept.FIGURES
    assert kept.comparable(Path("f"), {**here, "python": "3.12"}, here) == kept.EXACT
    with pytest.raises(NothingToRun, match=r"torch 2\.11\.0, and this is torch 2\.13\.0"):
        kept.comparable(Path("f"), {**here, "torch": "2.11.0"}, here)
