"""A sheet to draw on in CSS pixels: matplotlib writes the SVG, the page's style sheet decides colours and fonts.

Colours are names of CSS variables ("ink", "s1"): matplotlib gets a stand-in for each, which is replaced by
`var(--name)` in the finished SVG, so that a figure follows the page from light to dark without being drawn twice.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

SERIES = tuple(f"s{number}" for number in range(1, 9))
COLOURS = ("ink", "muted", "grid", "bad", "warn", "paper", "c1", "c2", "c3", "c4", *SERIES)
MARKERS = ("o", "s", "D", "^", "v", "p", "<", ">", "h")

_POINTS_PER_INCH = 72
_STAND_INS = {name: f"#00{number:02x}77" for number, name in enumerate(COLOURS, start=1)}
_VARIABLES = {stand_in: f"var(--{name})" for name, stand_in in _STAND_INS.items()}
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "optbench", "text.parse_math": False, "path.simplify": False}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class Canvas:
    """A figure of `width` x `height` pixels with the origin at its top left.

    Args:
        title: what the figure shows, in a few words; read aloud in place of the picture.
        description: what is to be seen in it.
    """

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width, self.height, self.title, self.description = width, height, title, description
        self._figure = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH))
        self._figure.patch.set_visible(False)
        self._axes: Any = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        # What is drawn later lies above what is there; matplotlib alone would put every line above every bar.
        self._depth = itertools.count(1)

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, width: float = 1.0, dashes: Sequence[float] = ()
    ) -> None:
        style: Any = (0, tuple(dashes)) if dashes else "solid"
        self._axes.plot(
            xs,
            ys,
            color=_STAND_INS[colour],
            linewidth=width,
            linestyle=style,
            solid_capstyle="round",
            clip_on=False,
            zorder=next(self._depth),
        )

    def marks(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: str,
        marker: str = "o",
        size: float = 6,
        hollow: bool = False,
    ) -> None:
        fill = _STAND_INS["paper" if hollow else colour]
        self._axes.plot(
            xs, ys, linestyle="none", marker=marker, markersize=size, color=_STAND_INS[colour], markerfacecolor=fill,
            markeredgewidth=1.3, clip_on=False, zorder=next(self._depth),
        )  # fmt: skip

    def bar(self, left: float, right: float, middle: float, thickness: float, colour: str, alpha: float = 1.0) -> None:
        corner = (min(left, right), middle - thickness / 2)
        shape = Rectangle(
            corner,
            abs(right - left),
            thickness,
            facecolor=_STAND_INS[colour],
            linewidth=0,
            alpha=alpha,
            zorder=next(self._depth),
        )
        self._axes.add_patch(shape)
        shape.set_clip_on(False)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = "ink",
        size: float = 11,
        align: str = "left",
        bold: bool = False,
    ) -> None:
        # On the baseline, a third of the letters' height below y: browsers and matplotlib agree there.
        weight = "bold" if bold else "normal"
        self._axes.text(
            x, y + 0.36 * size, text, color=_STAND_INS[colour], fontsize=size, ha=align, va="baseline", weight=weight
        )

    def svg(self, name: str) -> str:
        """The figure as an SVG element to stand in HTML.

        Args:
            name: unique on the page; every id within the figure begins with it.
        """
        stream = io.StringIO()
        with matplotlib.rc_context(_SETTINGS):
            FigureCanvasSVG(self._figure).print_svg(stream, metadata=_NO_METADATA)
        drawn = stream.getvalue()
        body = drawn[drawn.index(">", drawn.index("<svg")) + 1 : drawn.rindex("</svg>")]
        # A style sheet inside the figure would rule the whole page: the page's own says the same of figures.
        body = re.sub(r"<!--.*?-->|<style.*?</style>", "", body, flags=re.S)
        body = re.sub(r"<[^>]+>", lambda tag: _restyle(tag[0], name), body)
        body = re.sub(r"\s*\n\s*", "\n", body).strip()
        described = (
            f'<title id="{name}-t">{escape(self.title)}</title><desc id="{name}-d">{escape(self.description)}</desc>'
        )
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-labelledby="{name}-t {name}-d" '
            f'style="max-width:{self.width * 1.1:g}px">{described}{body}</svg>'
        )


def _restyle(tag: str, name: str) -> str:
    """One tag with the page's colours and font, and with ids of its own; ids that nothing refers to are dropped."""
    tag = re.sub(r"#00[0-9a-f]{2}77\b", lambda colour: _VARIABLES.get(colour[0], colour[0]), tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = tag.replace("xlink:href", "href").replace(' transform="rotate(-0 ', ' transform="rotate(0 ')
    tag = re.sub(r' transform="rotate\(0 [^"]*\)"', "", tag)
    if re.match(r"<(g|text)\b", tag):
        tag = re.sub(r' id="[^"]*"', "", tag)
    return re.sub(r'( id="|href="#|url\(#)', lambda found: f"{found[1]}{name}-", tag)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in the same order, at least `gap` apart and within [low, high] if they fit.

    Example:
        >>> spread([10.0, 11.0], 12.0, 0.0, 100.0)
        [4.5, 16.5]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Blocks of labels that touch: each is centred on the mean of what its labels want.
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _top(blocks[-1], wanted, gap, low, high) < _end(blocks[-2], wanted, gap, low, high):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = [0.0] * len(wanted)
    for block in blocks:
        top = _top(block, wanted, gap, low, high)
        for index, offset in zip(block, itertools.count(), strict=False):
            placed[index] = top + gap * offset
    return placed


def _top(block: list[int], wanted: Sequence[float], gap: float, low: float, high: float) -> float:
    centre = sum(wanted[index] for index in block) / len(block)
    height = gap * (len(block) - 1)
    return max(low, min(centre - height / 2, high - height))


def _end(block: list[int], wanted: Sequence[float], gap: float, low: float, high: float) -> float:
    return _top(block, wanted, gap, low, high) + gap * len(block)
