from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, chi2, ttest_rel

from orionlm.errors import UserError
from orionlm.evals.growth import Point, covariances, expected, trend
from orionlm.evals.pass_at_k import maj_at_k, pass_at_k
from orionlm.evals.power import assumed, pilot
from orionlm.evals.statistics import compare, holm, mcnemar, mean, paired, unpaired, verdict

bits = st.integers(0, 1).map(float)
asked_once = st.lists(bits, min_size=2, max_size=25)
asked_often = st.lists(st.lists(bits, min_size=1, max_size=4), min_size=2, max_size=15)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_ten_of_ten_alike_is_not_certain(score):
    found = mean([score] * 10)
    assert found.value == score and found.standard_error == 0
    assert found.high - found.low == pytest.approx(0.278, abs=0.001)  # Wilson's, by hand: z² / (n + z²)


def test_four_of_ten_says_as_little_as_wilson_says_and_hardly_less():
    found = mean([1.0] * 4 + [0.0] * 6)
    assert found.low <= 0.168 and found.high >= 0.687
    assert found.high - found.low < 1.1 * (0.687 - 0.168)


@pytest.mark.parametrize("n", [30, 164])
def test_the_interval_of_independent_questions_holds_the_truth_at_any_skill(n):
    ends = [mean([1.0] * c + [0.0] * (n - c)) for c in range(n + 1)]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    p = np.concatenate([np.linspace(0.0005, 0.1, 150), np.linspace(0.1, 0.5, 100)])[:, None]
    held = (binom.pmf(np.arange(n + 1), n, p) * ((low <= p) & (p <= high))).sum(1)
    assert held.min() > 0.93 and held.mean() < 0.98


@given(asked_often, st.randoms())
def test_an_interval_is_within_bounds_holds_its_value_and_does_not_know_the_order(rows, random):
    names = [random.choice(["", "x", "y", "z"]) for _ in rows]
    order = list(range(len(rows)))
    random.shuffle(order)
    one, two = mean(rows, names), mean([rows[i] for i in order], [names[i] for i in order])
    assert 0 <= one.low <= one.value <= one.high <= 1 and one.high > one.low
    assert (one.low, one.value, one.high) == pytest.approx((two.low, two.value, two.high), abs=1e-9)


@given(st.lists(bits, min_size=3, max_size=20), st.integers(2, 4))
def test_repeating_questions_in_their_clusters_teaches_nothing(scores, times):
    rows = scores * times
    names = [f"c{i}" for i in range(len(scores))] * times
    once, clustered, naive = mean(scores), mean(rows, names), mean(rows)
    assert clustered.standard_error == pytest.approx(once.standard_error)
    assert clustered.standard_error >= naive.standard_error
    assert clustered.clusters == len(scores) and clustered.n == len(rows)


def test_grader_errors_are_left_out_and_counted():
    found = mean([1.0, None, [1.0, None], [None, None], 0.0])
    assert (found.value, found.n, found.left_out, found.errors) == (pytest.approx(2 / 3), 3, 2, 4)
    with pytest.raises(UserError, match="none of 2"):
        mean([None, [None]])


def test_variance_within_questions_is_told_from_that_between_them():
    rng = np.random.default_rng(0)
    p = rng.choice([0.2, 0.8], 4000)
    found = mean((rng.random((4000, 5)) < p[:, None]).astype(float).tolist())
    assert found.within == pytest.approx(0.16, abs=0.01) and found.between == pytest.approx(0.09, abs=0.01)
    assert mean([0.0, 1.0]).within is None


def test_bits_per_byte_have_no_bounds_and_students_interval():
    found = mean([2.0, 2.5, 3.0], bounds=None)
    assert found.high - found.value == pytest.approx(4.3027 * 0.5 / math.sqrt(3), rel=1e-4)
    assert mean([2.0], bounds=None).high == math.inf


@pytest.mark.parametrize("bad", [1.5, -0.1, math.nan, math.inf])
def test_a_score_that_is_none_is_refused(bad):
    with pytest.raises(UserError, match="score"):
        mean([0.5, bad])


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_scipys_exact_test_less_half_the_observed(a, b):
    if a + b:
        exact = binomtest(a, a + b).pvalue
        half = binom.pmf(min(a, b), a + b, 0.5)
        assert mcnemar(a, b) == pytest.approx(min(1.0, exact - half) if a != b else 1.0, abs=1e-12)
    else:
        assert mcnemar(0, 0) == 1


@given(asked_often, st.randoms())
def test_a_difference_turned_round_is_its_negative(rows, random):
    others = [[float(random.random() < 0.5) for _ in row] for row in rows]
    names = [random.choice(["", "x", "y"]) for _ in rows]
    one, two = paired(rows, others, names), paired(others, rows, names)
    assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low), abs=1e-9)
    assert one.p == pytest.approx(two.p, nan_ok=True)
    assert 0 <= one.p <= 1 or (math.isnan(one.p) and one.clusters == 1), "one passage says nothing of others"
    assert -1 <= one.low <= one.value <= one.high <= 1 and one.high > one.low


@given(asked_once, st.randoms())
def test_the_order_of_questions_does_not_matter_to_a_difference(a, random):
    b = [float(random.random() < 0.5) for _ in a]
    order = list(range(len(a)))
    random.shuffle(order)
    one, two = paired(a, b), paired([a[i] for i in order], [b[i] for i in order])
    assert (one.low, one.high, one.p) == pytest.approx((two.low, two.high, two.p))


def test_models_that_agree_throughout_are_not_proven_equal():
    found = paired([1.0, 0.0] * 15, [1.0, 0.0] * 15)
    assert found.value == 0 and found.p == 1 and found.low < -0.05 and found.high > 0.05
    assert found.verdict == "cannot tell" and found.test.startswith("McNemar")


def test_pairing_sees_what_two_scores_apart_cannot():
    a = [1.0] * 60 + [0.0] * 40
    b = [1.0] * 50 + [0.0] * 50
    close, apart = paired(a, b), unpaired(a, b)
    assert close.verdict == "yes" and apart.verdict == "cannot tell"
    assert close.paired and not apart.paired and apart.test == "unpaired"


def test_the_verdict_has_three_values_against_a_margin():
    a, b = [1.0] * 180 + [0.0] * 20, [1.0] * 140 + [0.0] * 60
    assert paired(a, b, margin=0.1).verdict == "yes"
    assert paired(a, b, margin=0.18).verdict == "cannot tell"
    assert paired(a, b, margin=0.4).verdict == "no" and paired(b, a).verdict == "no"
    assert [verdict(0.1, 0.2), verdict(-0.1, 0.0), verdict(-0.1, 0.1)] == ["yes", "no", "cannot tell"]


def test_a_difference_of_bits_per_byte_is_students_paired_test():
    a, b = [2.0, 2.5, 3.1, 2.2, 2.9], [1.9, 2.1, 3.0, 2.2, 2.5]
    found, scipys = paired(a, b, bounds=None), ttest_rel(a, b)
    assert found.p == pytest.approx(scipys.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(scipys.confidence_interval(0.95)))


def test_few_passages_make_a_large_difference_less_certain():
    a, b = [1.0] * 20 + [0.0] * 20, [1.0, 0.0] * 10 + [0.0] * 20
    alone, together = paired(a, b), paired(a, b, [f"c{i // 8}" for i in range(40)])
    assert alone.p < 0.01 < 0.05 < together.p and together.test == "clustered"


def test_a_question_without_a_score_of_one_model_is_left_out_of_both():
    found = paired([1.0, None, 1.0, 0.0], [1.0, 1.0, None, 1.0])
    assert found.n == 2 and found.left_out == 2 and found.value == -0.5


def test_different_questions_are_not_compared_unless_told_and_then_say_so():
    a, b = {"q1": 1.0, "q2": 0.0, "q3": 1.0}, {"q1": 1.0, "q2": 0.0, "q4": 0.0}
    with pytest.raises(UserError, match="q3"):
        compare(a, b)
    assert compare(a, b, allow_unpaired=True).test == "unpaired"
    assert compare(a, dict(reversed(a.items())), allow_unpaired=True).paired
    with pytest.raises(UserError, match="same questions"):
        paired([1.0], [1.0, 0.0])


def test_holm_agrees_with_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    with pytest.raises(UserError):
        holm([0.1, math.nan])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_p_and_bonferronis_and_keeps_their_order(p):
    found = holm(p)
    assert all(raw <= one <= min(1, len(p) * raw) + 1e-15 for raw, one in zip(p, found, strict=True))
    assert sorted(range(len(p)), key=lambda i: (p[i], i)) == sorted(range(len(p)), key=lambda i: (found[i], p[i], i))


@given(st.lists(bits, min_size=1, max_size=8), st.integers(1, 8))
def test_pass_at_k_is_the_share_of_all_choices_of_k_with_one_right(row, k):
    if k > len(row):
        with pytest.raises(UserError, match="k = "):
            pass_at_k([row, row], k)
        return
    every = [max(choice) for choice in combinations(row, k)]
    found = pass_at_k([row, row], k)
    assert found.value == pytest.approx(sum(every) / len(every)) and found.low < found.high


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=7), st.integers(1, 7), st.booleans())
def test_maj_at_k_is_the_share_of_all_choices_of_k_that_a_vote_wins(row, k, strict):
    k = min(k, len(row))
    won = []
    for choice in combinations(row, k):
        votes = Counter(one for one in choice if one is not None)
        top = [one for one, n in votes.items() if n == max(votes.values())]
        won.append(2 * votes["a"] > k if strict else ("a" in top) / max(len(top), 1))
    assert maj_at_k([row, row], ["a", "a"], k, strict=strict).value == pytest.approx(sum(won) / len(won))


def test_pass_at_k_leaves_out_questions_with_too_few_graded_samples():
    found = pass_at_k([[1.0, 0.0, 0.0], [None, None, 1.0]], 2)
    assert found.value == pytest.approx(2 / 3) and found.left_out == 1 and found.errors == 2


def test_questions_needed_and_difference_shown_undo_each_other():
    variances = assumed(0.2)
    assert variances.detectable(213) == pytest.approx(0.086, abs=0.0005)
    assert variances.detectable(1000) == pytest.approx(0.040, abs=0.0005)
    assert variances.questions(variances.detectable(1000)) in (1000, 1001)
    assert variances.power(0.04, 1000) == pytest.approx(0.8, abs=0.02)


def test_samples_help_only_against_sampling_noise():
    noisy, plain = assumed(0.3, noise=0.6), assumed(0.3)
    assert noisy.questions(0.05, samples=5) < noisy.questions(0.05)
    assert plain.questions(0.05, samples=5) == plain.questions(0.05)
    assert noisy.questions(0.05, samples=1000) == pytest.approx(0.4 * noisy.questions(0.05), rel=0.01)


def test_a_pilot_finds_the_variances_that_made_it():
    rng = np.random.default_rng(1)
    p = rng.choice([0.2, 0.8], (8000, 2))
    a, b = ((rng.random((8000, 4)) < p[:, [j]]).astype(float).tolist() for j in (0, 1))
    found = pilot(a, b)
    assert found.between == pytest.approx(0.18, abs=0.015) and found.within_a == pytest.approx(0.16, abs=0.01)
    assert found.discordance == pytest.approx(0.5, abs=0.01) and found.split
    once = pilot([row[0] for row in a], [row[0] for row in b])
    assert not once.split and once.between == pytest.approx(0.5, abs=0.01)
    doubled = pilot(a + a, b + b, [str(i) for i in range(8000)] * 2)
    assert doubled.design == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: assumed(1.2),
        lambda: assumed(0.1, difference=0.2),
        lambda: assumed(0.2).questions(0),
        lambda: assumed(0.2).questions(0.1, samples=0),
        lambda: assumed(0.2).questions(0.1, power=1.0),
        lambda: pilot([1.0], [0.0]),
        lambda: mean([1.0, 0.0], level=1.0),
        lambda: mean([1.0, 0.0], ["a"]),
        lambda: trend([Point(1e18, 0.3, 0.01)], 0.25),
        lambda: trend([Point(1e18, 0.3, 0.01), Point(-1.0, 0.3, 0.01)], 0.25),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(UserError):
        wrong()


def generations(*scores: float, error: float = 0.01) -> list[Point]:
    return [Point(1e17 * 10**n, score, error) for n, score in enumerate(scores)]


def test_a_task_that_grows_with_compute_is_told_from_one_that_does_not():
    assert trend(generations(0.3, 0.4, 0.5, 0.6), 0.25).verdict == "yes"
    assert trend(generations(0.3, 0.4, 0.5, 0.6), 0.25).slope == pytest.approx(0.1, abs=0.005)
    assert trend(generations(0.6, 0.5, 0.4, 0.3), 0.25).verdict == "no"
    assert trend(generations(0.40, 0.41, 0.40, 0.41), 0.25).verdict == "cannot tell"
    assert trend(generations(3.0, 2.7, 2.4, 2.1), None, lower_is_better=True).verdict == "yes"


def test_a_task_at_chance_all_along_is_blind():
    found = trend(generations(0.24, 0.25, 0.26, 0.255, error=0.02), 0.25)
    assert found.blind and found.verdict == "cannot tell"
    assert not trend(generations(0.24, 0.25, 0.26, 0.4, error=0.02), 0.25).blind


def test_points_that_scatter_beyond_their_errors_widen_the_slope():
    calm, wild = (trend(generations(*scores), None) for scores in ((0.3, 0.4, 0.5, 0.6), (0.3, 0.5, 0.4, 0.6)))
    assert wild.high - wild.low > 2 * (calm.high - calm.low)


def test_the_same_questions_make_a_trend_sharper():
    rng = np.random.default_rng(0)
    easy = rng.normal(0, 1, 300)
    scores = [(easy + 0.3 * g + rng.normal(0, 0.3, 300) > 0).astype(float).tolist() for g in range(4)]
    points = [Point(10.0**g, mean(s).value, mean(s).standard_error) for g, s in enumerate(scores)]
    joint = covariances(scores)
    assert np.sqrt(np.diag(joint)) == pytest.approx([p.standard_error for p in points])
    apart, together = trend(points, 0.0), trend(points, 0.0, covariance=joint)
    assert together.high - together.low < apart.high - apart.low


def test_what_is_expected_of_a_generation_lies_on_the_curve_of_those_before():
    curve = [0.25 + 0.75 / (1 + math.exp(-(n - 2))) for n in range(6)]
    before, found = expected(generations(*curve[:5], error=0.005), 0.25, [1e21, 1e22])
    assert before.low < curve[4] < before.high and before.compute == 1e21
    assert found.low < curve[5] < found.high and found.high - found.low < 0.1
    (blind,) = expected(generations(0.25, 0.25, 0.25), 0.25, [1e22])
    assert blind.low < 0.27 and blind.high > 0.6
    assert all(0 <= end <= 1 for one in (found, blind) for end in (one.low, one.value, one.high))


def test_chi_squared_discordance_without_a_difference_is_no_news():
    """McNemar's own approximation is near its exact value where both counts are large."""
    for a, b in product((60, 70, 80), repeat=2):
        assert mcnemar(a, b) == pytest.approx(chi2.sf((a - b) ** 2 / (a + b), 1), abs=0.01)
