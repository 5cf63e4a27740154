from __future__ import annotations

import json
import time

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.decontamination.test_overlap import some
from orionlm.data.decontamination.decontaminate import (
    REASON,
    Given,
    Settings,
    checker,
    contents,
    findings,
    identity,
    report,
)
from orionlm.data.documents import Document
from orionlm.data.filters import KEPT
from orionlm.errors import UserError
from orionlm.tasks.suite import load_suite

QUESTION = (
    "A ferry crosses the sound in 35 minutes and waits 10 minutes at each pier. If it first leaves the island at seven "
    "in the morning, when does it begin its fifth crossing?"
)
SUITE = """
name = "ours"
[task.prose]
kind = "generate"
items = "rows.jsonl"
[task.sums]
kind = "choice"
items = { generator = "arithmetic", n = 5, choices = 4 }
"""


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE)
    rows = [{"id": "ferry", "question": QUESTION, "answer": "10:00"}, {"question": some(1, 20), "answer": "3"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Settings(suites=(str(tmp_path / "suite.toml"),))


def document(text: str, id: str = "d") -> Document:
    return Document(text, "web", "g", id)


def test_a_document_with_an_item_goes_and_is_counted_and_others_stay(settings):
    documents = [document(f"{some(2, 30)} {QUESTION}", "bad"), document(some(3, 200), "good")]
    bad, good = checker(settings)(documents)
    assert bad.reason == REASON and bad.counts == {"ours: verbatim": 1} and bad.text is None
    assert bad.detail.startswith("ours/prose ")
    assert good == KEPT


def test_what_was_found_is_told_for_each_item(settings):
    (verdict,) = checker(settings)([document(f"{QUESTION} {some(1, 20)}", "bad")])
    ferry, other = findings(document("", "bad"), verdict)
    assert ferry[:6] == ("ours", "prose", "ferry", "bad", "web", "verbatim") and ferry.words == len(QUESTION.split())
    assert other.item == "2" and other.words == 20
    assert findings(document(""), checker(settings)([document("nothing")])[0]) == []


def test_only_the_passage_goes_where_that_is_asked_for(settings):
    before, after = some(4, 200), some(5, 200)
    cut = checker(settings.model_copy(update={"remove": "passage"}))
    (verdict,) = cut([document(f"{before} {QUESTION} {after}")])
    assert verdict.reason == "" and verdict.counts and findings(document(""), verdict)
    assert verdict.text and QUESTION[10:60] not in verdict.text
    assert verdict.text.startswith(before[:-220]) and verdict.text.endswith(after[220:])
    assert checker(settings)([document(verdict.text)])[0].reason == ""


def test_a_document_in_too_many_or_too_short_pieces_goes_as_a_whole(settings):
    cut = checker(settings.model_copy(update={"remove": "passage"}))
    many = " ".join(f"{some(n, 120)} {QUESTION}" for n in range(12))
    assert [verdict.reason for verdict in cut([document(many), document(QUESTION)])] == [REASON, REASON]


def test_the_report_names_suites_by_digest_with_their_items_and_what_stood_where(settings):
    documents = [document(QUESTION, "one"), document(QUESTION.upper(), "two"), document("clean", "three")]
    verdicts = checker(settings)(documents)
    found = [one for pair in zip(documents, verdicts, strict=True) for one in findings(*pair)]
    page = report(settings, found)
    (suite,) = page["suites"]
    whole = load_suite(settings.suites[0])
    assert suite["name"] == "ours" and suite["digest"] == whole.digest
    assert suite["items"] == 2 and suite["found"] == 1, "drawn questions are new to everyone, and left out"
    assert suite["tasks"] == {"prose": contents(whole.tasks[0])}
    assert page["documents"] == 2 and [line["document"] for line in page["found"]] == ["one", "two"]
    assert json.loads(json.dumps(page)) == page


def test_how_a_task_is_asked_does_not_change_what_it_is_cleaned_of(settings, tmp_path):
    before = identity(settings)
    text = (tmp_path / "suite.toml").read_text().replace('items = "rows.jsonl"', 'items = "rows.jsonl"\nshots = 1')
    (tmp_path / "suite.toml").write_text(text)
    after = identity(settings)
    assert before[0]["tasks"] == after[0]["tasks"] and before[0]["digest"] != after[0]["digest"]


def test_a_suite_that_asks_for_a_file_is_given_it(tmp_path):
    rows = {"eval_data": [{"question_id": 1, "prompt": QUESTION, "answer": "A"}]}
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    given_file = Given(suite="simplebench", given={"questions": str(tmp_path / "rows.json")})
    (verdict,) = checker(Settings(suites=(given_file,)))([document(QUESTION)])
    assert verdict.counts == {"simplebench: verbatim": 1}


def test_mistakes_are_one_line(settings, tmp_path):
    (tmp_path / "drawn.toml").write_text('name = "drawn"\n' + SUITE[SUITE.index("[task.sums]") :])
    for suites, message in (
        (("nothing",), "no such file"),
        (settings.suites * 2, "two are called 'ours'"),
        ((str(tmp_path / "drawn.toml"),), "nothing to look for"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            checker(Settings(suites=suites))
        assert "\n" not in str(raised.value)
    with pytest.raises(ValidationError):
        Settings(suites=())


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=300), max_size=5))
def test_any_text_is_judged_and_stays(settings, texts):
    verdicts = checker(settings)([document(text) for text in texts])
    assert [verdict.reason for verdict in verdicts] == [""] * len(texts)


def test_five_megabytes_take_a_second_or_so(settings):
    text = "\n".join(some(n, 1000) for n in range(100))
    documents = [document(text)] * (5_000_000 // len(text))
    check = checker(settings)
    check(documents[:1])
    began = time.process_time()
    check(documents)
    assert time.process_time() - began < 3
