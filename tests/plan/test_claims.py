from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.accelerators import load as load_chips
from orionlm.plan.claim_form import World
from orionlm.plan.claim_loss import Constants
from orionlm.plan.claims import Answer, answer, example, examples, parse_claims
from orionlm.plan.draws import Draws
from orionlm.plan.laws import CORRELATION, PUBLISHED
from orionlm.plan.model_runs import load as load_runs
from orionlm.settings import parse_toml

WORLD = World(load_chips(), load_runs(), Draws(1000))
H100, FP8, DAY = 989e12, 1979e12, 86400


def judge(text: str, world: World = WORLD) -> Answer:
    (claim,) = parse_claims(parse_toml("[[claim]]\n" + text, "claim.toml"))
    return answer(claim, world)


def judged(name: str) -> list[Answer]:
    return [answer(claim, WORLD) for claim in example(name)]


def compute(extra: str) -> Answer:
    return judge(f'name = "x"\nkind = "compute"\naccelerator = "H100"\n{extra}')


def loss(*runs: str, head: str = "extrapolate = true") -> Answer:
    tables = "".join(f"[[claim.run]]\n{run}\n" for run in runs)
    return judge(f'name = "x"\nkind = "loss"\n{head}\n{tables}')


# The table of scaling.md, section 5.


def test_ten_thousand_h100s_need_259_percent_of_bf16_or_614_days():
    ten, _ = judged("gpt4-ten-times")
    assert f"{ten.needs['utilisation_bf16']['value']:.0%}" == "259%"
    assert f"{ten.needs['utilisation_fp8']['value']:.0%}" == "129%"
    assert round(ten.needs["days_needed"]["value"]) == 614
    assert ten.verdict == "plausible" and ten.probability == 1.0  # the claim is that it cannot be done
    assert any("more than the bf16 peak and the fp8 peak" in warning for warning in ten.warnings)


def test_fifty_thousand_h100s_need_49_to_55_percent_and_are_6_3_times_at_equal_use():
    _, fifty = judged("gpt4-ten-times")
    needed = fifty.needs["utilisation_bf16"]
    assert (f"{needed['low']:.0%}", f"{needed['high']:.0%}") == ("49%", "55%")
    assert fifty.needs["utilisation_fp8"]["value"] == pytest.approx(0.26, abs=0.005)
    assert fifty.needs["times_at_equal_use"]["value"] == pytest.approx(50e3 * 989 / (25e3 * 312))
    assert round(fifty.needs["chips_at_equal_use"]["value"], -3) == 79_000
    reference = fifty.needs["reference_utilisation"]
    assert (f"{reference['low']:.0%}", f"{reference['high']:.0%}") == ("31%", "35%")
    assert fifty.verdict == "cannot tell" and fifty.needs["by_precision"]["bf16"] < 0.05


def test_1e26_in_five_months_on_20k_h100s_needs_38_5_percent():
    (five,) = judged("five-months")
    assert f"{five.needs['utilisation_bf16']['value']:.1%}" == "38.5%"


def test_the_losses_of_the_besiroglu_optimum_come_out_with_the_warning():
    twice, text = judged("twice-1e26")
    found = twice.needs["by_law"]["besiroglu"]
    assert [f"{value:.4f}" for value in found["loss"]] == ["1.9000", "1.8799", "1.8726"]
    assert f"{found['reducible_fall']:.1%}" == "11.6%" and f"{found['total_fall']:.1%}" == "0.4%"
    assert any("extrapolates 4.2 orders of magnitude" in warning for warning in twice.warnings)
    for law, tokens in (("besiroglu", 23e12), ("hoffmann", 57e12)):
        assert twice.needs["by_law"][law]["tokens"][-1] == pytest.approx(tokens, rel=0.01)
        assert text.needs[f"tokens_{law}"]["value"] == pytest.approx(tokens, rel=0.01)
    assert "23T" in text.words and "57.2T" in text.words


def test_gpt4_is_cheaper_than_a_hundred_million_but_for_staff_and_trials():
    final, whole = judged("gpt4-cost")
    cloud = final.needs["cloud_dollars"]
    assert cloud["low"] < 78.6e6 < cloud["high"] and cloud["value"] == pytest.approx(78.6e6, rel=0.05)
    assert final.needs["amortised_dollars"]["low"] < 40.7e6 < final.needs["amortised_dollars"]["high"]
    assert final.needs["acquisition_dollars"]["value"] == pytest.approx(778e6, rel=0.15)
    assert final.probability < 0.2 < 0.5 < whole.probability


@pytest.mark.parametrize("name", sorted(examples()))
def test_every_example_is_answered_in_words(name):
    for said in judged(name):
        assert said.words and said.verdict in ("plausible", "implausible", "cannot tell")
        assert said.probability is None or 0 <= said.probability <= 1
        said.to_json()


def test_the_examples_cover_the_claims_that_are_to_ship():
    assert {"gpt4-cost", "text-by-2026", "dense-or-experts", "over-trained", "multimodal", "synthetic-2e26"} <= set(
        examples()
    )


# Compute.


@given(
    chips=st.integers(100, 1_000_000),
    days=st.floats(1, 1000),
    use=st.floats(0.01, 0.99),
)
@settings(max_examples=30, deadline=None)
def test_what_is_solved_for_gives_back_the_compute(chips, days, use):
    flops = chips * H100 * use * days * DAY
    said = compute(f'flops = "{flops:e}"\nchips = {chips}\ndays = "{days} days"\nutilisation = {use}')
    assert said.needs["utilisation_bf16"]["value"] == pytest.approx(use, rel=1e-4)
    assert said.needs["utilisation_fp8"]["value"] == pytest.approx(use * H100 / FP8, rel=1e-4)
    assert said.needs["days_needed"]["value"] == pytest.approx(days, rel=1e-4)
    assert said.needs["chips_needed"]["value"] == pytest.approx(chips, rel=1e-4)
    assert said.needs["flops_reached"]["value"] == pytest.approx(flops, rel=1e-4)


def test_a_harder_claim_is_never_more_probable():
    chances = [compute(f'flops = "{c}e25"\nchips = "20K"\ndays = "90 days"').probability for c in range(1, 14)]
    assert chances == sorted(chances, reverse=True) and chances[0] == 1.0 and chances[-1] == 0.0


def test_the_probability_in_bf16_is_that_of_the_prior_on_net_utilisation():
    # With mfu and goodput certain but for mfu in [.30, .45], .367 is the median of its logit.
    middle = 1 / (1 + math.exp(-(math.log(0.3 / 0.7) + math.log(0.45 / 0.55)) / 2))
    flops = 1000 * H100 * middle * 100 * DAY
    stated = (
        f'flops = "{flops:e}"\nchips = 1000\ndays = "100 days"\nprecision = "bf16"\nmfu = [0.30, 0.45]\ngoodput = 1.0'
    )
    assert compute(stated).probability == pytest.approx(0.5, abs=0.01)


def test_what_is_left_open_is_solved_for_and_gets_no_verdict():
    days = compute('flops = "1e26"\nchips = "20K"\nutilisation = "40%"')
    assert days.needs["days_needed"]["value"] == pytest.approx(1e26 / (20e3 * H100 * 0.4 * DAY))
    assert days.probability is None and days.verdict == "cannot tell"
    reach = compute('chips = "20K"\ndays = "100 days"\nutilisation = "40%"\nreference = "GPT-4"')
    assert reach.needs["times_reached"]["value"] == pytest.approx(20e3 * H100 * 0.4 * 100 * DAY / 2.1e25)


def test_dates_of_availability_give_the_days_and_a_chip_not_yet_out_is_warned_of():
    said = compute('flops = "1e25"\nchips = "20K"\nstarts = 2022-01-01\nends = 2022-04-11')
    assert said.needs["days"]["value"] == 100 and any("came out" in warning for warning in said.warnings)


def test_further_clusters_add_their_arithmetic():
    also = 'also = [{accelerator = "A100", chips = "10K", days = "50 days"}]'
    said = compute(f'flops = "1e25"\nchips = "10K"\ndays = "100 days"\n{also}')
    capacity = (10e3 * H100 * 100 + 10e3 * 312e12 * 50) * DAY
    assert said.needs["utilisation_bf16"]["value"] == pytest.approx(1e25 / capacity)


def test_a_reference_can_be_stated_in_the_file():
    table = 'reference = {flops = "1e24", accelerator = "A100", chips = 1000, days = "100 days"}'
    said = compute(f'chips = 2000\ndays = "100 days"\ntimes = 3\n{table}')
    assert said.needs["flops"]["value"] == 3e24
    assert said.needs["times_at_equal_use"]["value"] == pytest.approx(2 * 989 / 312)


def test_a_chip_without_fp8_is_judged_in_bf16_alone():
    said = judge('name = "x"\nkind = "compute"\naccelerator = "A100"\nflops = 1e24\nchips = 4000\ndays = "30 days"')
    assert set(said.needs["by_precision"]) == {"bf16"} and "utilisation_fp8" not in said.needs


# Loss.


def test_twice_the_compute_is_worth_twice_the_compute():
    assert loss("flops = 1e22", "flops = 2e22").needs["gain"]["value"] == pytest.approx(2)


def test_the_optimum_has_no_better_neighbour():
    for law in PUBLISHED.values():
        constants = Constants.of(law, Draws(10))
        x = constants.optimum(np.full(11, 1e24))
        best, beside = (constants.loss(x + dx, np.log(1e24 / 6) - x - dx) for dx in (0.0, 0.01))
        assert (best < beside).all() and (best < constants.loss(x - 0.01, np.log(1e24 / 6) - x + 0.01)).all()


def test_the_draws_of_the_law_have_the_published_intervals():
    constants = Constants.of(PUBLISHED["besiroglu"], Draws(20_000))
    for values, low, high in (
        (np.exp(constants.a), 285, 744),
        (np.exp(constants.e), 1.769, 1.871),
        (constants.alpha, 0.317, 0.373),
        (constants.beta, 0.331, 0.415),
    ):
        found = np.quantile(values[1:], [0.025, 0.975])
        assert found == pytest.approx([low, high], rel=0.08)
    assert (np.linalg.eigvalsh(CORRELATION) > 0).all()


def test_the_draws_agree_where_the_data_lie_and_spread_far_from_them():
    # Over 2,000 refits of the published points the loss at the optimum of 1e26 FLOPs has a deviation of .019.
    constants, deviation = Constants.of(PUBLISHED["besiroglu"], Draws(4000)), {}
    for flops in (1e20, 1e26):
        x = constants.optimum(np.full(4001, flops))
        deviation[flops] = constants.loss(x, np.log(flops / 6) - x)[1:].std()
    assert deviation[1e20] < 0.008 and deviation[1e26] == pytest.approx(0.019, abs=0.002)


def test_over_training_costs_compute_and_gives_k_times_the_tokens_a_parameter():
    said = loss("flops = 1e24", "flops = 1e24\novertraining = 10")
    for found in said.needs["by_law"].values():
        before, after = (t / n for t, n in zip(found["tokens"], found["params"], strict=True))
        assert after / before == pytest.approx(10) and 0.4 < found["gain"] < 0.9


def test_endless_text_is_the_limit_of_much_text():
    said = loss("flops = 1e24", 'flops = 1e24\nunique_tokens = "1000T"')
    assert said.needs["gain"]["value"] == pytest.approx(1, abs=1e-6)


def test_four_epochs_are_worth_3_73_times_the_unique_tokens():
    head = "extrapolate = true\nlaws = ['hoffmann']"
    (fresh,) = loss("flops = 1e24", head=head).needs["by_law"]["hoffmann"]["tokens"]
    run = f'flops = 1e24\novertraining = 1\nunique_tokens = "{fresh / 4}"'
    found = loss(run, head=head)
    n = found.needs["by_law"]["hoffmann"]["params"][0]
    e, a, b = math.exp(0.5267228), math.exp(6.0073404), math.exp(6.0179186)
    expected = e + a / n**0.33917084 + b / (fresh / 4 * 3.73) ** 0.2849083
    assert found.needs["by_law"]["hoffmann"]["loss"][0] == pytest.approx(expected, abs=1e-4)


def test_scarce_text_costs_and_synthetic_text_that_works_gives_back():
    scarce = 'flops = 1e24\nunique_tokens = "100B"'
    bare = loss("flops = 1e24", scarce).needs["gain"]["value"]
    helped = loss("flops = 1e24", f'{scarce}\nsynthetic_tokens = "1T"\nsynthetic_worth = 0.8').needs["gain"]["value"]
    useless = loss("flops = 1e24", f'{scarce}\nsynthetic_tokens = "1T"\nsynthetic_worth = 0.001').needs["gain"]["value"]
    assert bare < helped < 1 and useless == pytest.approx(bare, rel=1e-3)


def test_a_share_of_other_tokens_is_a_run_with_less_text():
    said = loss("flops = 1e22", "flops = 1e22\nmultimodal_share = 0.5", head="laws = ['besiroglu']")
    n, d = said.needs["by_law"]["besiroglu"]["params"][1], said.needs["by_law"]["besiroglu"]["tokens"][1]
    assert said.needs["loss"][1]["value"] == pytest.approx(1.8172 + 482.01 / n**0.3478 + 2085.43 / (d / 2) ** 0.3658)


def test_far_extrapolations_get_no_verdict_unless_asked_for():
    far = loss("flops = 1e25", "flops = 2e25", head="")
    assert far.verdict == "cannot tell" and far.probability is not None and "no verdict" in " ".join(far.warnings)
    asked = World(WORLD.accelerators, WORLD.runs, WORLD.draws, extrapolate=True)
    text = 'name = "x"\nkind = "loss"\n[[claim.run]]\nflops = 1e25\n[[claim.run]]\nflops = 2e25\n'
    assert judge(text, asked).verdict == "plausible"


def test_a_mixture_outside_every_law_is_not_judged():
    said = loss("flops = 1e26", "flops = 1e26\nexperts = 32", head='holds = "gain > 1"')
    assert said.verdict == "cannot tell" and said.probability is None and "range" in said.words


# Text, and the statement.


def test_the_probability_that_text_is_gone_is_that_of_the_wall():
    near = judge('name = "x"\nkind = "text"\nyear = 2026')
    far = judge('name = "x"\nkind = "text"\nyear = 2040')
    assert near.probability < 0.5 < far.probability and far.verdict == "plausible"
    assert judge('name = "x"\nkind = "text"\nyear = 2026\ndenies = true').probability == pytest.approx(
        1 - near.probability
    )
    assert judge('name = "x"\nkind = "text"\nyear = 2026\nwall = {stock = "20T"}').probability > 0.99


def test_a_statement_over_any_quantity_replaces_the_kinds_own():
    stated = 'flops = "1e26"\nchips = "20K"\ndays = "100 days"\nutilisation = "40%"\nholds = '
    assert compute(stated + '"days_needed < 150"').probability == 1
    assert compute(stated + '"days_needed >= 150 "').probability == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('kind = "magic"', "no kind of claim"),
        ("says = 'x'", "kind"),
        ('kind = "compute"\naccelerator = "H100"', "two of flops"),
        ('kind = "compute"\naccelerator = "H1000"\nchips = 5\nflops = 1e20', "H1000"),
        ('kind = "compute"\naccelerator = "H100"\nchips = -5\nflops = 1e20', "chips"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\ndays = 30', "unit"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\ndays = "$30"', "days"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\nflops = 1e20\nutilisation = "140%"', "utilisation"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\nflops = 1e20\nutilisation = 0', "utilisation"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\ntimes = 3', "reference"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\ntimes = 3\nreference = "GPT-9"', "GPT-9"),
        ('kind = "compute"\naccelerator = "A100"\nchips = 5\nflops = 1e20\nprecision = "fp8"', "fp8"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\nstarts = 2024-02-01\nends = 2024-01-01', "not after"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\nflops = 1e20\nholds = "speed > 3"', "speed"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\nflops = 1e20\nholds = "days_needed"', "QUANTITY"),
        ('kind = "compute"\naccelerator = "H100"\nchips = 5\nflops = 1e20\nholds = "days_needed < soon"', "soon"),
        ('kind = "cost"\naccelerator = "H100"\nchips = 5\nmore_than = "$1M"', "work is missing"),
        ('kind = "cost"\naccelerator = "H100"\nflops = 1e20', "more_than"),
        ('kind = "cost"\naccelerator = "H100"\nflops = 1e20\nmore_than = 5', "unit"),
        ('kind = "loss"\nrun = []', "at least one run"),
        ('kind = "loss"\nrun = [{flops = 1e22, synthetic_tokens = 1e9}]', "unique_tokens"),
        ('kind = "loss"\nrun = [{flops = 1e22, experts = 1}]', "experts"),
        ('kind = "text"', "one of year"),
        ('kind = "text"\nyear = 26', "year = 26"),
        ('kind = "text"\nyear = 2026\nwall = {growth = 99}', "growth"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(text, named):
    with pytest.raises(UserError, match=named.replace("$", r"\$")) as error:
        judge(f'name = "x"\n{text}')
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "claim = 3", "claim = [3]", 'title = "x"', "[claim]\nname = 'x'"])
def test_a_file_without_claims_says_what_to_write(text):
    with pytest.raises(UserError, match="claim"):
        parse_claims(parse_toml(text, "claim.toml"))


def test_an_unknown_example_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean gpt4-cost"):
        example("gpt4-costs")


def test_a_run_on_far_too_many_epochs_gets_no_verdict_unasked():
    text = (
        '[[claim]]\nname = "x"\nkind = "loss"\nextrapolate = {}\n[[claim.run]]\nflops = "1e21"\nunique_tokens = "1B"\n'
        '[[claim.run]]\nflops = "1e22"\nunique_tokens = "1B"\n'
    )
    (plain,) = parse_claims(parse_toml(text.format("false"), "c.toml"))
    (asked,) = parse_claims(parse_toml(text.format("true"), "c.toml"))
    assert answer(plain, WORLD).verdict == "cannot tell" and "epochs" in " ".join(answer(plain, WORLD).warnings)
    assert answer(asked, WORLD).verdict == "plausible" and "epochs" in " ".join(answer(asked, WORLD).warnings)
