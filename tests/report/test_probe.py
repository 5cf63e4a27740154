from __future__ import annotations

import re
from html import unescape
from types import SimpleNamespace
from typing import Any

import numpy as np

from orionlm.gain.solve import span
from orionlm.report.page import render
from orionlm.report.probe import probe_view
from orionlm.report.reading import read_run
from orionlm.report.synthetic import sections
from orionlm.synth.ranking import RANKINGS, concluded, standings

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x00\ud800"
LEFT = {"tale": "stopped in round 1: credibly worse than faq", "api": "its teacher answered nothing"}


def run(told: dict[str, Any] | None) -> Any:
    stage = SimpleNamespace(name="probe", json=lambda _: told)
    return SimpleNamespace(of_kind=lambda kind: [stage] if kind == "probe" else [])


def read(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def probe(unit: str, seeds: int = 3, price: dict[str, float] | None = None) -> dict[str, Any]:
    """As the stage writes it: `faq` beats `copy`, and `tale` left; no price in dollars is known."""
    rng = np.random.default_rng(5)
    means = {"real": 2.0, "faq": 1.8, "copy": 1.9, "tale": 1.99}
    bits = {name: mean + (0.004 * rng.standard_normal(seeds)) for name, mean in means.items()}
    gains = {name: 5 * (2.0 - means[name]) + 0.02 * rng.standard_normal(400) for name in means if name != "real"}
    drawn = gains if unit == "gain" else None
    rounds = []
    for number, names in enumerate([["faq", "copy", "tale"], ["faq", "copy"]], start=1):
        one = dict.fromkeys(names, 1.0)
        times = {"flops": {name: (price or {}).get(name, 1.25) for name in names}, "dollars": {}, "bits": one}
        stood = {ranking: standings(bits, drawn, times[ranking], 2) for ranking in RANKINGS}
        rounds.append({"round": number, "candidates": dict.fromkeys(names, {}), "standings": stood})
    found = concluded(rounds, LEFT, unit)
    for winner in found["winners"].values():
        winner["settings"] = f'[stage.{winner["name"]}]\nkind = "generate"\nrows = 60\n'
    return {"rounds": rounds, "left": LEFT, "spent": {}} | found


def tables(shown: str) -> list[list[list[str]]]:
    """The rows of each table, as text."""
    bodies = re.findall(r"<tbody>(.*?)</tbody>", shown, re.S)
    rows = [re.findall(r"<tr>(.*?)</tr>", body, re.S) for body in bodies]
    return [[[unescape(cell) for cell in re.findall(r">([^<>]+)</t[hd]>", row)] for row in body] for body in rows]


def test_each_ranking_that_is_known_is_a_table_of_what_the_last_round_said_of_every_candidate():
    told = probe("gain")
    shown = sections(run(told))
    flops, gross = tables(shown)
    for drawn, ranking in ((flops, "flops"), (gross, "bits")):
        assert drawn == [
            [line["name"], str(line["round"]), span(line), line["verdict"], line["left"] or "–"]
            for line in told["rankings"][ranking]
        ]
    assert [row[:2] for row in flops] == [["faq", "2"], ["copy", "2"], ["tale", "1"]]
    assert flops[0][3] == "best" and flops[2][4] == LEFT["tale"]
    said = read(shown)
    assert all(line in said for line in told["says"]) and "Net per dollar" not in said
    assert "net per dollar: not known of any candidate" in said


def test_without_a_baseline_the_value_is_bits_saved_with_its_interval():
    told = probe("bits")
    first = told["rankings"]["flops"][0]
    shown = sections(run(told))
    value = f"{first['value']:+.3f} ({first['low']:+.3f} to {first['high']:+.3f})"
    assert tables(shown)[0][0][2] == value and "Bits per byte saved (90%)" in shown and "Gain (90%)" not in shown


def test_single_seeds_have_a_value_but_no_interval_and_no_verdict():
    told = probe("bits", seeds=1)
    [flops, _] = tables(sections(run(told)))
    assert [row[2] for row in flops] == [f"{line['value']:+.3f}" for line in told["rankings"]["flops"]]
    assert {row[3] for row in flops} == {"cannot tell"}


def test_who_stands_in_no_ranking_is_named_with_the_reason():
    told = probe("gain")
    assert probe_view(told)["unranked"] == {"api": LEFT["api"]}
    assert f"api: {LEFT['api']}" in read(sections(run(told)))


def test_a_winner_by_several_prices_is_shown_once_and_two_winners_each_with_their_own_settings():
    same = sections(run(probe("gain")))
    assert same.count("<details>") == 1 and "Settings of faq (net per FLOP; gross, its writing left out)" in same
    told = probe("gain", price={"faq": 9.0, "copy": 1.1})
    parts = re.findall(r"Settings of (\w+) \(([^)]*)\)</summary><pre[^>]*>(.*?)</pre>", sections(run(told)), re.S)
    assert [(name, by) for name, by, _ in parts] == [("copy", RANKINGS["flops"]), ("faq", RANKINGS["bits"])]
    for name, _, settings in parts:
        assert unescape(settings) == f'[stage.{name}]\nkind = "generate"\nrows = 60\n'  # as it can be pasted


def test_names_reasons_and_settings_of_strangers_stay_text_on_the_page(make):
    told = probe("gain")
    told["says"].append(HOSTILE)
    told["left"] = {HOSTILE: HOSTILE}
    for lines in told["rankings"].values():
        for line in lines:
            line |= {"name": HOSTILE, "left": HOSTILE}
    for winner in told["winners"].values():
        winner |= {"name": HOSTILE, "settings": HOSTILE}
    made = make('name = "p"\nseed = 7\n\n[stage.probe]\nkind = "probe"\n')
    made.stage("probe", "probe", {"probe.json": told})
    page = render(read_run(made.path))
    assert "Who should write, and how (probe)" in page and page.count("&lt;script&gt;alert(1)") > 5
    assert "<script" not in page and "<img" not in page
    assert not set("\u202e\x00\ud800") & set(page)


def test_a_probe_that_is_not_done_is_not_shown():
    assert sections(run(None)).strip() == ""
