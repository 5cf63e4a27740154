import math

import pytest

from orionlm.synth.crossover import crossover


def study(tokens, value, width=1.1):
    gain = {"value": value, "low": value / width, "high": value * width}
    return {"unique_tokens": {"real": tokens}, "gains": {"admitted": {"over_real": {"net": gain}}}}


def found(*points, **more):
    return crossover([study(*point, **more) for point in points], "admitted", "net")


def test_it_is_where_the_gain_falls_to_one():
    page = found((1e4, 4.0), (1e6, 0.25))
    assert page["tokens"]["value"] == pytest.approx(1e5, rel=0.02)
    assert page["tokens"]["low"] < 1e5 < page["tokens"]["high"]


def test_a_wider_interval_of_the_gains_is_a_wider_one_of_the_place():
    narrow, wide = (found((1e4, 4.0), (1e6, 0.25), width=width)["tokens"] for width in (1.05, 1.5))
    assert math.log(wide["high"] / wide["low"]) > 3 * math.log(narrow["high"] / narrow["low"])


def test_gains_on_one_side_say_so():
    assert found((1e4, 4.0), (1e6, 2.0))["says"].startswith("pays at every amount tried, 10,000 to 1,000,000")
    assert found((1e4, 0.4), (1e6, 0.2))["says"].startswith("pays at no amount")


def test_too_little_to_go_by_cannot_tell():
    assert "cannot tell" in found((1e4, 4.0))["says"]
    assert "cannot tell" in found((1e4, 1.05), (1e6, 0.95))["says"]
    assert "cannot tell" in crossover([], "admitted", "net")["says"]


def test_a_gain_that_is_only_known_to_be_large_says_that_it_pays_there():
    large = {"value": None, "low": 30.0, "high": None}
    few = {"unique_tokens": {"real": 1e4}, "gains": {"admitted": {"over_real": {"net": large}}}}
    assert crossover([few, study(1e6, 2.0)], "admitted", "net")["says"].startswith("pays at every amount tried, 10,000")
    lost = crossover([few, study(1e6, 0.25)], "admitted", "net")
    assert lost["says"].startswith("cannot tell where within 10,000") and lost["tokens"] is None
    between = crossover([few, study(1e5, 4.0), study(1e7, 0.25)], "admitted", "net")
    assert between["tokens"]["value"] == pytest.approx(1e6, rel=0.02)
