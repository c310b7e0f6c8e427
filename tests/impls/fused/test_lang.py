"""A rule is a plain function as well; its operations have the corner cases that backends must keep."""

import math

import pytest
from optbench.impls.fused import adam, lang, sgd

NAN, INF = math.nan, math.inf


def test_a_rule_can_be_called_on_numbers():
    scalars = adam.prepare(1, 0.1, 0.9, 0.999, 0.0, 0.0, 0, 0, 0, 0)
    param, exp_avg, exp_avg_sq, absent = adam.update(1.0, -2.0, 0.0, 0.0, 0.0, *scalars, 0, 0, 0, 0)
    assert param == pytest.approx(1.1)
    assert (exp_avg, exp_avg_sq, absent) == (pytest.approx(-0.2), pytest.approx(0.004), 0.0)


def test_sgd_copies_the_first_gradient():
    for step, expected in ((1.0, 3.0), (2.0, 0.9 * 5.0 + 0.5 * 3.0)):
        scalars = sgd.prepare(step, 0.1, 0.9, 0.5, 0.0, 1, 0, 0, 0)
        assert sgd.update(1.0, 3.0, 5.0, *scalars, 1, 0, 0, 0)[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lang.maximum(1.0, NAN), NAN),
        (lang.maximum(NAN, 1.0), NAN),
        (lang.maximum(1.0, 2.0), 2.0),
        (lang.div(1.0, 0.0), INF),
        (lang.div(1.0, -0.0), -INF),
        (lang.div(0.0, 0.0), NAN),
        (lang.div(6.0, 3.0), 2.0),
        (lang.sqrt(-1.0), NAN),
        (lang.log(0.0), -INF),
        (lang.log(-1.0), NAN),
        (lang.expm1(-INF), -1.0),
        (lang.where(False, 1.0, 2.0), 2.0),
        (lang.minimum(1.0, NAN), NAN),
        (lang.minimum(NAN, 1.0), NAN),
        (lang.minimum(1.0, 2.0), 1.0),
        (lang.absolute(-2.0), 2.0),
        (lang.absolute(NAN), NAN),
        (lang.sign(-INF), -1.0),
        (lang.sign(1e-300), 1.0),
        (lang.sign(-0.0), 0.0),
        (lang.sign(NAN), 0.0),
        (lang.power(0.25, 0.5), 0.5),
        (lang.power(0.0, 0.0), 1.0),
        (lang.power(0.0, 2.0), 0.0),
        (lang.stored_product(3.0, 0.5, "float32"), 1.5),
    ],
)
def test_operations(result, expected):
    assert result == expected or (math.isnan(result) and math.isnan(expected))


def test_present_states_follow_flags():
    assert adam.RULE.present((0, 0, 0, 0)) == (True, True, False)
    assert adam.RULE.present((1, 0, 0, 0)) == (True, True, True)
    assert sgd.RULE.present((0, 0, 0, 0)) == (False,)
