"""The page of deviations: made-up rows, since what counts is what becomes of them."""

import re

from optbench.reports.deviations import render

MEANINGS = {"wrong result": "a wrong number", "raises": "an exception", "convention": "no finding"}


def row(id, effect, **fields):
    given = {
        "id": id, "effect": effect, "subjects": "sgd adam", "laws": "opt.oracle opt.pure",
        "implementations": "torch-fused", "torch_does": "it does a*b and _c", "ours": "nothing is lost",
        "proof": "Its own\nloop says 1 < 2.", "script": "import torch\nassert 2**2 == 4\n", "upstream": "",
        "command": "optbench check --algo sgd",
    }  # fmt: skip
    return {**given, **fields}


ROWS = [
    row("D-001", "convention"),
    row("D-002", "raises"),
    row("D-003", "wrong result", upstream="pytorch#12 pytorch#34"),
]


def test_findings_stand_by_severity_and_conventions_apart():
    page = render(ROWS, MEANINGS, "2.13")
    assert page.startswith("# torch.optim 2.13 on a CPU: 2 findings\n")
    assert re.findall(r"^## (.*)|^### (D-\d+)", page, re.M) == [
        ("Contents", ""), ("Wrong result", ""), ("", "D-003"), ("Raises", ""), ("", "D-002"), ("Conventions", ""),
        ("", "D-001"),
    ]  # fmt: skip
    assert "| raises | an exception | 1 |" in page and "| convention |" not in page
    assert page.count("**What proves it.**") == 2 and page.count("**Why it is none.**") == 1


def test_an_entry_tells_what_a_maintainer_asks():
    page = render(ROWS, MEANINGS, "2.13")
    entry = page[page.index('<a id="d-003"></a>') : page.index("## Raises")]
    assert "```python\nimport torch\nassert 2**2 == 4\n```" in entry
    assert "[pytorch#12](https://github.com/pytorch/pytorch/issues/12), [pytorch#34](" in entry
    assert "`sgd adam` in `torch-fused`" in entry
    assert "**Seen by** `opt.oracle`, `opt.pure`:\n\n```sh\noptbench check --algo sgd\n```" in entry
    assert "not found upstream" not in entry and "not found upstream" in page


def test_links_of_the_contents_meet_an_anchor():
    page = render(ROWS, MEANINGS, "2.13")
    assert re.findall(r"\]\(#([^)]*)\)", page) == ["d-003", "d-002", "d-001"]
    assert sorted(re.findall(r'<a id="(.*)"></a>', page)) == ["d-001", "d-002", "d-003"]


def test_prose_is_not_read_as_markup():
    page = render(ROWS, MEANINGS, "2.13")
    assert "it does a\\*b and \\_c" in page and "Its own loop says 1 \\< 2." in page


def test_one_finding_is_counted_as_one():
    assert render(ROWS[1:2], MEANINGS, "2.13").startswith("# torch.optim 2.13 on a CPU: 1 finding\n")
    assert "## Conventions" not in render(ROWS[1:], MEANINGS, "2.13")
