"""The page: true to the record, self-contained, readable, and safe whatever a record says."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from optbench.reports import render

from optbench.runs.records import Recorder, read
from optbench.runs.results import Measurement, Result
from tests.reports.record_fixture import make

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "br", "hr", "img", "input", "base"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    nodes: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [node for node in self.nodes if isinstance(node, Element)]

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.walk() if element.tag == tag]

    def of_class(self, name: str) -> list[Element]:
        return [element for element in self.walk() if name in element.attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        """All text within, in order, with blanks made one."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for node in self.nodes:
            if isinstance(node, Element):
                yield from node._texts()
            else:
                yield node


class Tree(HTMLParser):
    """Reads a page and refuses tags that are not closed in the order in which they were opened."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(page)
        self.close()
        assert len(self._open) == 1, f"{self._open[-1].tag} is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].nodes.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].nodes.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self._open[-1].nodes.append(data)


def parse(page: str) -> Element:
    return Tree(page).root


def by_id(root: Element) -> dict[str, Element]:
    return {element.attributes["id"]: element for element in root.walk() if "id" in element.attributes}


RECORDS: dict[str, list[dict[str, Any]]] = {
    "both": [make(broken=True)],
    "results only": [make(measurements=False)],
    "measurements only": [make(results=False)],
    "neither": [make(results=False, measurements=False)],
    "no record": [],
    "two machines": [make(("adam",)), make(("adam",), device="cuda", broken=True)],
    "bare": [{"schema": "optbench.run/1"}],
}


@cache
def page_of(name: str) -> str:
    names = {"both": ["run.json"], "two machines": ["cpu.json", "gpu.json"]}
    return render(RECORDS[name], names.get(name, []))


@cache
def root_of(name: str) -> Element:
    return parse(page_of(name))


@pytest.fixture
def root() -> Element:
    return root_of("both")


@pytest.mark.parametrize("name", RECORDS)
def test_every_page_is_sound(name: str) -> None:
    root = root_of(name)
    identifiers = Counter(element.attributes["id"] for element in root.walk() if "id" in element.attributes)
    assert max(identifiers.values(), default=1) == 1, "ids are unique"
    for element in root.walk():
        for target in re.findall(r"(?:^#|url\(#)([^)]+)", element.attributes.get("href", "")):
            assert target in identifiers
        for value in element.attributes.values():
            assert all(target in identifiers for target in re.findall(r"url\(#([^)]+)\)", value))
        for target in element.attributes.get("aria-labelledby", "").split():
            assert target in identifiers
    levels = [int(element.tag[1]) for element in root.walk() if re.fullmatch(r"h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels)), "no level is left out"


@pytest.mark.parametrize("name", RECORDS)
def test_nothing_is_fetched_and_nothing_runs(name: str) -> None:
    page, root = page_of(name), root_of(name)
    assert not any(root.all(tag) for tag in ("script", "link", "iframe", "object", "embed", "img", "base", "form"))
    for element in root.walk():
        for attribute, value in element.attributes.items():
            assert not attribute.startswith("on"), f"{attribute} would run"
            if "//" in value:
                assert (element.tag, attribute) == ("a", "href"), f"{attribute}={value} of <{element.tag}>"
    [style] = root.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert "http://" not in page.replace("http-equiv", "")


def test_the_verdict_comes_first(root: Element) -> None:
    headings = [element for element in root.walk() if re.fullmatch(r"h[1-6]", element.tag)]
    assert headings[0].text == "✗BROKEN: foreach breaks opt.errors in 2 of 1820 cases."
    [header] = root.all("header")
    assert "Context: torch-fused breaks opt.layouts (known, D-007)" in header.text
    assert root_of("results only").all("h1")[0].text.startswith("✓OK: our 4 keep all 14 laws")


def test_an_unfinished_run_is_never_shown_as_kept() -> None:
    record = {**make(("adam",), measurements=False), "finished": None}
    [heading] = parse(render([record])).all("h1")
    assert heading.text.startswith("?")


def test_the_matrix_counts_what_the_record_holds(root: Element) -> None:
    verdict_counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for row in make(broken=True)["results"]:
        verdict_counts[row["subject"], row["law"], row["implementation"]][row["verdict"]] += 1
    matrix = root.of_class("matrix")[0]
    [*_, heads] = matrix.all("thead")[0].all("tr")
    names = [head.text for head in heads.all("th")][2:]
    assert names == [
        "reference", "foreach", "fused", "fused-triton", "torch-forloop", "torch-foreach", "torch-fused",
    ]  # fmt: skip
    for line in matrix.all("tbody")[0].all("tr"):
        law = line.all("th")[0].text
        for name, cell in zip(names, line.all("td")[1:], strict=True):
            verdicts = verdict_counts["adam", law, name]
            checked = verdicts.total() - verdicts["skip"]
            counted = verdicts["fail"] + verdicts["error"] or verdicts["precision"]
            expected = f"{counted}/{checked}" if counted else str(checked)
            assert cell.text.split(" –")[0][2:].strip() == expected, (law, name)
            assert (f"–{verdicts['skip']}" in cell.text) == bool(verdicts["skip"])
            assert ("context" in cell.attributes["class"].split()) == name.startswith("torch")


def test_every_cell_that_does_not_pass_leads_to_its_message_and_command(root: Element) -> None:
    targets = by_id(root)
    marked = [cell for name in ("v-fail", "v-error", "v-precision") for cell in root.of_class(name)]
    cells = [cell for cell in marked if cell.tag == "td"]
    assert len(cells) == 8, "four cells of each of two algorithms"
    for cell in cells:
        [link] = cell.all("a")
        article = targets[link.attributes["href"].removeprefix("#")]
        assert article.tag == "article"
        law, name = link.attributes["aria-label"].partition(":")[0].split(", ")
        assert law in article.text
        assert name in article.text
        assert article.of_class("message")[0].text
        assert f"--impl {name} -k '{law}[" in article.all("pre")[0].text


def test_a_failure_tells_what_it_was_reduced_to(root: Element) -> None:
    article = next(each for each in root.all("article") if "opt.errors" in each.text)
    assert "Appears with lr=-0.25. Likely: illegal argument accepted." in article.text
    codes = [code.text for code in article.all("code")]
    assert "optbench check --impl foreach -k 'opt.errors[1]'" in codes and "assert False, '<b>'" in codes
    assert "See it in plain torch" in [summary.text for summary in article.all("summary")]


def test_a_judged_break_stands_before_context(root: Element) -> None:
    articles = root.of_class("why")
    assert "foreach opt.errors" in articles[0].text
    assert "TypeError: '<' not supported between 'str' and 'int'" in articles[0].text
    assert "judged" in articles[0].attributes["class"].split()
    assert "context" in articles[2].attributes["class"].split()


def test_deviations_are_explained_where_they_are_named(root: Element) -> None:
    targets = by_id(root)
    links = [link for article in root.of_class("why") for link in article.all("a") if link.text == "D-007"]
    assert len(links) == 2
    for link in links:
        assert "pairs elements by memory order" in targets[link.attributes["href"].removeprefix("#")].text
    upstream = [link for link in root.all("a") if link.attributes["href"].startswith("https://")]
    assert {link.attributes["href"] for link in upstream} == {"https://github.com/pytorch/pytorch/issues/0"}


def test_skips_say_why(root: Element) -> None:
    assert "torch's fused path takes real floating-point parameters only" in root.text


def test_every_figure_has_words_and_a_table(root: Element) -> None:
    figures = root.all("figure")
    assert len(figures) == 2 * (1 + 1 + 3), "errors, throughput and three workloads, for two algorithms"
    for figure in figures:
        [svg] = figure.all("svg")
        assert svg.all("title")[0].text
        assert svg.all("desc")[0].text
        assert svg.attributes["role"] == "img"
        [table] = figure.all("table")
        assert len(table.all("tr")) > 3


def test_every_table_has_a_caption_and_heads(root: Element) -> None:
    tables = root.all("table")
    assert tables
    for table in tables:
        assert table.children[0].tag == "caption"
        assert table.children[0].text
        assert all(head.attributes["scope"] for head in table.all("th"))


def test_figures_show_what_the_record_says() -> None:
    record, root = make(broken=True), root_of("both")
    titles = {svg.all("title")[0].text: svg for svg in root.all("svg")}
    ratio = next(svg for svg in root.all("svg") if svg.all("title")[0].text == "Ratio to torch-fused: 1x16M")
    rows = {
        row["implementation"]: row
        for row in record["measurements"]
        if (row["subject"], row["workload"]) == ("adam", "1x16M")
    }
    drawn = ratio.all("g")[0].text
    assert f"▲ {rows['fused']['ratio_to_baseline']:.2f}×" in drawn
    assert f"({rows['fused']['ratio_low']:.2f}–{rows['fused']['ratio_high']:.2f})" in drawn
    assert "baseline" in drawn
    assert "roof 21.6 GB/s" in titles["Throughput of adam against size"].text
    assert "✗ 1.3e6 of 8" in titles["Worst scaled errors of adam"].text


def test_a_bar_ends_where_its_ratio_is() -> None:
    """Twice as fast and half as fast reach equally far from 1, and the roof lies at its own height."""
    from optbench.reports.figures import Scale

    scale = Scale(0.25, 4.0, 100.0, 200.0)
    assert scale(1.0) == pytest.approx(150.0)
    assert scale(2.0) - scale(1.0) == pytest.approx(scale(1.0) - scale(0.5))
    assert (scale(0.001), scale(1e9)) == (100.0, 200.0), "what lies outside stands at the edge"
    assert scale.ticks(6) == [0.5, 1.0, 2.0]


def test_labels_at_the_ends_of_lines_do_not_overlap() -> None:
    from optbench.reports.canvas import spread

    placed = spread([50.0, 50.0, 51.0, 10.0, 99.0], 12.0, 0.0, 100.0)
    ordered = sorted(placed)
    assert all(later - earlier >= 12.0 - 1e-9 for earlier, later in itertools.pairwise(ordered))
    assert placed[3] == 10.0
    assert placed[0] < placed[1] < placed[2] < placed[4] == 99.0


def test_a_refused_measurement_shows_its_reason_and_no_number() -> None:
    root = root_of("both")
    [cell] = root.of_class("refused")
    assert cell.text == "refused: fails the oracle on this workload: param 0 did not move"
    [line] = [line for line in root.all("tr") if cell in line.children]
    assert [child.text for child in line.children] == ["torch-fused", cell.text]
    plain = [table for figure in root.all("figure") for table in figure.all("table")]
    [behind] = [table for table in plain if "refused" in table.text]
    assert ["torch-fused", "–", "", cell.text] in [[node.text for node in line.children] for line in behind.all("tr")]


def test_size_points_are_in_the_curve_and_not_among_the_bars(root: Element) -> None:
    titles = [svg.all("title")[0].text for svg in root.all("svg")]
    assert "Ratio to torch-fused: 1x16M" in titles
    assert not any("1x4M" in title for title in titles)
    curve = next(table for table in root.all("table") if "Throughput in GB/s" in table.text)
    assert [line.all("th")[0].text for line in curve.all("tbody")[0].all("tr")] == ["1K", "16K", "256K", "4M", "16M"]


def test_the_method_tells_noise_and_rounds(root: Element) -> None:
    told = root.of_class("prose")[0].text
    assert "31 rounds" in told
    assert "strayed by up to 2.1%" in told
    assert "baseline: torch-fused" in told


def test_the_record_is_named_and_not_embedded() -> None:
    page = page_of("both")
    assert "run.json" in page
    assert "comparisons" not in page


def test_two_machines_are_told_apart() -> None:
    root = root_of("two machines")
    assert root.all("h1")[0].text == "✗Of 2 runs, 1 broke a law that is judged."
    assert "come from 2 machines" in root.text
    assert "come from" not in parse(render([make((), results=False)] * 2)).text
    assert [element.text for element in root.all("h2")] == ["cpu.json", "gpu.json"]


def test_hostile_text_stays_text() -> None:
    hostile = "</pre></svg><script>alert(1)</script><img src=x onerror=alert(1)> $x$ \\frac &amp; 'q' \"d\" -->"
    record = make(("adam",), broken=True)
    for row in record["results"]:
        if row["implementation"] == "foreach":
            row.update(
                implementation=f"x.py:{hostile}", message=hostile, case=hostile, reproduce=hostile, deviation=hostile
            )
    for row in record["measurements"]:
        row.update(workload=f"{row['workload']} {hostile}", options={hostile: hostile})
        if row["implementation"] == "foreach":
            row.update(implementation=hostile, refused=hostile)
    record["subject"] = hostile
    record["environment"]["cpu"] = record["command"] = hostile
    record["summary"]["sentence"] = hostile
    record["deviations"][hostile] = {"torch_does": hostile, "upstream": "javascript:alert(1)", "script": hostile}
    root = parse(render([record], [hostile]))
    assert not root.all("script")
    assert not root.all("img")
    assert not [link for link in root.all("a") if not link.attributes["href"].startswith(("#", "https://"))]
    assert root.all("h1")[0].text.startswith("✗</pre></svg><script>alert(1)</script>")
    articles = [article.text for article in root.of_class("why")]
    assert any(hostile in text for text in articles)


def test_odd_numbers_and_gaps_do_no_harm() -> None:
    record = make(("adam",))
    for number, row in enumerate(record["results"]):
        row["error_ulp"] = [math.nan, math.inf, 0.0, None, 1e300][number % 5]
        row["cap_ulp"] = [8.0, None, math.inf, 0.0][number % 4]
    for number, row in enumerate(record["measurements"]):
        row["ratio_to_baseline"] = [math.inf, None, 0.0, math.nan][number % 4]
        row["roof_bytes_per_s"] = None
        row["noise_floor"] = None
        row["elements"] = row["elements"] if number % 3 else 0
    del record["coverage"]["adam"]["pairs"]
    record["environment"] = {"device": "cpu"}
    root = parse(render([record]))
    assert len(root.all("figure")) >= 3
    assert "nan" not in root.text.lower().replace("anan", "")


def test_a_single_row_is_a_page(tmp_path: Path) -> None:
    with Recorder("one", "optbench bench", {}, {}, home=tmp_path) as run:
        run.add(Result("opt.pure", "state", "adam", "fused", "numba", True, "float32", "pass", 1))
        run.add(Measurement("sgd", "fused", "numba", "train.py:build", "cpu", "float32", median_s=1e-3))
        path = run.finish({"sentence": "OK: fused keeps 1 law.", "exit_status": 0})
    root = parse(render([read(path)], [str(path)]))
    assert [element.text for element in root.all("h2")][:2] == ["adam", "sgd"]
    assert "1,000" in root.of_class("measured")[0].text


def test_foreign_code_is_named_by_its_class() -> None:
    record = make(("adam",), measurements=False)
    for row in record["results"]:
        row["implementation"] = row["implementation"].replace("foreach", "some/folder/my_adam.py:MyAdam")
    drawn = parse(render([record]))
    assert "MyAdam" in [text.text for text in drawn.all("svg")[0].all("text")]


def test_a_loss_of_precision_beyond_the_cap_is_no_break_in_the_figure() -> None:
    record = make(("adam",), measurements=False)
    for row in record["results"]:
        if (row["implementation"], row["law"], row["verdict"]) == ("fused", "opt.oracle", "pass"):
            row.update(verdict="precision", error_ulp=16.0)
    told = [text.text for text in parse(render([record])).all("svg")[0].all("text")]
    assert "~ 16.0 of 8" in told


def test_the_same_record_gives_the_same_page() -> None:
    assert render([make(broken=True)], ["run.json"]) == page_of("both")


def test_thousands_of_results_stay_small() -> None:
    record = make(("adam", "adamw", "sgd"), measurements=False)
    assert len(record["results"]) > 2500
    for row in record["results"]:
        if row["implementation"] == "torch-fused":
            row.update(verdict="fail", message=f"{row['case']}: " + "wrong " * 500)
    assert len(render([record]).encode()) < 3 << 20


def test_no_torch_is_imported() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'numba', 'triton'): sys.modules[name] = None\n"
        "from tests.reports.record_fixture import make\n"
        "from optbench.reports import render\n"
        "print(len(render([make(('adam',))])) > 10000)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def _palettes(style: str) -> dict[str, dict[str, str]]:
    light, dark, paper = (
        dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    return {"light": light, "dark": dark, "print": paper}


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_and_lines_can_be_told_from_the_paper(scheme: str, root: Element) -> None:
    palette = _palettes(root.all("style")[0].text)[scheme]
    for text in ("ink", "muted", "accent", "good", "bad", "warn"):
        for paper in ("paper", "raised"):
            assert _contrast(palette[text], palette[paper]) >= 4.5, (text, paper)
    assert _contrast(palette["bad"], palette["bad-fill"]) >= 4.5
    assert _contrast(palette["ink"], palette["warn-fill"]) >= 4.5
    for line in [f"s{number}" for number in range(1, 9)] + [f"c{number}" for number in range(1, 5)]:
        assert _contrast(palette[line], palette["paper"]) >= 3, line


def test_figures_take_every_colour_from_the_page(root: Element) -> None:
    for svg in root.all("svg"):
        styles = [element.attributes.get("style", "") for element in svg.walk()]
        assert not [style for style in styles if re.search(r"#[0-9a-f]{6}\b|font-family", style)]
        assert any("var(--ink)" in style for style in styles)
