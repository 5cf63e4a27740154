"""A budget becomes the plan that its laws make best, and says what holds it back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.artifact import publish, write_json
from orionlm.data.mixing.mixture import Settings as MixtureSettings
from orionlm.data.mixing.mixture import mix
from orionlm.errors import UserError
from orionlm.plan.best import Means, choose, needed
from orionlm.plan.budget import Budget, reach
from orionlm.plan.laws import BESIROGLU
from orionlm.plan.outlook import Outlook, Text
from orionlm.plan.proposal import propose, shape_near
from orionlm.plan.repetition import effective_tokens
from orionlm.settings import parse_toml, validate


def budget(text):
    document = parse_toml(text, "budget.toml")
    return validate(Budget, document.values, document)


def means(flops=None, unique=1e15, served=0.0, limits=None, **more):
    settings = {"rate": 4e14, "serving_rate": 1e14, "smallest": 1e6, "largest": 1e14} | more
    return Means(limits or {}, flops, Text(unique, 0.0, 16.0), served, **settings)


@pytest.fixture(scope="module")
def besiroglu():
    return Outlook.of("besiroglu", count=100)


def test_fresh_text_gives_the_loss_of_the_law(besiroglu):
    loss = besiroglu.loss(np.array([7e10]), np.array([1.4e12]))
    assert besiroglu.interval(loss[:, 0])[0] == pytest.approx(float(BESIROGLU.predict(7e10, 1.4e12)), rel=0.005)


@pytest.mark.parametrize("flops", [1e21, 1e23, 2e26])
def test_compute_alone_gives_the_closed_form_of_the_optimum(besiroglu, flops):
    a, b, _, alpha, beta = BESIROGLU.theta
    scale = (alpha / beta * np.exp(a - b)) ** (1 / (alpha + beta))
    tokens = (flops / 6) ** (alpha / (alpha + beta)) / scale
    chosen = choose(besiroglu, means(flops))
    assert chosen.tokens == pytest.approx(tokens, rel=0.25)
    assert chosen.flops == pytest.approx(flops, rel=1e-6)
    if flops == 2e26:
        assert tokens == pytest.approx(23e12, rel=0.03)


def mixed(folder, tokens=None, **weights):
    """A made mixture of 1B tokens of code and 9B of text, as a run leaves it."""
    account = {"licences": {}, "documents": 1, "bytes": 1}
    text = {"code": account | {"tokens": 10**9}, "text": account | {"tokens": 9 * 10**9}}
    partial = folder / "mixture.partial"
    partial.mkdir()
    page = mix(MixtureSettings(weights=weights, tokens=tokens), text)
    write_json(partial / "mixture.json", page)
    publish(partial, folder / "mixture", kind="mixture", settings={}, inputs={}, seed=0, fingerprint="")
    return page, budget(f'[compute]\nflops = "1e24"\n[text]\nmixture = "{folder / "mixture"}"\n')


def test_a_mixture_is_planned_with_as_its_effective_tokens_and_no_further_than_it_holds(tmp_path):
    page, asked = mixed(tmp_path, code=0.5, text=0.5)
    text = asked.stock
    worth = float(effective_tokens(text.most_tokens, text.unique, page["r_star"]))
    assert text.most_tokens == pytest.approx(page["tokens"])
    assert worth == pytest.approx(page["effective_tokens"], rel=1e-6)
    assert 10**9 < text.unique < 10**10
    plan = propose(asked).parts["plan"]
    assert plan["tokens"] <= page["tokens"] * (1 + 1e-6)


def test_a_mixture_by_size_is_the_text_read_evenly(tmp_path):
    _, asked = mixed(tmp_path)
    assert asked.stock.unique == pytest.approx(1e10, rel=0.01)
    assert asked.stock.most_epochs == pytest.approx(11.67, rel=0.01)


def test_a_mixture_that_reads_nothing_twice_is_fresh_text(tmp_path):
    _, asked = mixed(tmp_path, tokens=10**9, code=0.5, text=0.5)
    assert (asked.stock.unique, asked.stock.most_epochs) == (10**9, 1)


def test_a_mixture_beside_other_text_or_none_is_named(tmp_path):
    _, asked = mixed(tmp_path)
    both = asked.text.model_copy(update={"unique": asked.compute.flops})
    with pytest.raises(UserError, match="text.mixture: it says how much text there is; leave unique and domains out"):
        _ = asked.model_copy(update={"text": both}).stock
    with pytest.raises(UserError, match="none of unique, domains and mixture is given"):
        _ = budget('[compute]\nflops = "1e24"\n[text]\n').stock
    with pytest.raises(UserError, match="no artifact here"):
        _ = budget('[compute]\nflops = "1e24"\n[text]\nmixture = "nowhere"\n').stock


def test_demand_makes_the_model_smaller_as_its_first_order_condition_says(besiroglu):
    # 2401.00448: at the optimum of 6ND + 2N·S the elasticities of loss in N and D stand as 1 + S/(3D) to 1.
    chosen = choose(besiroglu, means(1e24, served=1e13))
    assert chosen.params < choose(besiroglu, means(1e24)).params
    step = 1.02

    def mean(n, d):
        return float(besiroglu.weight @ besiroglu.loss(np.array([n]), np.array([d]))[:, 0])

    here = mean(chosen.params, chosen.tokens)
    by_params = here - mean(chosen.params * step, chosen.tokens)
    by_tokens = here - mean(chosen.params, chosen.tokens * step)
    assert by_params / by_tokens == pytest.approx(1 + 1e13 / (3 * chosen.tokens), rel=0.1)


@settings(max_examples=15, deadline=None)
@given(st.floats(19, 25), st.floats(8, 13), st.sampled_from(["flops", "real text"]))
def test_more_of_anything_never_hurts(exponent, text, resource):
    outlook = Outlook.of("besiroglu", count=20)
    before = means(10.0**exponent, 10.0**text)
    poor, rich = choose(outlook, before), choose(outlook, before.scaled(resource, 2.0))
    assert outlook.weight @ rich.losses <= outlook.weight @ poor.losses + 1e-4


@pytest.mark.parametrize(("unique", "binding"), [("100M", "real text"), ("100T", "time")])
def test_the_scarcer_of_text_and_time_binds(unique, binding):
    plan = propose(budget(f'[compute]\ndevices = 512\ntime = "30 days"\n[text]\nunique = "{unique}"\n')).parts
    assert plan["binding"] == binding
    first = next(row for row in plan["shadow_prices"] if row["amount"])
    assert first["resource"] == binding


def test_text_read_too_often_stops_the_run_before_compute_does():
    plan = propose(
        budget('[compute]\ndevices = 512\ntime = "30 days"\n[text]\nunique = "10M"\nmost_epochs = 1000\n')
    ).parts["plan"]
    assert plan["epochs"] < 1000


def test_eight_h100s_for_a_day_are_the_flops_of_a_pocket_calculator():
    plan = propose(budget('[compute]\ndevices = 8\ntime = "1 day"\nutilisation = 0.4\n[text]\nunique = "10B"\n')).parts
    assert plan["plan"]["flops"] == pytest.approx(8 * 86_400 * 989e12 * 0.4, rel=0.01)
    assert plan["time"]["days"] == pytest.approx(1.0, rel=0.01)
    assert plan["verdict"] == "go"
    assert plan["plan"]["low"] < plan["plan"]["loss"] < plan["plan"]["high"]


def test_money_pays_for_training_and_for_the_demand():
    plan = propose(budget('[compute]\nmoney = "$5M"\n[text]\nunique = "2T"\n[demand]\ntokens = "1e13"\n')).parts
    assert plan["cost"]["budget"]["total"] == pytest.approx(5e6, rel=1e-3)
    assert plan["cost"]["budget"]["serving"] > 5e5


@pytest.mark.parametrize(("loss", "verdict"), [(3.5, "go"), (2.0, "no-go")])
def test_a_target_within_reach_is_go_and_one_beyond_names_the_smallest_relaxation(loss, verdict):
    plan = propose(
        budget(f'[compute]\ndevices = 8\ntime = "1 day"\n[text]\nunique = "10B"\n[target]\nloss = {loss}\n')
    ).parts
    assert plan["verdict"] == verdict
    if verdict == "no-go":
        assert "smallest relaxation" in plan["why"] or "no single resource" in plan["why"]


def test_a_relaxation_that_is_named_does_reach_the_target(besiroglu):
    before = means(1e21)
    reached = float(besiroglu.weight @ choose(besiroglu, before.scaled("flops", 3.0)).losses)
    assert needed(besiroglu, before, reached, ["flops"])["flops"] == pytest.approx(3.0, rel=0.03)


def test_a_far_plan_says_how_far_it_extrapolates():
    plan = propose(budget('[compute]\ndevices = "20K"\ntime = "5 months"\n[text]\nunique = "15T"\n')).parts
    assert any("3.9 orders of magnitude" in warning for warning in plan["warnings"])
    assert set(plan["by_law"]) == {"besiroglu", "hoffmann"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[compute]\ndevices = 8\n[text]\nunique = "1B"\n', "give time"),
        ('[compute]\ntime = "1 day"\n[text]\nunique = "1B"\n', "give devices"),
        ('[compute]\nmoney = "$5"\n[text]\n', "say how much text"),
        ('[compute]\nmoney = 5\n[text]\nunique = "1B"\n', "budget.toml:2: compute.money: 5: the unit is missing"),
        ('[compute]\nmoney = "$5"\nacelerator = "H100"\n[text]\nunique = 1\n', "did you mean accelerator"),
        ('[compute]\nflops = "1e10"\n[text]\nunique = "1B"\n', "compute.flops does not train"),
        ('[compute]\nflops = "1e24"\n[text]\nunique = 10\n', "text.unique does not train"),
        ('[compute]\nmoney = "$10"\n[text]\nunique = "1B"\n[demand]\ntokens = "1e16"\n', "lower demand.tokens"),
        ('[compute]\nmoney = "$10"\naccelerator = "H101"\n[text]\nunique = "1B"\n', "H100"),
    ],
)
def test_budgets_that_make_no_plan_are_refused_in_one_line(text, said):
    with pytest.raises(UserError) as failure:
        propose(budget(text))
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


@settings(max_examples=20, deadline=None)
@given(st.floats(6.5, 12.5))
def test_a_shape_near_any_size_has_about_its_parameters(exponent):
    assert shape_near(10**exponent, 2048).parameters == pytest.approx(10**exponent, rel=0.35)


def test_domains_are_one_stock_with_their_own_epochs():
    read = budget(
        '[compute]\nflops = "1e20"\n[text.domains.web]\ntokens = "8B"\nmost_epochs = 2\n'
        '[text.domains.code]\ntokens = "2B"\nmost_epochs = 7\n'
    )
    assert read.stock.unique == 10e9
    assert read.stock.most_tokens == pytest.approx(30e9)
    assert reach(read).limits == {}


CLUSTER = '[compute]\ndevices = 1024\ntime = "30 days"\n'


def test_fp8_is_not_taken_to_train_twice_as_fast():
    by = {p: reach(budget(f'{CLUSTER}precision = "{p}"\n[text]\nunique = "2T"\n')).rate for p in ("bf16", "fp8")}
    assert by["fp8"] / by["bf16"] == pytest.approx(1.2)
    stated = reach(budget(f'{CLUSTER}precision = "fp8"\nutilisation = 0.3\n[text]\nunique = "2T"\n'))
    assert stated.rate == pytest.approx(0.3 * 1979e12 * stated.goodput.share)


def test_flops_with_a_deadline_name_the_cluster_that_meets_it_and_its_failures():
    said = propose(budget('[compute]\nflops = "1e24"\ntime = "10 days"\n[text]\nunique = "2T"\n')).parts["time"]
    assert said["days"] == pytest.approx(10, rel=0.05) and said["devices"] > 2900
    assert said["goodput"] < 0.975


def test_all_experts_take_memory_though_one_is_active():
    text = f'{CLUSTER}[text]\nunique = "20B"\n[model]\nlargest = "3B"\n'
    dense = propose(budget(text)).parts
    mixture = propose(budget(text + 'kind = "moe"\nexperts = 32\n')).parts
    assert dense["architecture"]["all_params"] == dense["plan"]["params"]
    assert mixture["architecture"]["all_params"] > 15 * mixture["plan"]["params"]
    assert mixture["serving"]["tokens_per_second"] < dense["serving"]["tokens_per_second"]


def test_writing_synthetic_text_is_paid_from_the_budget():
    text = '[compute]\nmoney = "$20K"\n[text]\nunique = "2B"\nsynthetic = "10B"\n'
    free, paid = (propose(budget(text + more)).parts for more in ("", 'generator_params = "70B"\n'))
    assert free["time"]["writing_device_hours"] == 0 and "writing_flops" not in str(free)
    written = paid["plan"]["synthetic_tokens"]
    assert paid["time"]["writing_device_hours"] == pytest.approx(2 * 70e9 * written / (0.15 * 989e12) / 3600)
    assert paid["cost"]["budget"]["total"] <= 20e3 * 1.001
    assert paid["plan"]["loss"] >= free["plan"]["loss"] - 1e-3


def test_demand_that_nothing_pays_for_is_said_to_shape_nothing():
    served = '[text]\nunique = "2T"\n[demand]\ntokens = "1e13"\n'
    assert any("demand" in warning for warning in propose(budget(CLUSTER + served)).parts["warnings"])
    paid = propose(budget('[compute]\nmoney = "$5M"\n' + served)).parts["warnings"]
    assert not any("demand" in warning for warning in paid)


def test_no_neighbour_is_better_than_the_plan():
    plan = propose(budget('[compute]\ndevices = 64\ntime = "30 days"\n[text]\nunique = "2B"\nsynthetic = "5B"\n')).parts
    assert all(row["loss_difference"] > -1e-3 for row in plan["neighbours"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[compute]\nmoney = "$5M"\nutilisation = 0\n[text]\nunique = "2T"\n', "compute.utilisation = 0"),
        ('[compute]\nmoney = "$5M"\n[text]\nunique = "2T"\n[demand]\nutilisation = 0\n', "demand.utilisation = 0"),
        ('[compute]\nflops = "1e30"\ntime = "1 day"\n[text]\nunique = "1T"\n', "get nothing done"),
    ],
)
def test_what_computes_nothing_is_refused(text, why):
    with pytest.raises(UserError, match=why):
        propose(budget(text))


def test_a_huge_budget_without_a_cluster_stays_finite():
    assert propose(budget('[compute]\nflops = "1e29"\n[text]\nunique = "1000T"\n')).parts["time"]["devices"] == 100_000


def test_repetition_outside_what_was_measured_is_said():
    text = '[text]\nunique = "{}"\n'
    said = {u: propose(budget(CLUSTER + text.format(u))).parts["warnings"] for u in ("1T", "20T")}
    assert any("reading text again" in line for line in said["1T"])
    assert not any("reading text again" in line for line in said["20T"])
