"""`-k` selects as pytest's does."""

from __future__ import annotations

import pytest

from optbench.errors import UsageError
from optbench.keyword import matches

TEXT = "opt.layouts[float32/strided/matrices]"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", True),
        ("layouts", True),
        ("LAYOUTS", True),
        ("shapes", False),
        ("not shapes", True),
        ("layouts and float32", True),
        ("layouts and bfloat16", False),
        ("shapes or strided", True),
        ("not (shapes or strided)", False),
        ("layouts and not (bfloat16 or offset)", True),
        ("not not layouts", True),
        ("opt.layouts[float32/strided/matrices]", True),
        ("opt.layouts[float32/strided]", False),
        # `and` binds tighter than `or`.
        ("strided or shapes and bfloat16", True),
    ],
)
def test_expressions(expression: str, expected: bool) -> None:
    assert matches(expression, TEXT) is expected


@pytest.mark.parametrize("expression", ["and", "layouts and", "(layouts", "layouts)", "not", "or layouts", "a b"])
def test_what_cannot_be_read_is_named(expression: str) -> None:
    with pytest.raises(UsageError, match="-k"):
        matches(expression, TEXT)
