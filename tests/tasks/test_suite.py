from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.tasks.prompts import context, pairs
from orionlm.tasks.suite import load_suite, published_suites

FIVE_LINES = """\
name = "capitals"
[task.capitals]
kind = "choice"
items = "capitals.jsonl"
fields = { question = "q", choices = "options", answer = "label" }
"""
ROWS = [
    {"q": "The capital of France is", "options": ["Paris", "Rome"], "label": 0},
    {"q": "The capital of Italy is", "options": ["Paris", "Rome"], "label": "B"},
    {"q": "The capital of Peru is", "options": ["Lima", "Quito", "Bogotá"], "label": "Lima", "note": "easy"},
]


def write(folder: Path, suite: str, rows: list | str | bytes = ROWS, file: str = "capitals.jsonl") -> Path:
    if isinstance(rows, list):
        rows = "\n".join(map(json.dumps, rows))
    (folder / file).write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    path = folder / "suite.toml"
    path.write_text(suite)
    return path


def refusal(path: Path, **given_files) -> str:
    began = time.perf_counter()
    with pytest.raises(UserError) as error:
        load_suite(path, **given_files)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert time.perf_counter() - began < 5
    return str(error.value)


def test_a_suite_of_ones_own_is_five_lines(tmp_path):
    suite = load_suite(write(tmp_path, FIVE_LINES))
    (task,) = suite.tasks
    assert (suite.name, task.name, task.kind, len(task.items)) == ("capitals", "capitals", "choice", 3)
    assert [item.answer for item in task.items] == [0, 1, 0]  # an index, a letter, or the choice's text
    assert [item.id for item in task.items] == ["1", "2", "3"]
    assert pairs(task, task.items[1]) == [("The capital of Italy is", " Paris"), ("The capital of Italy is", " Rome")]
    assert task.chance == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert task.items[2].extra == {"note": "easy"}


def test_tiny_suites_hold_their_items(tmp_path):
    suite = write(
        tmp_path,
        """
name = "tiny"
[task.sums]
kind = "generate"
extract = { form = "number" }
items = [{ question = "1 + 1 =", answer = 2 }, { question = "2 + 2 =", answer = [4, "four"] }]
""",
    )
    assert "four" in refusal(suite) and ":6: answer:" in refusal(suite)
    suite.write_text(suite.read_text().replace('[4, "four"]', "[4, 4.0]"))
    assert load_suite(suite).tasks[0].items[1].answer == (4, 4.0)


def test_the_digest_covers_what_decides_a_score_and_no_paths(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    one.mkdir()
    other.mkdir()
    digest = load_suite(write(one, FIVE_LINES)).digest
    moved = FIVE_LINES.replace("capitals.jsonl", "moved.jsonl")
    assert load_suite(write(other, "# a comment\n" + moved, file="moved.jsonl")).digest == digest
    seen = {digest}
    for suite in (
        FIVE_LINES + 'prompt = "Q: {question}"\n',
        FIVE_LINES + "shots = 1\n",
        FIVE_LINES + 'normalisation = "bytes"\n',
        FIVE_LINES + "limit = 2\n",
    ):
        seen.add(load_suite(write(other, suite)).digest)
    seen.add(load_suite(write(other, FIVE_LINES, [ROWS[0] | {"label": 1}, *ROWS[1:]])).digest)
    assert len(seen) == 6


def test_examples_come_from_a_file_or_from_the_other_items(tmp_path):
    suite = write(tmp_path, FIVE_LINES + "shots = 2\n")
    (task,) = load_suite(suite).tasks
    assert context(task, task.items[0]).startswith(
        "The capital of Italy is Rome\n\nThe capital of Peru is Lima\n\nThe cap"
    )
    write(
        tmp_path,
        "",
        [{"q": "The capital of Spain is", "options": ["Madrid", "Rome"], "label": 0}, *ROWS],
        "shots.jsonl",
    )
    suite.write_text(FIVE_LINES + 'shots = 2\nshots_from = "shots.jsonl"\n')
    (task,) = load_suite(suite).tasks
    assert context(task, task.items[0]) == (
        "The capital of Spain is Madrid\n\nThe capital of Italy is Rome\n\nThe capital of France is"
    )


def test_text_needs_no_more_than_its_text(tmp_path):
    suite = write(
        tmp_path, 'name = "t"\n[task.t]\nkind = "text"\nitems = "capitals.jsonl"\n', [{"text": "One.", "domain": "a"}]
    )
    (item,) = load_suite(suite).tasks[0].items
    assert (item.question, item.extra) == ("One.", {"domain": "a"})


def test_code_has_cases_or_a_test(tmp_path):
    head = 'name = "c"\n[task.c]\nkind = "code"\nitems = "capitals.jsonl"\n'
    cases = {"entry_point": "f", "tests": [{"args": [1], "expected": 2}]}
    suite = write(tmp_path, head, [{"question": "def f(x):", "answer": cases}])
    assert load_suite(suite).tasks[0].items[0].answer == cases
    for wrong in (
        {},
        {"entry_point": "f"},
        {"entry_point": "f", "tests": [{"args": 1}]},
        {"entry_point": "1f", "test": "x"},
        "x",
    ):
        assert "capitals.jsonl:1: " in refusal(write(tmp_path, head, [{"question": "q", "answer": wrong}]))


GOOD = json.dumps(ROWS[0])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (GOOD + '\n{"q": "x"', ":2: not JSON"),
        (GOOD + "\n[1]", ":2: a list where an object"),
        (GOOD.encode() + b"\n\xff\xfe", ":2: not UTF-8"),
        ('{"q": "' + "x" * (10 << 20) + '"}', ":1: a line of more than 4 MiB"),
        ('{"id": 1, ' + GOOD[1:] + '\n\n{"id": "1", ' + GOOD[1:], ":3: id '1' stands at"),
        ('{"id": null, ' + GOOD[1:] + '\n{"id": "1", ' + GOOD[1:], ":2: id '1' stands at"),
        ('{"id": [1], ' + GOOD[1:], ":1: id: [1]: give text"),
        (GOOD.replace("The capital of France is", "  "), ":1: q: no text or empty"),
        (GOOD.replace('"q"', '"question"'), ":1: no field 'q' (fields.question); the row has question, options, label"),
        (GOOD.replace('"label": 0', '"label": 2'), ":1: answer: '2' is outside the choices; give an index from 0 to 1"),
        (GOOD.replace('"label": 0', '"label": -1'), "is outside the choices"),
        (GOOD.replace('"label": 0', '"label": "C"'), "'C' is outside the choices"),
        (GOOD.replace('"label": 0', '"label": true'), "'True' is outside the choices"),
        (GOOD.replace('"label": 0', '"label": null'), ":1: answer: missing"),
        (GOOD.replace('"label": 0', '"label": NaN'), ":1: NaN is no usable number"),
        (GOOD.replace('"Rome"', '"Paris"'), "choices: 'Paris' stands there twice"),
        (GOOD.replace('"Rome"', '""'), "choices: give a list of texts that are not empty"),
        (GOOD.replace('["Paris", "Rome"]', '["Paris"]'), "choices: 1; give between 2 and 26"),
        (GOOD.replace('["Paris", "Rome"]', '"Paris"'), "choices: give a list of texts"),
        (GOOD.replace('["Paris", "Rome"]', "[]"), "choices: missing"),
        (GOOD.replace("France", "\\ud800"), ":1: half of a surrogate"),
        ("[" * 100_000, ":1: nested too deeply"),
        *((GOOD[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}", ":1: nested ") for depth in (100, 300, 600, 900)),
        (GOOD.replace('"label": 0', '"label": ' + "9" * 5000), "thousands of digits"),
        ("", "holds no items"),
        ("\n \n", "holds no items"),
    ],
)
def test_a_row_that_is_wrong_is_named_by_its_line(tmp_path, rows, problem):
    assert problem in refusal(write(tmp_path, FIVE_LINES, rows))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("shot = 2", "suite.toml:6: task.capitals.shot: unknown key, did you mean shots?"),
        ("shots = -1", "suite.toml:6: task.capitals.shots: -1: expected at least 0"),
        ("shots = 3", "suite.toml:6: task.capitals.shots: 3 examples, but there are only 2 besides a question"),
        ('shots_from = "capitals.jsonl"', "suite.toml:6: task.capitals.shots_from: no examples are shown; set shots"),
        ('normalisation = "byte"', "did you mean 'bytes'?"),
        ("samples = 5", ":6: task.capitals.samples: has no meaning in a task of kind choice"),
        (
            'prompt = "{passage} {question}"',
            ":6: task.capitals.prompt: item '1' has no 'passage'; it has options, question",
        ),
        ('system = "x"', ":6: task.capitals.system: only a chat has a system prompt"),
        ("chance = 1.0", ":6: task.capitals.chance: 1.0: expected less than 1"),
        ("limit = 0", ":6: task.capitals.limit: 0: expected at least 1"),
        ('format = "ark"', ":6: task.capitals.format: unknown format 'ark', did you mean arc?"),
        ('format = "arc"', "the fields of arc are known"),
        ('choices = ["a"]', ":6: task.capitals.choices: 1; give between 2 and 26"),
        ('choices = ["a", "a"]', ":6: task.capitals.choices: 'a' stands there twice"),
        ('choices = ["a", ""]', ":6: task.capitals.choices: give a list of texts that are not empty"),
        (f"choices = {[str(n) for n in range(27)]}", ":6: task.capitals.choices: 27; give"),
    ],
)
def test_a_setting_that_is_wrong_is_named_by_its_line(tmp_path, line, problem):
    assert problem in refusal(write(tmp_path, FIVE_LINES + line + "\n"))


@pytest.mark.parametrize(
    ("suite", "problem"),
    [
        ("", "name: missing"),
        ('name = "a"', "task: missing"),
        ('name = "a b"\n[task.t]\nkind = "text"', "suite.toml:1: name: 'a b': use letters"),
        ('name = "a"\n[task."t t"]\nkind = "text"', ":2: task 't t': use letters, digits, dots"),
        ('name = "a"\n[task."t\\n"]\nkind = "text"', ":2: task 't\\n': use letters, digits, dots"),
        ('name = "a"\n[task.t]\nitems = []', "suite.toml:2: task.t.kind: missing"),
        ('name = "a"\n[task.t]\nkind = "choise"', 'suite.toml:3: task.t.kind: "choise": expected'),
    ],
)
def test_a_suite_without_its_head_is_one_line(tmp_path, suite, problem):
    path = tmp_path / "suite.toml"
    path.write_text(suite)
    assert problem in refusal(path)


@pytest.mark.parametrize(
    ("kind", "line", "problem"),
    [
        ("text", "", "task.t.items: missing: name a file"),
        ("text", "items = []", ":4: task.t.items: holds no items"),
        ("text", "items = 5", ":4: task.t.items: '5': expected a file's name"),
        ("text", "items = [1]", "suite.toml:4: expected a table"),
        ("text", 'items = "no.jsonl"', "no.jsonl: no such file"),
        ("text", 'items = "suite.toml"', "rows are read from .jsonl"),
        ("text", f'items = "{"x" * 300}.jsonl"', "file name too long"),
        ("generate", f'items = "{"x" * 300}.json"', "file name too long"),
        ("generate", 'format = "gsm8k"\nchoices = ["a", "b"]\nitems = []', "the choices of gsm8k are known"),
        ("text", 'items = { from = "x" }', "has one of the keys corrupt, generator, hub, given"),
        ("text", 'fields = { questions = "q" }', ":4: task.t.fields.questions: unknown key, did you mean question?"),
        ("text", "shots = 2", ":4: task.t.shots: has no meaning in a task of kind text"),
        (
            "generate",
            'extract = { pattern = "(" }',
            ":4: task.t.extract.pattern: pattern '(': not a regular expression",
        ),
        ("generate", 'extract = { pattern = "((a{999}){999}){999}" }', "multiply"),
        (
            "generate",
            "sampling = { temprature = 1 }",
            ":4: task.t.sampling.temprature: unknown key, did you mean temperat",
        ),
        ("generate", "sampling = { temperature = -1 }", ":4: task.t.sampling.temperature: temperature = -1"),
        ("generate", 'sampling = { stop = "x" }', "give strings"),
        ("generate", "samples = 5", ":4: task.t.samples: 5 answers at temperature 0 are one"),
        ("generate", 'items = { generator = "arithmetik", n = 5 }', "did you mean arithmetic?"),
        ("choice", 'items = { generator = "arithmetic", n = 5 }', "item 'arithmetic-"),
        (
            "generate",
            'items = { generator = "arithmetic", n = 5, difficulty = { digit = 1 } }',
            ":4: task.t.items.difficulty.digit: unknown key, did you mean digits?",
        ),
        (
            "generate",
            'items = { generator = "arithmetic", n = 5000, difficulty = { digits = 1 } }',
            ":4: task.t.items: generator arithmetic: n = 5,000, but there are only",
        ),
        ("choice", 'items = { corrupt = "next_line", n = 5 }', ":4: task.t.items: corrupt needs texts"),
        ("choice", 'items = { corrupt = "next", n = 5 }', "expected 'next_line' or 'middle'"),
    ],
)
def test_a_task_that_is_wrong_is_one_line_with_the_mend(tmp_path, kind, line, problem):
    path = tmp_path / "suite.toml"
    path.write_text(f'name = "a"\n[task.t]\nkind = "{kind}"\n{line}\n')
    assert problem in refusal(path)


@pytest.mark.parametrize(
    ("family", "form", "problem"),
    [
        ("arithmetic", "letter", "is no letter (extract.form)"),
        ("arithmetic", "expression", "for an expression"),
        ("programs", "expression", "for an expression"),
    ],
)
def test_answers_that_have_not_the_form_that_is_asked_for_are_refused(tmp_path, family, form, problem):
    """Else no answer could ever be right."""
    path = tmp_path / "suite.toml"
    table = f'items = {{ generator = "{family}", n = 5 }}\nextract = {{ form = "{form}" }}'
    path.write_text(f'name = "a"\n[task.t]\nkind = "generate"\n{table}\n')
    said = refusal(path)
    assert ":5: task.t.extract: item '" in said and problem in said


def test_a_name_of_a_suite_or_file_that_no_file_system_takes_is_one_line(tmp_path):
    assert "file name too long" in refusal(Path("x" * 300))
    path = write(tmp_path, FIVE_LINES.replace('"capitals.jsonl"', '{ given = "rows" }'))
    assert "file name too long" in refusal(path, given={"rows": "x" * 300 + ".jsonl"})


def test_a_row_of_a_whole_document_is_no_longer_than_a_line_may_be(tmp_path):
    suite = FIVE_LINES.replace("capitals.jsonl", "capitals.json")
    rows = json.dumps([ROWS[0], ROWS[1] | {"q": "x" * (5 << 20)}])
    assert "capitals.json row 2: a row of more than 4 MiB" in refusal(write(tmp_path, suite, rows, "capitals.json"))
    assert "nested too deeply" in refusal(write(tmp_path, suite, "[" * 100_000, "capitals.json"))


def test_files_that_are_damaged_are_one_line(tmp_path):
    whole = gzip.compress("\n".join(map(json.dumps, ROWS)).encode())
    suite = FIVE_LINES.replace("capitals.jsonl", "capitals.jsonl.gz")
    assert "not a whole gzip file" in refusal(write(tmp_path, suite, whole[:-20], "capitals.jsonl.gz"))
    assert "not a whole gzip file" in refusal(write(tmp_path, suite, b"plain", "capitals.jsonl.gz"))
    suite = FIVE_LINES.replace("capitals.jsonl", "capitals.parquet")
    assert "not a whole Parquet file" in refusal(write(tmp_path, suite, b"PAR1", "capitals.parquet"))
    suite = FIVE_LINES.replace("capitals.jsonl", "capitals.json")
    assert "neither a list of rows" in refusal(write(tmp_path, suite, "{}", "capitals.json"))
    assert ":1: not JSON" in refusal(write(tmp_path, suite, "{", "capitals.json"))
    path = write(tmp_path, FIVE_LINES)
    path.write_bytes(b'name = "\xff"')
    assert "suite.toml:1: not UTF-8" in refusal(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["q", "options", "label", "id"]), inner)
        ),
        max_leaves=8,
    )
)
def test_whatever_a_row_holds_there_is_an_item_or_one_line(tmp_path, value):
    path = write(tmp_path, FIVE_LINES, json.dumps(value))
    try:
        load_suite(path)
    except UserError as error:
        assert "\n" not in str(error)


def test_published_suites_are_found_by_name_and_others_named():
    assert {"demo", "simplebench"} <= set(published_suites())
    assert "did you mean simplebench?" in refusal("simplebensh")  # type: ignore[arg-type]


def test_the_demo_makes_its_items_from_code_that_is_given(tmp_path):
    sources = sorted(Path(json.__file__).parent.glob("*.py")) + sorted(Path(gzip.__file__).parent.glob("[a-d]*.py"))
    rows = [{"id": path.name, "text": path.read_text(encoding="utf-8")} for path in sources]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given_files = {"texts": tmp_path / "texts.jsonl"}
    suite = load_suite("demo", given_files)
    assert [task.name for task in suite.tasks] == ["next-line", "middle", "sums", "programs"]
    assert all(len(task.items) >= 200 and task.chance == 0.25 for task in suite.tasks)
    assert load_suite("demo", given_files).digest == suite.digest
    real = {row["id"]: row["text"].replace("\r\n", "\n") for row in rows}
    for task in suite.tasks[:2]:
        for item in task.items[:50]:
            assert item.question + item.choices[item.answer] in real[item.cluster]
    assert "needs a file for 'texts'" in refusal("demo")  # type: ignore[arg-type]


def test_texts_of_one_name_are_refused(tmp_path):
    texts = [{"id": "a.py", "text": f"def f(x):\n    y = x + {n}\n    return y * {n}\n"} for n in (1, 2)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    suite = tmp_path / "suite.toml"
    suite.write_text(
        'name = "mine"\n[task.lines]\nkind = "choice"\nitems = { corrupt = "next_line", n = 2, file = "texts.jsonl" }\n'
    )
    with pytest.raises(UserError, match="texts.jsonl:2: id 'a.py' stands at .*texts.jsonl:1 already"):
        load_suite(suite)


def test_generated_tasks_know_how_their_answers_compare_and_take_examples_from_training(tmp_path):
    path = tmp_path / "suite.toml"
    items = 'items = { generator = "arithmetic", n = 20, split = "test" }'
    path.write_text(f'name = "g"\n[task.g]\nkind = "generate"\nshots = 2\n{items}\n')
    (task,) = load_suite(path).tasks
    assert task.extraction.form == "number"
    assert not {item.question for item in task.examples} & {item.question for item in task.items}
    first, second = task.examples
    assert context(task, task.items[0]) == (
        f"{first.question} {first.answer}\n\n{second.question} {second.answer}\n\n{task.items[0].question}"
    )


def test_choices_may_be_answered_in_words_by_a_letter(tmp_path):
    suite = FIVE_LINES.replace('"choice"', '"generate"')
    (task,) = load_suite(write(tmp_path, suite)).tasks
    assert task.extraction.form == "letter" and task.chance > 0
    assert context(task, task.items[0]) == "The capital of France is\nA. Paris\nB. Rome\nAnswer:"
    (task,) = load_suite(write(tmp_path, suite + 'extract = { pattern = "I say (.)", take = "first" }\n')).tasks
    assert (task.extraction.form, task.extraction.take) == ("letter", "first")
    assert "are answered by a letter" in refusal(write(tmp_path, suite + 'extract = { form = "number" }\n'))
