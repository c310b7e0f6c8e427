"""A finding: the first wrong quantity of a failure, as plain data that stands in a record. Needs no torch.

    {"step", "quantity", "parameter", "index": where; a number may be missing, then it is None
     "got", "want", "error": by how much, the error scaled
     "options": what makes it appear, as text; "case": the smallest case that was found to show it
     "reproduce": the command that checks it; "message": what is wrong in it
     "likely": the class of mistake that explains the numbers, "" where none does
     "says": what makes it appear and what it likely is, in a line
     "script": the smallest case in plain torch, without optbench, "" where it cannot be written so}

What follows `error` is there for the first failure of a law, subject and implementation only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Finding = dict[str, Any]

NOWHERE: Finding = dict.fromkeys(("step", "quantity", "parameter", "index", "got", "want", "error")) | {"likely": ""}

_STEP = re.compile(r"\b(?:step|update|epoch) (\d+)")
_OF = re.compile(r"\b(\w+) of (?:parameter|group) (\d+)")
_PARAMETER = re.compile(r"\bparameter (\d+)")
_AROUND = re.compile(r"\bmemory around\b")


def place(what: str) -> Finding:
    """Where something is, from the words in which a law says it.

    Example:
        >>> place("step 2, exp_avg of parameter 0")
        {'step': 2, 'quantity': 'exp_avg', 'parameter': 0}
        >>> place("step by step, lr of group 1 at epoch 3")
        {'step': 3, 'quantity': 'lr', 'parameter': 1}
        >>> place("update 3, weight1")
        {'step': 3, 'quantity': 'weight1', 'parameter': None}
    """
    step, of, parameter = _STEP.search(what), _OF.search(what), _PARAMETER.search(what)
    if _AROUND.search(what):
        quantity = "memory"
    elif of:
        quantity = of[1]
    else:
        quantity = "parameter" if parameter else what.split(", ")[-1]
    number = of[2] if of else parameter[1] if parameter else None
    return {
        "step": int(step[1]) if step else None,
        "quantity": quantity,
        "parameter": None if number is None else int(number),
    }


def manner(message: str) -> str:
    """How something fails: its message less every number and what comes behind the first colon.

    Example:
        >>> manner("step 2, exp_avg of parameter 0: scaled error 12 (cap 8)")
        'step #, exp_avg of parameter #'
    """
    return re.sub(r"\d+", "#", message.partition(": ")[0])


def told(finding: Mapping[str, Any] | None) -> str:
    """What makes it appear and what it likely is, in a line; "" where neither is known.

    Example:
        >>> told({"options": {"weight_decay": "0.1"}, "likely": "decay decoupled"})
        'Appears with weight_decay=0.1. Likely: decay decoupled.'
    """
    if not finding or finding.get("options") is None:
        return ""
    makes = ", ".join(f"{name}={value}" for name, value in finding["options"].items())
    said = f"Appears with {makes}." if makes else "Appears with every option at its default."
    return f"{said} Likely: {finding['likely']}." if finding.get("likely") else said
