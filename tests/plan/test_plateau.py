from __future__ import annotations

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.plan.plateau import Line, plateau, read_line

FLOPS = np.array([1e22, 1e23, 1e24, 1e25, 1e26])


def scores(*values: float, planned: float | None = None) -> Line:
    return Line(tuple("abcdefgh"[: len(values)]), FLOPS[: len(values)], np.array(values), "score", planned)


def losses(*values: float, planned: float | None = None) -> Line:
    return Line(tuple("abcdefgh"[: len(values)]), FLOPS[: len(values)], np.array(values), "loss", planned)


def test_a_model_on_its_line_is_only_below_hopes():
    said = plateau(scores(0.30, 0.40, 0.51, 0.61, 0.70, planned=0.9))
    assert said.verdict == "only below hopes" and said.below_law == "no" and said.below_plan == "yes"
    assert said.low < 0.70 < said.high


def test_a_model_that_stalls_is_below_its_law_whatever_was_hoped():
    for planned in (None, 0.5, 0.9):
        said = plateau(scores(0.30, 0.40, 0.51, 0.61, 0.61, planned=planned))
        assert said.verdict == "below its law" and said.below_law == "yes"
        assert all(law["probability"] < 0.05 for law in said.by_law.values())


def test_without_a_hope_a_model_on_its_line_is_as_promised():
    said = plateau(scores(0.30, 0.40, 0.51, 0.61, 0.70))
    assert said.verdict == "as its law promised" and said.below_plan is None


def test_two_points_cannot_tell():
    said = plateau(scores(0.3, 0.4, 0.4, planned=0.5))
    assert said.verdict == "cannot tell" and said.promised is None and "too few" in said.words
    assert said.below_plan == "yes"


def test_a_scattered_line_cannot_tell_a_stall():
    said = plateau(scores(0.30, 0.52, 0.38, 0.60, 0.55))
    assert said.verdict == "cannot tell" and said.below_law == "cannot tell"


def test_percent_and_shares_give_the_same_answer():
    values = (0.30, 0.40, 0.51, 0.61, 0.70)
    share, percent = plateau(scores(*values)), plateau(scores(*(100 * v for v in values)))
    assert percent.promised == pytest.approx(100 * share.promised) and percent.verdict == share.verdict


def test_a_sigmoid_near_its_ceiling_is_no_plateau():
    x = np.log(FLOPS)
    values = 1 / (1 + np.exp(-0.55 * (x - x[1])))
    said = plateau(Line(tuple("abcde"), FLOPS, values, "score", None))
    assert said.by_law["sigmoid"]["promised"] == pytest.approx(values[-1], abs=0.01) and said.below_law != "yes"


def test_the_floor_of_guessing_is_part_of_the_sigmoid():
    x = np.log(FLOPS)
    values = 0.25 + 0.75 / (1 + np.exp(-0.5 * (x - x[3])))
    line = Line(tuple("abcde"), FLOPS, values, "score", None)
    told, untold = (plateau(line, chance).by_law["sigmoid"]["promised"] for chance in (0.25, 0.0))
    assert abs(told - values[-1]) < 0.01 < abs(untold - values[-1])


def test_scores_at_chance_are_blind():
    said = plateau(scores(0.25, 0.25, 0.26, 0.25, 0.25), chance=0.25)
    assert said.verdict == "cannot tell" and "blind" in said.words


def test_the_interval_of_the_log_linear_law_covers_its_own_world():
    rng, held = np.random.default_rng(0), 0
    x = np.log(FLOPS) - np.log(FLOPS).mean()
    for _ in range(400):
        values = 0.5 + 0.02 * x + 0.01 * rng.standard_normal(5)
        law = plateau(Line(tuple("abcde"), FLOPS, values, "score", None)).by_law["log-linear"]
        held += law["low"] < values[-1] < law["high"]
    assert 0.86 <= held / 400 <= 0.96


def test_a_loss_on_its_power_law_is_as_promised_and_one_that_stands_still_is_below():
    values = 1.8 + 0.75 * (FLOPS / 1e22) ** -0.17
    good = plateau(losses(*values))
    assert good.below_law == "no" and good.promised == pytest.approx(values[-1], rel=0.01)
    stalled = plateau(losses(*values[:4], values[3] * 1.01, planned=1.9))
    assert stalled.verdict == "below its law" and stalled.below_plan == "yes"


def test_a_leap_far_beyond_the_line_is_not_judged_unasked():
    line = Line(tuple("abcde"), np.append(FLOPS[:4], 1e28), np.array([0.3, 0.35, 0.4, 0.45, 0.45]), "score", None)
    assert plateau(line).verdict == "cannot tell" and "limit" in plateau(line).words
    asked = plateau(line, extrapolate=True)
    assert asked.extrapolation_factor == pytest.approx(1000) and asked.below_law == "yes"


def test_models_of_one_size_show_no_law():
    line = Line(tuple("abcde"), np.full(5, 1e24), np.array([0.3, 0.4, 0.5, 0.6, 0.6]), "score", None)
    assert plateau(line).verdict == "cannot tell"


def test_csv_and_toml_are_read_alike(tmp_path):
    table, toml = tmp_path / "line.csv", tmp_path / "line.toml"
    table.write_text("model,params,tokens,score,planned\na,1e9,2e10,0.4,\nb,1e10,2e11,0.5,0.7\n")
    toml.write_text(
        '[[model]]\nmodel = "a"\nparams = 1e9\ntokens = 2e10\nscore = 0.4\n'
        '[[model]]\nmodel = "b"\nflops = 1.2e22\nscore = 0.5\nplanned = 0.7\n'
    )
    one, other = read_line(table), read_line(toml)
    assert one.flops == pytest.approx(other.flops) and one.planned == other.planned == 0.7 and one.names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model,flops,score\n", "no models"),
        ("model,flops,score\na,,0.4\n", "flops"),
        ("model,flops,score\na,1e22,\n", "score"),
        ("model,flops,score\na,soon,0.4\n", "soon"),
        ("model,flops,score\na,-1e22,0.4\n", "positive"),
        ("model,flops,score\na,1e22,nan\n", "finite"),
        ("model,flops,score\na,1e50,0.5\n", "flops = 1e\\+50"),
        ("model,flops,flops,score\na,1e22,1e22,0.5\n", "twice"),
        ("model,flops,points\na,1e22,3\n", "points"),
        ("model,flops,score,loss\na,1e22,,2.1\nb,1e23,0.5,\n", "row 1"),
    ],
)
def test_a_mistake_in_the_table_names_row_and_column(tmp_path, text, named):
    path = tmp_path / "line.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=named) as error:
        read_line(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_an_impossible_chance_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_line(tmp_path / "none.csv")
    with pytest.raises(UserError, match="chance"):
        plateau(scores(0.3, 0.4, 0.5), chance=1.0)
