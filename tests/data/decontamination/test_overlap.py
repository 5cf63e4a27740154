from __future__ import annotations

import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import planted
from orionlm.data.decontamination import overlap
from orionlm.data.decontamination.overlap import COMMON, Index, join, join_corpus, parts
from orionlm.data.decontamination.readings import Known, codes, letters, sequences, tokens, words
from orionlm.data.decontamination.search import BLOCK, SHARED
from orionlm.tasks.suite import load_suite
from orionlm.tasks.task import Item, Suite, Task

VOCABULARY = [f"word{n}" for n in range(500)]
SUITE = planted.suite()
HUMANEVAL = Path(__file__).parents[4] / "shared" / "data" / "humaneval.jsonl.gz"


def some(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(VOCABULARY) for _ in range(count))


def asked(*questions: str) -> Suite:
    return Suite.of("test", (Task("task", "text", tuple(Item(str(n), text) for n, text in enumerate(questions))),))


def dirty(found) -> set[str]:
    return {item for (_, item), one in found.items() if one.dirty}


def carrier(seed: int) -> str:
    """Prose and a program that have nothing to do with any question."""
    rng = random.Random(seed)
    source = Path(random.__file__).read_text(encoding="utf-8")
    at = rng.randrange(len(source) - 3000)
    return some(seed, 100) + "\n" + source[at : at + 2000]


def planted_in(text: str, seed: int) -> str:
    before = carrier(seed)
    at = random.Random(seed).randrange(len(before))
    return before[:at] + "\n" + text + "\n" + before[at:]


@pytest.fixture(scope="module")
def index():
    return Index([SUITE])


@pytest.mark.parametrize("form", [planted.verbatim, planted.truncated, planted.spaced, planted.renamed])
def test_twenty_planted_items_are_all_found(index, form):
    for task in SUITE.tasks:
        for item in task.items:
            for number, text in enumerate(form(item)):
                (hits,) = index.find([planted_in(text, number)])
                found = {index.items[hit.item] for hit in hits}
                assert found == {("ours", task.name, item.id)}, (item.id, number, text)


def test_what_is_found_is_where_it_was_planted(index):
    item = SUITE.tasks[1].items[0]
    document = planted_in(item.question, 5)
    (hits,) = index.find([document])
    for hit in hits:
        assert item.question[3:-3] in document[hit.start - 2 : hit.end + 2]


@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="the published test set is not there")
def test_every_item_of_humaneval_is_found_in_every_form(tmp_path):
    (tmp_path / "suite.toml").write_text('name="h"\n[task.h]\nformat="humaneval"\nitems={given="rows"}\n')
    suite = load_suite(tmp_path / "suite.toml", {"rows": HUMANEVAL})
    index = Index([suite])
    for item in suite.tasks[0].items:
        forms = [
            planted.whole(item),
            *list(planted.spaced(item))[:3],
            planted.whole(item)[: len(planted.whole(item)) // 2],
        ]
        for hits in index.find([planted_in(text, n) for n, text in enumerate(forms)]):
            alike = {index.items[hit.item][2] for hit in hits}
            # Item 53 asks for x + y in nine words, 23 and 28 for a built-in of Python: half of them is nobody's.
            assert item.id in alike or (len(planted.whole(item)) < 300 and item.id in ("HumanEval/53", "HumanEval/23"))


def test_other_text_holds_none_of_them(index):
    library = sorted(Path(random.__file__).parent.glob("*.py"))[:60]
    found = index.find([path.read_text(encoding="utf-8", errors="replace") for path in library])
    assert not any(found)


def test_fifty_letters_in_a_row_are_found_whatever_their_case_and_punctuation():
    question = some(1, 40)
    copied = " ".join(question.split()[10:19]).upper().replace(" ", ", ")
    assert dirty(join(asked(question, some(2, 40)), [f"before {copied}! after"])) == {"0"}
    short = " ".join(question.split()[10:15])
    assert not dirty(join(asked(question), [f"before {short} after"]))


def test_a_short_question_must_stand_there_as_a_whole():
    found = join(
        asked("how many legs has a spider", "what is it", "how many legs has a beetle"),
        ["Riddle: how many legs has a spider? Eight. What is it?"],
    )
    assert dirty(found) == {"0"}
    assert not found["task", "1"].tellable, "three words cannot be told from chance"


def test_an_answer_counts_by_itself_where_it_is_long_enough_to_be_told():
    right, wrong = some(3, 20), some(4, 20)
    one = Suite.of("test", (Task("task", "choice", (Item("0", some(5, 20), (right, wrong), 0),)),))
    assert dirty(join(one, [right])) == {"0"}
    assert not dirty(join(one, [some(11, 20)]))


def test_a_short_answer_by_itself_is_nobodys():
    one = Suite.of("test", (Task("task", "choice", (Item("0", some(5, 20), ("All of the above", "None"), 0),)),))
    assert not dirty(join(one, ["All of the above. All of the above!"]))


def test_what_stands_everywhere_is_a_common_phrase():
    licence = some(6, 30)
    assert dirty(join(asked(licence), [licence] * COMMON)) == {"0"}
    assert not dirty(join(asked(licence), [f"{licence} {n}" for n in range(COMMON + 1)]))


def test_what_more_than_ten_items_share_is_the_suites_form_unless_they_share_a_passage():
    form = some(7, 25)
    questions = [f"{form} {some(100 + n, 12)}" for n in range(SHARED + 1)]
    assert not dirty(join(asked(*questions), [form]))
    assert len(dirty(join(asked(*questions[:SHARED]), [form]))) == SHARED
    items = tuple(Item(str(n), text, cluster="passage") for n, text in enumerate(questions))
    assert len(dirty(join(Suite.of("test", (Task("task", "text", items),)), [form]))) == len(items)


def test_an_edited_copy_is_near_enough_and_the_same_topic_is_not():
    item = SUITE.tasks[1].items[5]
    edited = item.question.replace("crate", "box").replace("twelve", "eleven").replace("packed into", "put in")
    index = Index([SUITE])
    assert [hit.match for hit in index.find([edited])[0] if hit.match == "near copy"]
    assert index.find(
        ["Seven of the twelve apostles stood before a mirror, and a crate of eggs broke on the cart."]
    ) == [[]]


def test_a_program_is_told_from_one_that_computes_otherwise():
    item = SUITE.tasks[2].items[2]
    other = "def f(n):\n    total = 1\n    while n > 1:\n        total, n = total * n, n - 1\n    return total\n" * 3
    index = Index([SUITE])
    (renamed,) = planted.renamed(item)
    solution = renamed.split('"""')[2]
    assert {hit.match for hit in index.find([solution])[0]} >= {"renamed code"}
    assert index.find([other]) == [[]]


def test_texts_read_together_are_judged_as_if_alone(index):
    half = planted.whole(SUITE.tasks[0].items[0])
    texts = [half[:40], half[40:], "é" + half, half, some(1, 5), ""]
    together = index.find(texts)
    assert together == [index.find([text])[0] for text in texts]
    assert together[2] and together[3]


def test_an_item_across_two_blocks_of_a_long_text_is_found(index):
    item = SUITE.tasks[1].items[0]
    for at in (BLOCK - 60, BLOCK - 8192 - 60):
        filler = some(9, BLOCK // 7)[:at]
        (hits,) = index.find([f"{filler} {item.question} {some(10, 40_000)}"])
        assert {index.items[hit.item][2] for hit in hits} == {item.id}
        assert all(abs(hit.start - at) < 40 for hit in hits)


@pytest.mark.slow
def test_a_corpus_on_disk_gives_the_same_by_one_process_and_by_two(tmp_path, monkeypatch):
    monkeypatch.setattr(overlap, "A_PROCESS", 1)
    one = asked(*[some(n, 40) for n in range(20)])
    texts = [some(n, 40) if n < 3 else some(100 + n, 40) for n in range(60)]
    for shard in range(2):
        pq.write_table(pa.table({"text": texts[shard::2]}), tmp_path / f"train-{shard}.parquet", row_group_size=10)
    shards = sorted(tmp_path.glob("*.parquet"))
    expected = join(one, texts)
    assert dirty(expected) == {"0", "1", "2"}
    assert join_corpus(one, shards, 1) == expected
    assert join_corpus(one, shards, 2) == expected


@given(st.text(max_size=400))
def test_any_text_can_be_searched_and_be_an_item(text):
    found = join(asked(text, some(1, 30)), [text, text + some(1, 30)])
    assert found["task", "1"].dirty
    assert found["task", "0"].dirty or not found["task", "0"].tellable


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 20))
def test_equal_sequences_have_equal_numbers_and_others_have_not(places, n):
    import numpy as np

    numbers = np.array([3, 5**20, 2**63 + 7, 12345], np.uint64)[places]
    found = sequences(numbers, n).tolist()
    assert len(found) == max(0, len(places) - n + 1)
    for i in range(len(found)):
        for j in range(len(found)):
            assert (found[i] == found[j]) == (places[i : i + n] == places[j : j + n])


@given(st.text(max_size=200))
def test_spaces_case_and_width_do_not_count(text):
    read = letters(codes(text))
    assert len(read.values) == len(read.places) and sum(map(str.isalnum, text)) == len(read.values)
    again = letters(codes("  ".join(text)))
    assert again.values.tolist() == read.values.tolist()


def test_letters_are_folded():
    def values(text: str) -> list[int]:
        return letters(codes(text)).values.tolist()

    assert values("Éléphant") == values("elephant") == values("ＥＬＥＰＨＡＮＴ")
    assert words(letters(codes("天地 ab"))).starts.tolist() == [0, 1, 3]


def test_a_consistent_renaming_leaves_a_program_as_it_is():
    program = "def f(a, b):\n    return [a.x(c) for c in b if c > 10]"
    other = "def gg( lot,many ) :\n\treturn [lot.where(one) for one in many if one>10]"
    mixed_up = "def gg(lot, many):\n    return [many.where(one) for one in lot if one > 10]"
    numbers = [tokens(codes(text)).numbers.tolist() for text in (program, other, mixed_up)]
    assert numbers[0] == numbers[1] != numbers[2]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_set_of_numbers_knows_its_own(known, others):
    import numpy as np

    asked_for = np.array(known[:10] + others, np.uint64)
    found = Known(np.array(known, np.uint64)).has(asked_for)
    assert found.tolist() == [number in known for number in asked_for.tolist()]


HOSTILE = {
    "digits": "0123456789" * 200_000,
    "one letter": "a" * 2_000_000,
    "an item again and again": f"{SUITE.tasks[1].items[0].question} " * 5_000,
    "no letters": "\0" * 1_000_000,
    "a program again and again": "def f(x): return x\n" * 50_000,
    "another script": "א" * 500_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_long(index, name):
    began = time.process_time()
    index.find([HOSTILE[name]])
    assert time.process_time() - began < 5


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_parts_hold_the_question_and_the_right_answer(number):
    for task in SUITE.tasks:
        item = task.items[number % len(task.items)]
        written = [part.text for part in parts(task, item)]
        assert item.question in written
        answer = item.choices[item.answer] if item.choices else item.extra.get("shown", item.answer)
        assert any(answer in text for text in written)
