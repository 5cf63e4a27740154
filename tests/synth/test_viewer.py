from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.data.curation.samples import LOOKED_AT
from orionlm.synth.rows import Row, row_files, write_rows
from orionlm.synth.viewer import TEXTS, draw, messages, render

pytest.importorskip("phonenumbers")
HOSTILE = '</script><img src=x onerror=alert(1)><script>document.title="owned"</script><!-- <b>\u202e\x00& "q"'
PERSON = "ann.smith@gmail.com"


class Page(HTMLParser):
    """The elements of a page, and what stands in its style and its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.inside: list[tuple[dict[str, str | None], str]] = []
        self.policy = ""
        self.raw = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        assert not any(name.startswith("on") for name in given)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        self.raw = tag in ("style", "script")
        if self.raw:
            self.inside.append((given, ""))

    def handle_endtag(self, tag):
        self.raw = False

    def handle_data(self, data):
        if self.raw:
            given, before = self.inside[-1]
            self.inside[-1] = (given, before + data)

    @property
    def data(self):
        return json.loads(self.inside[1][1])


def everywhere(text: str) -> Row:
    """A row that says the same in every place."""
    prompt = json.dumps([{"role": text, "content": text}, {"role": "user", "content": [{"type": text}]}])
    return Row(
        **{name: text for name in TEXTS}, prompt=prompt, seeds=(text,), scores={text: float("nan")},
        verdicts={text: text}, more={text: text},
    )  # fmt: skip


def test_hostile_text_stays_text_wherever_it_stands():
    html = render([everywhere(HOSTILE)], HOSTILE)
    page = Page(html)
    assert page.tags.count("script") == 2 and "img" not in page.tags and "b" not in page.tags
    assert html.count("</script") == 2 and html.count("<!--") == 0
    assert "\u202e" not in html and "\x00" not in html
    shown = HOSTILE.replace("\u202e", "\ufffd").replace("\x00", "\ufffd")
    assert page.data["strings"][page.data["rows"][0]["text"]] == shown


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text(alphabet="<>/!-scriptSCRIPT &\\u0\"'"))
def test_no_text_opens_or_closes_an_element(free, near):
    html = render([Row(text=free, method=near, seed_text=free + near, prompt=near)], near)
    assert Page(html).tags == Page(render([], "empty")).tags
    assert len(Page(html).data["rows"]) == 1


def test_only_our_script_and_style_may_run_and_nothing_may_be_fetched():
    page = Page(render([Row("a", "m")], "rows"))
    (_, style), (kind, _), (_, script) = page.inside
    assert kind["type"] == "application/json"
    digest = {
        text: "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    }
    policy = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert policy == {
        "default-src": "'none'", "style-src": f"'{digest[style]}'", "script-src": f"'{digest[script]}'",
        "form-action": "'none'", "base-uri": "'none'",
    }  # fmt: skip
    ours = resources.files("orionlm.synth").joinpath("viewer.js").read_text(encoding="utf-8")
    makes_markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|fetch\(|XMLHttp|import\("
    assert script == ours and not re.search(makes_markup, ours)


def test_persons_and_secrets_are_masked_wherever_they_stand():
    html = render([everywhere(f"write to {PERSON} today")], PERSON)
    assert PERSON not in html and html.count("EMAIL") > 2
    key = "AKIA" + "Q3J7ZKX5WBN2TFH6"
    assert key not in render([everywhere(f'aws_key = "{key}"')], "rows")


def test_a_row_s_own_digests_are_shown_as_they_are():
    row = Row("some text", "m", key="4111111111111111" * 2)
    data = Page(render([row], "rows")).data
    assert data["strings"][data["rows"][0]["id"]] == row.id


def test_long_text_is_cut_and_what_the_cut_may_have_torn_stays_out():
    text = "word " * (LOOKED_AT // 5 - 1) + PERSON  # the address is cut in two where looking ends
    html = render([Row(text, "m")], "rows")
    assert "ann" not in html and f"({len(text):,} characters in all)" in html
    assert len(html) < len(render([], "rows")) + LOOKED_AT


def test_a_text_that_many_rows_share_lies_in_the_page_once():
    seed = "the seed of them all " * 50
    rows = [Row(f"text {n}", "m", seed_text=seed, prompt=json.dumps(seed)) for n in range(2000)]
    html = render(rows, "rows")
    assert html.count(seed.strip()) == 1 and len(html) < 2_000_000


def test_a_prompt_is_shown_by_its_messages_and_one_that_is_no_chat_as_it_is():
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    odd = "[1, 2"
    data = Page(render([Row("a", "m", prompt=p) for p in (chat, json.dumps("def f("), odd, "")], "rows")).data
    said = [[tuple(data["strings"][i] for i in pair) for pair in row["prompt"]] for row in data["rows"]]
    assert said == [[("system", "Be brief."), ("user", "Why?")], [("", "def f(")], [("", odd)], []]


def test_rejected_rows_say_by_which_check():
    rows = [Row("a", "m").judged("copying", "61 words in a row"), Row("b", "m").judged("copying")]
    data = Page(render(rows, "rows")).data
    assert [data["strings"][row["outcome"]] for row in data["rows"]] == ["copying", ""]
    assert [row["error"] == 0 for row in data["rows"]] == [False, True]


def test_where_there_are_too_many_the_rare_kinds_are_still_seen(tmp_path):
    rows = [Row(f"{n}", "common") for n in range(900)] + [Row(f"r{n}", "rare") for n in range(20)]
    rows += [Row(f"x{n}", "common").judged("language", f"{n}") for n in range(5)]
    write_rows(tmp_path, rows)
    drawn, count = draw(row_files(tmp_path), 100)
    assert count == 925 and len(drawn) == 100
    assert sum(bool(row.error) for row in drawn) == 5
    assert sum(row.method == "rare" for row in drawn) == 20
    places = [rows.index(row) for row in drawn]
    assert places == sorted(places)
    assert draw(row_files(tmp_path), 100) == (drawn, count)
    assert draw(row_files(tmp_path), 2000) == (rows, 925)
    assert "Drawn at random from 925" in render(drawn, "rows", count)
    assert "Drawn" not in render(rows, "rows", count)


@pytest.mark.slow
def test_in_a_browser_the_row_named_is_shown_with_its_seed_and_hostile_text_does_nothing(tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    rows = [Row(f"written {n}", f"method {n}", seed_text=HOSTILE + f" seed {n}") for n in range(50)]
    (tmp_path / "page.html").write_text(render(rows, "rows"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = (tmp_path / "page.html").as_uri() + f"#{rows[41].id}"
    shown = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120).stdout
    page = Page(shown)
    assert "<title>rows: synthetic rows</title>" in shown and "img" not in page.tags
    main = shown[shown.index("<main") : shown.index("</main>")]
    assert "written 41" in main and "seed 41" in main and "&lt;img src=x onerror" in main
    assert shown.count("<li") == 50 and "42 of 50" in shown


def test_a_prompt_nested_too_deeply_to_be_read_is_shown_as_it_is():
    assert messages("[" * 5000) == [("", "[" * 5000)]
