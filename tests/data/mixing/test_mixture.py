from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orionlm.artifact import Artifact, write_json
from orionlm.data.mixing import mixture
from orionlm.data.mixing.apportion import BLOCK, CLOSE, LARGEST_BLOCK
from orionlm.data.mixing.mixture import R_STAR, Mixture, Settings, mix, of_tokens
from orionlm.errors import UserError
from orionlm.plan.repetition import effective_tokens

CAP = 1 + R_STAR * math.log(2)


def domain(tokens: int, licence: str = "MIT") -> dict[str, Any]:
    counts = {"documents": max(1, tokens // 100), "bytes": 4 * tokens, "tokens": tokens}
    return counts | {"licences": {licence: counts | {"sources": {"somewhere": counts}}}}


TEXT = {"code": domain(700_000), "text": domain(1_300_000), "best": domain(50_000)}


@st.composite
def asked(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Domains of any sizes, and settings that this text can serve."""
    names = [f"d{k}" for k in range(draw(st.integers(1, 6)))]
    sizes = {name: draw(st.integers(1_000, 10**9)) for name in names}
    weight = st.floats(0.01, 10)
    settings: dict[str, Any] = {"weights": {name: draw(weight) for name in names if draw(st.booleans())}}
    if draw(st.booleans()):
        late = {name: draw(weight) for name in names if draw(st.booleans())}
        settings["anneal"] = {"share": draw(st.floats(0.01, 0.5)), "weights": late or {names[0]: 1.0}}
    settings["max_epochs"] = {name: draw(st.floats(0.2, 40)) for name in names if draw(st.booleans())}
    used = set(settings["weights"] or names) | set(settings.get("anneal", {}).get("weights", {}))
    most = sum(sizes[name] * settings["max_epochs"].get(name, CAP) for name in used)
    if draw(st.booleans()):
        settings["tokens"] = int(most * draw(st.floats(0.001, 0.98)))
        assume(settings["tokens"] > 1000)
    return settings, {name: domain(size) for name, size in sizes.items()}


def rounding(page: dict[str, Any]) -> float:
    """How far a block of whole places may be from the weights, as a share of a run."""
    return max(1 / sum(phase["block"].values()) for phase in page["phases"])


@given(asked())
def test_no_domain_is_read_past_its_cap(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    settings, text = case
    page = mix(Settings(**settings), text)
    for name, row in page["domains"].items():
        cap = settings["max_epochs"].get(name, CAP)
        assert row["max_epochs"] == pytest.approx(cap)
        slack = rounding(page) * page["tokens"] / row["unique_tokens"] if page["planned"] else 1e-6
        assert row["epochs"] <= cap + slack
    if not page["planned"]:
        assert not page["caps"]
        assert any(row["tokens"] >= row["max_epochs"] * row["unique_tokens"] - 2 for row in page["domains"].values())


@given(asked())
def test_all_tokens_are_accounted_for_once(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    settings, text = case
    page = mix(Settings(**settings), text)
    rows = page["domains"].values()
    assert sum(row["tokens"] for row in rows) == pytest.approx(page["tokens"], rel=1e-9)
    assert sum(row["weight"] for row in rows) == pytest.approx(1)
    for phase in page["phases"]:
        assert sum(row["weight"] for row in phase["domains"].values()) == pytest.approx(1)
        assert sum(row["tokens"] for row in phase["domains"].values()) == pytest.approx(phase["tokens"])
    for name, row in page["domains"].items():
        over = [phase["domains"][name] for phase in page["phases"] if name in phase["domains"]]
        for key in ("tokens", "epochs", "effective_tokens"):
            assert row[key] == pytest.approx(sum(part[key] for part in over))
        worth = float(effective_tokens(row["tokens"], row["unique_tokens"], R_STAR))
        assert row["effective_tokens"] == pytest.approx(worth)
        assert row["effective_tokens"] <= row["tokens"] * (1 + 1e-9)
    assert page["effective_tokens"] == pytest.approx(sum(row["effective_tokens"] for row in rows))


@given(asked())
def test_weights_that_no_cap_touches_come_out_within_a_place_of_a_block(
    case: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    settings, text = case
    page = mix(Settings(**settings), text)
    given_weights = settings["weights"] or {name: row["tokens"] for name, row in text.items()}
    phase, total = page["phases"][0], sum(given_weights.values())
    assume(not any(cap["phase"] == "main" for cap in page["caps"]))
    size = sum(phase["block"].values())
    assert size >= BLOCK
    for name, weight in given_weights.items():
        assert abs(phase["block"].get(name, 0) - size * weight / total) <= len(given_weights)
        if size < LARGEST_BLOCK:
            assert phase["block"][name] == pytest.approx(size * weight / total, rel=CLOSE + 1e-9)


@given(asked())
def test_what_is_written_is_what_the_loader_reads(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    settings, text = case
    page = json.loads(json.dumps(mix(Settings(**settings), text), sort_keys=True))
    read = Mixture.of(page)
    assert dict(zip(read.domains, read.shares, strict=True)) == pytest.approx(
        {name: row["weight"] for name, row in page["domains"].items()}
    )
    fresh, ends = read.fresh
    assert fresh * page["domains"][ends]["weight"] == pytest.approx(page["domains"][ends]["unique_tokens"], abs=1)
    assert all(fresh * row["weight"] <= row["unique_tokens"] * (1 + 1e-9) for row in page["domains"].values())


def test_weights_are_by_size_where_none_are_given() -> None:
    page = mix(Settings(), TEXT)
    assert {name: round(row["weight"], 2) for name, row in page["domains"].items()} == {
        "best": 0.02,
        "code": 0.34,
        "text": 0.63,
    }
    assert page["tokens"] == pytest.approx(CAP * 2_050_000, rel=0.01)


def test_the_default_cap_is_where_a_token_is_worth_half_a_fresh_one() -> None:
    assert mixture.default_cap(0.5) == pytest.approx(11.67, abs=0.005)
    page = mix(Settings(weights={"code": 1.0}), TEXT)
    assert page["domains"]["code"]["worth_of_the_last"] == pytest.approx(0.5, rel=1e-4)
    step = 1000.0
    more, less = (float(effective_tokens(page["tokens"] + d, 700_000, R_STAR)) for d in (step, -step))
    assert (more - less) / (2 * step) == pytest.approx(0.5, rel=1e-3)
    stricter = mix(Settings(weights={"code": 1.0}, least_worth=0.75), TEXT)
    assert stricter["domains"]["code"]["epochs"] == pytest.approx(1 + R_STAR * math.log(4 / 3), rel=1e-4)


def test_weight_past_a_cap_goes_to_the_others_and_is_said() -> None:
    page = mix(Settings(weights={"code": 0.5, "text": 0.4, "best": 0.1}, tokens=10_000_000), TEXT)
    assert [cap["domain"] for cap in page["caps"]] == ["best"]
    assert page["domains"]["best"]["epochs"] == pytest.approx(CAP, rel=0.01)
    assert page["domains"]["code"]["weight"] / page["domains"]["text"]["weight"] == pytest.approx(5 / 4, rel=0.01)
    [line] = [line for line in page["says"] if "capped" in line]
    assert line.startswith("main: best is capped at 11.7 epochs: 5.8% of the weight, not 10.0%; the rest goes to code")


def test_the_anneal_is_served_before_the_main_phase() -> None:
    anneal = {"share": 0.1, "weights": {"best": 1.0}}
    page = mix(Settings(anneal=anneal, max_epochs={"best": 2.0}, tokens=1_000_000), TEXT)
    main, late = page["phases"]
    assert late["domains"] == {"best": pytest.approx(late["domains"]["best"])} and "best" not in main["domains"]
    assert late["tokens"] == pytest.approx(100_000) and late["domains"]["best"]["epochs"] == pytest.approx(2)
    assert Mixture.of(page).anneal_start(1000) == 900
    assert [cap["phase"] for cap in page["caps"]] == ["main"]


def test_a_domain_too_small_for_a_place_is_left_out_and_said() -> None:
    page = mix(Settings(), {"all": domain(10**9), "crumb": domain(1000)})
    assert list(page["domains"]) == ["all"] and any("crumb: left out" in line for line in page["says"])


def test_lines_for_people_say_what_was_done_to_the_settings() -> None:
    text = TEXT | {"code": domain(700_000, "unknown")}
    page = mix(Settings(weights={"code": 7, "text": 3}), text)
    assert page["says"][0].startswith("up to 11,6")
    assert "weights sum to 10: divided by that" in page["says"]
    assert "not read, for they have no weight: best" in page["says"]
    assert "35.0% of the bytes are of unknown licence" in page["says"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": {"cod": 1.0}}, "weights: no text to train on in domain 'cod'; did you mean code"),
        ({"weights": {"code": 0.0}}, "weights: no domain has any weight"),
        ({"weights": {"code": -1.0, "text": 2.0}}, r"weights.code = -1.0: give a share of 0 or more"),
        ({"weights": {"empty": 1.0}}, "no text to train on in domain 'empty'"),
        ({"max_epochs": {"books": 3.0}}, "max_epochs: no text to train on in domain 'books'; known: best, code, text"),
        ({"max_epochs": {"code": 0.0}}, "max_epochs.code = 0.0: give a number above 0"),
        ({"anneal": {"weights": {"beast": 1.0}}}, "anneal.weights: no text to train on in domain 'beast'; did you"),
        ({"anneal": {"weights": {}}}, "anneal.weights: no domain has any weight"),
        ({"tokens": 30_000_000}, r"tokens = 30,000,000: this text may be read 23,9\d\d,\d{3} tokens long at most"),
        ({"licences": {"allow": ["Apache-2.0"]}}, "of source 'somewhere' in domain 'text' are 'MIT': allow does not"),
    ],
)
def test_a_mixture_that_cannot_be_made_says_why(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        mix(Settings(**settings), TEXT | {"empty": domain(0)})


def test_licences_of_text_that_is_not_read_do_not_block() -> None:
    text = TEXT | {"kernel": domain(10_000, "GPL-2.0-only")}
    policy = {"deny": ["copyleft"]}
    assert "kernel" not in mix(Settings(weights={"code": 1.0}, licences=policy), text)["domains"]
    with pytest.raises(UserError, match="in domain 'kernel' are 'GPL-2.0-only': deny holds"):
        mix(Settings(weights={"code": 1.0}, anneal={"weights": {"kernel": 1.0}}, licences=policy), text)


def test_no_text_at_all_is_named() -> None:
    with pytest.raises(UserError, match="there is no text to train on"):
        mix(Settings(), {"empty": domain(0)})


def test_the_stage_writes_the_mixture_says_it_and_belongs_to_its_tokens(tmp_path: Path) -> None:
    lines: list[str] = []
    context: Any = SimpleNamespace(stage="mixture", progress=SimpleNamespace(say=lines.append))
    for name in ("tokens", "mixture"):
        (tmp_path / name).mkdir()
    write_json(tmp_path / "tokens" / "tokens.json", {"train": {"domains": TEXT}})
    tokens = Artifact(tmp_path / "tokens", "tokens", {"files": {"tokens.json": ""}}, "digest")
    mixture.run(Settings(weights={"code": 0.7, "text": 0.3}), {"tokens": tokens}, tmp_path / "mixture", context)
    assert lines[0].startswith("mixture: up to 11,6") and "code 70.0% (12 epochs), text 30.0%" in lines[0]
    files = {"files": {"mixture.json": ""}}
    made = Artifact(tmp_path / "mixture", "mixture", files | {"inputs": {"tokens": "digest"}}, "m")
    assert of_tokens(made, tokens).domains == ("code", "text")
    other = Artifact(tmp_path / "mixture", "mixture", files | {"inputs": {"tokens": "other"}}, "m")
    with pytest.raises(UserError, match="made from other tokens"):
        of_tokens(other, tokens)


def test_weights_that_sum_past_all_numbers_are_a_line() -> None:
    with pytest.raises(UserError, match="weights: they sum to more than a number can hold"):
        mix(Settings(weights={"code": 1e308, "text": 1e308}), TEXT)


def test_the_mend_for_weights_of_nothing_can_be_pasted() -> None:
    with pytest.raises(UserError, match=r'\{ "a/b c" = 1\.0 \}'):
        mix(Settings(weights={"a/b c": 0.0}), {"a/b c": domain(1_000)})


def test_text_that_models_wrote_may_not_be_most_of_what_is_read():
    def domain(tokens, source):
        sources = {source: {"documents": 1, "bytes": tokens, "tokens": tokens}}
        return {
            "documents": 1,
            "bytes": tokens,
            "tokens": tokens,
            "licences": {"MIT": {"bytes": tokens, "sources": sources}},
        }

    domains = {"code": domain(10_000, "numpy"), "synthetic": domain(10_000, "synthetic: rephrase/faq")}
    with pytest.raises(
        UserError, match=r"real_share = 0.5: by these weights 30.\d% of what is read was written by people"
    ):
        mix(Settings(weights={"code": 0.3, "synthetic": 0.7}), domains)
    page = mix(Settings(weights={"code": 0.3, "synthetic": 0.7}, real_share=0.25), domains)
    assert page["real_share"] == pytest.approx(0.3, abs=0.01)
    assert mix(Settings(weights={"code": 1.0}), domains)["real_share"] == 1.0
