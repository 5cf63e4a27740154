from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.tasks.formats import FORMATS, clean_hellaswag
from orionlm.tasks.prompts import context, pairs
from orionlm.tasks.suite import load_suite

SHARED = Path(os.environ.get("ORION_SHARED", Path(__file__).parents[3] / "shared"))
HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'def twice(x):\n    """Twice x."""\n',
    "entry_point": "twice",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
}
MBPP = {
    "task_id": 900,
    "text": "Write a function to add two numbers.",
    "code": "def helper(a):\r\n    return a\r\ndef add(a, b):\r\n    return helper(a) + b",
    "test_list": ["assert add(1, 2) == 3", "assert set([add(0, 0)]) == set([0])", "assert add(2, 2) == 4",
    "assert add(9, 1) == 10"],
    "test_setup_code": "import math",
    "challenge_test_list": [],
}  # fmt: skip
GSM8K = {
    "question": "Tom has 1000 apples and buys 234. How many?",
    "answer": "1000 + 234 = <<1000+234=1234>>1234\n#### 1,234",
}
MMLU = {"question": " What is 1 + 1? ", "subject": "abstract_algebra", "choices": ["1", "2", "3", "4"], "answer": 1}
ARC = {
    "id": "Mercury_1",
    "question": "Which is wet?",
    "choices": {"text": ["sand", "water", "fire"], "label": ["1", "2", "3"]},
    "answerKey": "2",
}
HELLASWAG = {
    "ind": 14,
    "activity_label": "Wakeboarding",
    "ctx_a": "A man is pulled on a water ski.",
    "ctx_b": "he",
    "ctx": "A man is pulled on a water ski. he",
    "endings": ["falls [step] off.", "flies [title] away.", "sings.", "[substeps] sleeps."],
    "source_id": "activitynet~v_1",
    "split": "val",
    "split_type": "indomain",
    "label": "0",
}
ROWS = {"humaneval": HUMANEVAL, "mbpp": MBPP, "gsm8k": GSM8K, "mmlu": MMLU, "arc": ARC, "hellaswag": HELLASWAG}


def task_of(folder: Path, name: str, rows: list[dict], more: str = "", file: str = "rows.jsonl"):
    path = folder / file
    if file.endswith(".parquet"):
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        text = "\n".join(map(json.dumps, rows)).encode()
        path.write_bytes(gzip.compress(text) if file.endswith(".gz") else text)
    suite = folder / "suite.toml"
    suite.write_text(f'name = "s"\n[task.t]\nformat = "{name}"\nitems = "{file}"\n{more}\n')
    return load_suite(suite).tasks[0]


def test_humaneval_goes_on_from_its_prompt_and_stops_where_the_function_ends(tmp_path):
    task = task_of(tmp_path, "humaneval", [HUMANEVAL])
    (item,) = task.items
    assert (task.kind, item.id, context(task, item)) == ("code", "HumanEval/900", HUMANEVAL["prompt"])
    assert item.answer == {name: HUMANEVAL[name] for name in ("prompt", "test", "entry_point")}
    assert task.sampling.stop == ("\nclass", "\ndef", "\n#", "\nif", "\nprint") and task.sampling.temperature == 0


def test_mbpp_shows_three_tests_and_finds_the_function_they_call(tmp_path):
    task = task_of(tmp_path, "mbpp", [MBPP, MBPP | {"task_id": 901, "text": "Again."}], "shots = 1")
    item = task.items[0]
    assert item.answer["entry_point"] == "add"
    assert item.answer["test"].split("\n") == ["import math", *MBPP["test_list"]]
    prompt = context(task, item)
    assert prompt.endswith("assert add(2, 2) == 4\n[BEGIN]\n") and "add(9, 1)" not in prompt
    assert "+ b\n[DONE]\n\nYou are an expert" in prompt
    sanitized = {"source_file": "f", "task_id": 1, "prompt": "Add.", "code": "", "test_imports": ["import re"],
    "test_list": MBPP["test_list"]}  # fmt: skip # noqa: E501
    item = FORMATS["mbpp"].item(sanitized, 1)
    assert (
        item.question == "Add." and item.answer["entry_point"] == "add" and item.answer["test"].startswith("import re")
    )


def test_gsm8k_is_answered_by_its_last_number_and_shows_its_reasoning_in_examples(tmp_path):
    task = task_of(tmp_path, "gsm8k", [GSM8K, GSM8K | {"question": "Another?"}], "shots = 1")
    item = task.items[0]
    assert item.answer == "1,234" and task.extraction.form == "number"
    assert context(task, item) == (
        f"Question: Another?\nAnswer: {GSM8K['answer']}\n\nQuestion: {GSM8K['question']}\nAnswer:"
    )


def test_mmlu_scores_letters_under_its_options(tmp_path):
    task = task_of(tmp_path, "mmlu", [MMLU, MMLU | {"question": "b", "answer": "D"}])
    assert pairs(task, task.items[0])[1] == ("What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:", " B")
    assert [item.answer for item in task.items] == [1, 3] and task.chance == 0.25
    assert task.items[0].extra["subject"] == "abstract algebra"


def test_arc_reads_labels_of_digits_and_of_letters(tmp_path):
    lettered = ARC | {"id": "M2", "choices": {"text": ["a", "b", "c", "d"], "label": list("ABCD")}, "answerKey": "D"}
    task = task_of(tmp_path, "arc", [ARC, lettered])
    assert [item.answer for item in task.items] == [1, 3]
    assert pairs(task, task.items[0])[1] == ("Question: Which is wet?\nAnswer:", " water")
    assert task.chance == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_hellaswag_is_cleaned_as_lm_eval_cleans_it(tmp_path):
    (item,) = task_of(tmp_path, "hellaswag", [HELLASWAG]).items
    assert item.question == "Wakeboarding: A man is pulled on a water ski. He"
    assert item.choices == ("falls off.", "flies.  away.".replace("  ", " "), "sings.", " sleeps.")
    assert (item.answer, item.cluster, item.id) == (0, "activitynet~v_1", "14")


@given(st.text(alphabet="[] a\nét", max_size=30))
def test_marks_are_cleaned_away_as_their_regular_expression_says_but_in_linear_time(text):
    import re

    assert clean_hellaswag(text) == re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")
    assert clean_hellaswag("[" * 10**6) == "[" * 10**6


@pytest.mark.parametrize("file", ["rows.jsonl", "rows.jsonl.gz", "rows.parquet"])
@pytest.mark.parametrize("name", ROWS)
def test_every_format_reads_every_kind_of_file_alike(tmp_path, name, file):
    plain = task_of(tmp_path, name, [ROWS[name]])
    assert task_of(tmp_path, name, [ROWS[name]], file=file).items == plain.items


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("humaneval", {"entry_point": "a b"}, "entry_point: 'a b' is no name"),
        ("humaneval", {"test": "assert True"}, "defines no check"),
        ("humaneval", {"prompt": None}, "prompt: empty"),
        ("mbpp", {"test_list": []}, "test_list: give"),
        ("mbpp", {"test_list": ["assert ("]}, "is not Python"),
        ("mbpp", {"test_list": ["assert f(1)", "assert g(1)"]}, "no function in common"),
        ("gsm8k", {"answer": "I think 4"}, "ends in no '#### number'"),
        ("gsm8k", {"answer": "#### four"}, "ends in no '#### number'"),
        ("mmlu", {"answer": 4}, "answer: 4 is outside the 4 choices"),
        ("mmlu", {"answer": -1}, "outside the 4 choices"),
        ("mmlu", {"answer": True}, "outside the 4 choices"),
        ("mmlu", {"choices": ["1"]}, "2 to 26"),
        ("mmlu", {"choices": [str(n) for n in range(27)]}, "2 to 26"),
        ("mmlu", {"subject": ["a"]}, "subject: \"['a']\" is no text"),
        ("mmlu", {"id": [1]}, "id: '[1]': give text or a whole number"),
        ("mmlu", {"id": True}, "id: 'True': give text or a whole number"),
        ("humaneval", {"entry_point": "def"}, "entry_point: 'def' is no name"),
        ("humaneval", {"canonical_solution": 5}, "canonical_solution: '5' is no text"),
        ("mbpp", {"test_imports": "import math"}, "test_imports: give a list"),
        ("mbpp", {"test_imports": 5}, "test_imports: give a list"),
        ("mbpp", {"test_imports": [1]}, "test_imports: give a list"),
        ("mbpp", {"test_setup_code": 5}, "test_setup_code: '5' is no text"),
        ("mbpp", {"code": ["x"]}, "code: \"['x']\" is no text"),
        ("arc", {"choices": {"text": ["a", ""], "label": ["1", "2"]}}, "one of the choices is empty"),
        ("arc", {"choices": {"text": ["a", "b"], "label": ["2", "2"]}}, "2 texts but 1 different labels"),
        ("hellaswag", {"endings": ["[title]", "[step]", "a"]}, "one of the choices is empty"),
        ("hellaswag", {"label": "0000000001"}, "outside the 4 choices"),
        ("arc", {"answerKey": "A"}, "none of the labels"),
        ("arc", {"choices": {"text": ["a", "b"], "label": ["A"]}}, "2 texts but 1 different labels"),
        ("arc", {"choices": ["a", "b"]}, "give an object"),
        ("hellaswag", {"label": ""}, "label: '' is outside"),
        ("hellaswag", {"label": "9"}, "outside the 4 choices"),
        ("hellaswag", {"endings": "abc"}, "2 to 26"),
    ],
)
def test_a_row_that_is_not_as_published_is_named_with_its_line(tmp_path, name, change, problem):
    with pytest.raises(UserError) as error:
        task_of(tmp_path, name, [ROWS[name] | change])
    assert problem in str(error.value) and "rows.jsonl:1: " in str(error.value) and "\n" not in str(error.value)


def test_a_row_without_an_id_has_its_number(tmp_path):
    for name, column in (("humaneval", "task_id"), ("mmlu", "id"), ("arc", "id"), ("hellaswag", "ind")):
        rows = [ROWS[name] | {column: None}, ROWS[name] | {column: ""}]
        assert [item.id for item in task_of(tmp_path, name, rows).items] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "more", "problem"),
    [
        ("gsm8k", 'kind = "code"', "task.t.kind: item '1': answer: give {\"entry_point\""),
        ("mmlu", 'kind = "code"', "task.t.kind: item '1': answer: give {\"entry_point\""),
        ("humaneval", 'kind = "generate"', "item 'HumanEval/900': answer: "),
        ("gsm8k", 'extract = { form = "letter" }', "task.t.extract: item '1': answer: '1,234' is no letter"),
        ("gsm8k", 'extract = { form = "expression" }', "task.t.extract: item '1': answer: give {numbers"),
    ],
)
def test_a_kind_or_form_that_the_answers_have_not_is_refused(tmp_path, name, more, problem):
    with pytest.raises(UserError) as error:
        task_of(tmp_path, name, [ROWS[name]], more)
    assert problem in str(error.value) and "\n" not in str(error.value)


def hub(monkeypatch, load):
    module = type(sys)("datasets")
    module.load_dataset = load
    monkeypatch.setitem(sys.modules, "datasets", module)


def suite_of(folder: Path, items: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(f'name = "s"\n[task.t]\nformat = "arc"\n{items}\n')
    return path


def test_the_hub_is_asked_for_the_published_split_or_the_one_named(tmp_path, monkeypatch):
    asked = []
    hub(monkeypatch, lambda *names, **more: asked.append((names, more)) or iter([ARC]))
    load_suite(suite_of(tmp_path, ""))
    load_suite(suite_of(tmp_path, 'items = { hub = "me/mine", split = "dev", revision = "abc" }'))
    assert asked == [
        (("allenai/ai2_arc", "ARC-Challenge"), {"split": "test", "revision": None, "streaming": True}),
        (("me/mine", None), {"split": "dev", "revision": "abc", "streaming": True}),
    ]


def test_without_network_or_the_extra_the_hub_is_one_line(tmp_path, monkeypatch):
    def offline(*names, **more):
        raise ConnectionError("no route to host\nmany\nlines")

    hub(monkeypatch, offline)
    with pytest.raises(UserError, match=r"no route to host; if there is no network here, save it and give the file$"):
        load_suite(suite_of(tmp_path, ""))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the extra hf: pip install 'orion-lm\[hf\]'"):
        load_suite(suite_of(tmp_path, ""))


def test_the_published_humaneval_is_read_whole(tmp_path):
    path = SHARED / "data" / "humaneval.jsonl.gz"
    if not path.is_file():
        pytest.skip("the published file is not here")
    suite = tmp_path / "s.toml"
    suite.write_text('name = "s"\n[task.t]\nformat = "humaneval"\nitems = { given = "questions" }\n')
    (task,) = load_suite(suite, {"questions": path}).tasks
    assert len(task.items) == 164
    assert all(item.answer["entry_point"] in item.question for item in task.items)
