from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import pytest

from orionlm.errors import UserError
from orionlm.report.page import write_report


class Reader(HTMLParser):
    """Collects tags, attributes and the text a person sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        self.open.append(tag)

    def handle_endtag(self, tag):
        self.text += " " if tag in ("td", "th", "dt", "dd", "li", "p") else ""
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def page(whole) -> str:
    return write_report(whole).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seen(page) -> str:
    return words(Reader(page).text)


def test_the_headline_says_forecast_interval_measurement_and_verdict(seen, told):
    out = told["outcome"]["outcome.json"]
    sentence = (
        f"Forecast {out['predicted']:.3f} ({out['low']:.3f}–{out['high']:.3f}) bits per byte before the run; "
        f"measured {out['measured']:.3f}: {out['verdict']}."
    )
    assert sentence in seen


def test_every_section_of_a_finished_run_is_there_with_its_numbers(page, seen, told):
    for heading in ("The ladder", "The law", "Forecast beside measurement", "The wall", "The regime",
                    "What was trained", "What it writes", "What it cost", "How it was run"):  # fmt: skip
        assert re.search(rf"<h2[^>]*>{heading}</h2>", page), heading
    said = told["forecast"]["forecast.json"]
    for row in said["by_law"].values():
        assert f"{row['loss']:.3f} {row['low']:.3f}–{row['high']:.3f}" in seen
    for row in said["wall"]:
        assert f"{row['loss']:.3f} ({row['low']:.3f}–{row['high']:.3f})" in seen
    assert f"Settled: {said['regime']['why']}. The rule: {said['regime']['rule']}." in seen
    assert [f"{10**k:,}×" in seen for k in range(4)] == [True] * 4
    assert "a made-up price list" in seen and "$0.005" in seen and "32%" in seen and "4 min 16 s" in seen
    assert "precision bf16" in seen
    result = told["train"]["result.json"]
    assert f"{result['bits_per_byte']:.3f} ± {1.645 * 0.004:.3f}" in seen and "1.3 MB" in seen.replace("\u202f", " ")


def test_charts_are_static_named_and_share_no_identifier(page):
    reader = Reader(page)
    assert reader.tags.count("svg") == 10  # five charts, each for a page and for a phone
    names = [value for name, value in reader.attributes if name == "id"]
    assert len(names) == len(set(names))
    for name, value in reader.attributes:
        if name == "aria-labelledby":
            assert set(value.split()) <= set(names)
    assert reader.tags.count("desc") == 10 and page.count('role="img"') == 10


def test_every_colour_of_the_charts_follows_the_page(page):
    used = set(re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{3,8}|[a-z]+)"', page))
    handled = set(re.findall(r'\[(?:fill|stroke)="(#[0-9a-f]{6})"\]', page))
    assert used - handled <= {"none", "transparent"}


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_text_stands_out_in_light_and_dark(page):
    schemes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{[^}]*\}", page)
    ]
    assert len(schemes) == 2
    for scheme in schemes:
        for paper in ("paper", "soft", "warn-paper"):
            for text in ("ink", "muted", "good", "bad"):
                dim, bright = sorted((luminance(scheme[paper]), luminance(scheme[text])))
                assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, scheme[text], paper)


def test_the_page_runs_nothing_and_fetches_nothing(page):
    reader = Reader(page)
    assert not {"script", "link", "iframe", "object", "embed", "img", "image", "use", "form", "base"} & set(reader.tags)
    assert "<script" not in page.lower() and "@import" not in page
    assert not [
        a for a in reader.attributes if a[0].startswith("on") or a[0] in ("src", "href", "xlink:href", "srcset")
    ]
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", page))
    for name, value in reader.attributes:
        assert "http" not in value.replace("http-equiv", "") or name.startswith("xmlns"), (name, value)
    assert "default-src 'none'" in page


def test_text_of_a_model_is_shown_and_never_obeyed(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=https://evil.example/x" in page
    assert not {"\x00", "\ud800", "\u202e"} & set(page)


def test_hostile_names_and_settings_are_escaped_too(make):
    name = "</title><script>alert(3)</script>"
    made = make(f"name = {json.dumps(name)}\n[stage.a]\nkind = 'x'\nnote = '<b onclick=alert(4)>'\n")
    page = write_report(made.path).read_text(encoding="utf-8")
    assert "<script" not in page and "<b " not in page and "&lt;b onclick" in page


def test_a_refused_forecast_says_so_and_why_and_draws_no_band(make, told):
    made = make()
    made.stage("corpus", "corpus", {})
    made.stage("ladder", "ladder", told["ladder"])
    refused = {name: None for name in ("predicted", "low", "high", "half_width")}
    said = told["forecast"]["forecast.json"] | refused
    said |= {"verdict": "cannot tell", "why": "copying still changes: by +0.21 up to d64", "by_law": {}, "wall": []}
    said["regime"] = said["regime"] | {"settled": False, "why": said["why"]}
    made.stage("forecast", "forecast", {"forecast.json": said})
    page = write_report(made.path).read_text(encoding="utf-8")
    seen = words(Reader(page).text)
    assert re.search(r"Cannot tell: copying still changes: by \+0\.21 up to d64\. No loss was forecast", seen)
    assert f"Not settled: {said['why']}. The rule" in seen
    assert "#9ecae9" not in page.split("</style>")[1] and "The wall" not in seen
    made.stage("large", "train", told["train"])
    made.stage(
        "outcome", "outcome", {"outcome.json": told["outcome"]["outcome.json"] | refused | {"verdict": "cannot tell"}}
    )
    seen = words(Reader(write_report(made.path).read_text(encoding="utf-8")).text)
    assert f"made all the same and measured {told['train']['result.json']['bits_per_byte']:.3f}" in seen


def test_unfinished_runs_show_what_is_there_and_what_comes_next(make, told):
    made = make()
    seen = words(Reader(write_report(made.path).read_text(encoding="utf-8")).text)
    assert "0 of 5 stages are done. Next: corpus, then ladder" in seen
    made.stage("corpus", "corpus", {})
    made.stage("ladder", "ladder", told["ladder"])
    seen = words(Reader(write_report(made.path).read_text(encoding="utf-8")).text)
    assert "The ladder" in seen and "The law" not in seen and "2 of 5 stages are done. Next: forecast" in seen
    made.stage("forecast", "forecast", told["forecast"])
    seen = words(Reader(write_report(made.path).read_text(encoding="utf-8")).text)
    assert "; not measured yet." in seen and "The wall" in seen


def test_two_forecasts_of_one_ladder_are_told_apart(make, told):
    recipe = """
    name = "study"
    [stage]
    l = { kind = "ladder" }
    near = { kind = "forecast", inputs = { ladder = "l" } }
    far = { kind = "forecast", inputs = { ladder = "l" } }
    """.replace("    ", "")
    made = make(recipe)
    made.stage("l", "ladder", told["ladder"])
    made.stage("near", "forecast", told["forecast"])
    far = json.loads(json.dumps(told["forecast"]["forecast.json"]))
    far["target"] |= {"params": 3.3e6, "tokens": 1.2e7, "flops": 6.6 * 3.3e6 * 1.2e7}
    made.stage("far", "forecast", told["forecast"] | {"forecast.json": far})
    page = write_report(made.path).read_text(encoding="utf-8")
    assert "Forecast beside measurement: near" in page and "Forecast beside measurement: far" in page
    names = [value for name, value in Reader(page).attributes if name == "id"]
    assert len(names) == len(set(names))


def test_accepted_drift_stands_before_the_results(copied):
    change = {"stage": "ladder", "what": "stage.ladder.width", "old": 64, "new": "<i>96"}
    (copied / "drift.jsonl").write_text(json.dumps(change) + "\n")
    page = write_report(copied).read_text(encoding="utf-8")
    seen = words(Reader(page).text)
    assert 'stage.ladder.width: 64 → "<i>96"' in seen
    assert page.index("Drift was accepted") < page.index("The ladder")


def test_a_corrupt_artifact_is_named_and_the_old_page_stays(copied):
    before = write_report(copied).read_bytes()
    damaged = copied / "artifacts" / "forecast" / "forecast.json"
    damaged.write_bytes(damaged.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(UserError, match=r"forecast/forecast\.json: corrupt.*--redo forecast"):
        write_report(copied)
    assert (copied / "report.html").read_bytes() == before


def test_the_same_run_gives_the_same_page_quickly(whole, page):
    began = time.perf_counter()
    again = write_report(whole).read_text(encoding="utf-8")
    assert again == page
    assert time.perf_counter() - began < 15
