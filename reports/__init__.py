"""Run records as pages: `render` makes one self-contained HTML file. Reads records as plain dicts; imports no torch.

html.py       what stands on the page, in which order
tables.py     conformance: the matrix, explanations, errors, coverage
timings.py    measurements: workloads, ratios, curves
schedules.py  rates of schedulers: every implementation's curve, and its distance from the formula
markdown.py   measurements as tables for a README
verdicts.py   verdicts as tables for a page
deviations.py where torch.optim breaks a law, for its maintainers
figures.py    the figures; canvas.py the sheet they are drawn on
formats.py    numbers and verdicts as text
templates/    the page and its style sheet
"""

from .html import render

__all__ = ["render"]
