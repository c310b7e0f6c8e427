"""The table of deviations as a Markdown page, written for those who maintain torch.optim."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from . import formats

Row = Mapping[str, Any]
_WIDTH = 110
_CONVENTION = "convention"


def render(rows: Sequence[Row], meanings: Mapping[str, str], torch: str) -> str:
    """Findings by severity, each with its script and what proves it; conventions, which are none, at the end.

    Args:
        rows: fields of `optbench.deviations.Deviation`, with the `command` that shows each.
        meanings: effect -> what it means, the worst first.
        torch: the version that the scripts were written for.

    Example:
        >>> print(render([], {}, "2.13").splitlines()[0])
        # torch.optim 2.13 on a CPU: 0 findings
    """
    by_effect = {effect: [row for row in rows if row["effect"] == effect] for effect in meanings}
    conventions = by_effect.pop(_CONVENTION, [])
    found = {effect: members for effect, members in by_effect.items() if members}
    findings = [row for members in found.values() for row in members]
    blocks = [*_head(findings, conventions, torch), *_contents(found, meanings, conventions)]
    for effect, members in found.items():
        blocks.append(f"## {_sentence(effect)}")
        blocks += [_entry(row, "What proves it.") for row in members]
    if conventions:
        blocks += ["## Conventions", _paragraph(
            "Differences that nobody is wrong about: torch documents the limit, or chose otherwise. They stand here "
            "because a law sees them, and are no findings."
        )]  # fmt: skip
        blocks += [_entry(row, "Why it is none.") for row in conventions]
    return "\n\n".join(blocks) + "\n"


def _head(findings: Sequence[Row], conventions: Sequence[Row], torch: str) -> list[str]:
    known = sum(bool(row["upstream"]) for row in findings)
    return [
        f"# torch.optim {torch} on a CPU: {formats.plural(len(findings), 'finding')}",
        _paragraph(
            "Each finding is one root cause, met by a law of optbench on one of torch's own paths. "
            f"{known} of them are known upstream by an issue or a pull request about the very thing; of the others a "
            f"search found none. {formats.plural(len(conventions), 'difference')} of convention stand at the end."
        ),
        _paragraph(
            f"The scripts are plain torch, at most ten lines, and assert what torch does: written for torch {torch} "
            "(CPU build, x86-64, Python 3.11), and run by CI. A script that fails has been fixed upstream."
        ),
        "```sh\n"
        "optbench show D-005                                 # one of them\n"
        "python -m pytest tests/test_deviations.py           # all scripts\n"
        "python -m pytest tests/test_deviations.py -m slow   # all commands\n"
        "```",
        _paragraph(
            "The command below each shows the law that sees it, on cases made from the options that the algorithm has. "
            "“Ours” are the three implementations that optbench ships, which keep every law."
        ),
    ]


def _contents(found: Mapping[str, Sequence[Row]], meanings: Mapping[str, str], last: Sequence[Row]) -> list[str]:
    """A table of effects, then a list of findings for each."""
    table = ["| effect | | |", "|---|---|---:|"]
    table += [f"| {effect} | {meanings[effect]} | {len(members)} |" for effect, members in found.items()]
    blocks = ["## Contents", "\n".join(table)]
    for effect, members in {**found, "conventions": last}.items():
        if members:
            blocks.append(f"**{_sentence(effect)}**")
            blocks.append("\n".join(map(_line, members)))
    return blocks


def _line(row: Row) -> str:
    names = row["subjects"].split()
    about = "all optimizers" if names == ["*"] else ", ".join(names) if len(names) <= 4 else f"{len(names)} algorithms"
    return f"- [{row['id']}](#{row['id'].lower()}) {about}: {_text(row['torch_does'])}"


def _entry(row: Row, why: str) -> str:
    where = f"`{row['subjects']}` in `{row['implementations']}`"
    seen = ", ".join(f"`{law}`" for law in row["laws"].split())
    return "\n\n".join(
        (
            f'<a id="{row["id"].lower()}"></a>',
            f"### {row['id']}: {_text(row['torch_does'])}",
            f"**{_sentence(row['effect'])}** · {where} · {_upstream(row['upstream'])}",
            f"```python\n{row['script'].rstrip()}\n```",
            _paragraph(f"**{why}** {_text(' '.join(row['proof'].split()))}"),
            _paragraph(f"**Ours.** {_sentence(_text(row['ours']))}."),
            f"**Seen by** {seen}:",
            f"```sh\n{row['command']}\n```",
        )
    )


def _upstream(issues: str) -> str:
    if not issues:
        return "not found upstream"
    return ", ".join(
        f"[{issue}](https://github.com/pytorch/pytorch/issues/{issue.partition('#')[2]})" for issue in issues.split()
    )


def _sentence(text: str) -> str:
    """With a capital, where it begins with a plain word."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+[ ,:]|[a-z]+$", text) else text


def _text(text: str) -> str:
    """Prose that Markdown would read as emphasis or as HTML, escaped; underscores within words are safe."""
    return re.sub(r"([*<\\`]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
