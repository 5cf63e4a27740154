from __future__ import annotations

import pytest

from evals.simulated import Simulated
from orionlm.data.documents import Document, shard_files
from orionlm.evals.run import evaluate
from orionlm.evals.sight import SightSettings, shortened, sight_suite
from orionlm.tasks.task import Item
from shard_writer import Writer

SETTINGS = SightSettings(items=20, domain_bytes=2000)


def code(seed: int) -> str:
    lines = ["import os", ""]
    for n in range(12):
        lines += [
            f"def task_{seed}_{n}(first, second):",
            f"    total = first + second * {n}",
            "    if total >= second and first != second:",
            f"        total -= {seed}",
            "    return total",
            "",
        ]
    return "\n".join(lines)


def corpus(path, groups=("one", "two")):
    with Writer(path.parent, path.stem) as writer:
        for group in groups:
            for n in range(6):
                text = code(hash_of(group) + n)
                writer.add(Document(text, "here", group, f"{group}/part{n % 2}/file{n}.py"), len(text.encode()))
    return shard_files(path.parent, path.stem)


def hash_of(name: str) -> int:
    return sum(map(ord, name)) * 10


@pytest.fixture
def suite(tmp_path):
    return sight_suite(corpus(tmp_path / "validation.parquet"), SETTINGS)


def test_there_are_bits_by_domain_and_choices_among_real_and_corrupted_code(suite):
    assert [(task.name, task.kind) for task in suite.tasks] == [
        ("text-one", "text"), ("text-two", "text"), ("real-next-line", "choice"), ("real-middle", "choice"),
    ]  # fmt: skip
    for task in suite.tasks[2:]:
        assert len(task.items) == 20 and task.chance == 0.25
        for item in task.items:
            assert len(item.choices) == 4 and item.cluster
            assert len(item.question) + max(map(len, item.choices)) <= SETTINGS.characters


def test_the_right_choice_is_what_the_text_says(tmp_path, suite):
    texts = {f"{group}/part{n % 2}/file{n}.py": code(hash_of(group) + n) for group in ("one", "two") for n in range(6)}
    for task in suite.tasks[2:]:
        for item in task.items:
            text = texts[item.cluster]
            assert item.question + item.choices[item.answer] in text
            wrong = [choice for n, choice in enumerate(item.choices) if n != item.answer]
            assert not any(item.question + choice in text for choice in wrong)


def test_the_suite_is_the_same_each_time(tmp_path, suite):
    again = sight_suite(corpus(tmp_path / "again.parquet"), SETTINGS)
    assert again.digest == suite.digest
    assert sight_suite(shard_files(tmp_path, "again"), SETTINGS, seed=1).digest != suite.digest


def test_where_all_text_is_of_one_package_its_folders_are_the_domains(tmp_path):
    found = sight_suite(corpus(tmp_path / "validation.parquet", ("one",)), SETTINGS)
    assert [task.name for task in found.tasks if task.kind == "text"] == ["text-one-part0", "text-one-part1"]


def test_little_text_gives_fewer_questions(tmp_path):
    with Writer(tmp_path, "validation") as writer:
        writer.add(Document(code(1), "here", "g", "g/file.py"), 1000)
    found = sight_suite(shard_files(tmp_path, "validation"), SETTINGS)
    assert all(0 < len(task.items) < 20 for task in found.tasks)


def test_a_model_that_guesses_is_blind_and_one_that_knows_is_not(suite, tmp_path):
    class Reader(Simulated):
        right = "\n"

        def score(self, pairs):
            for index, (context, continuation) in enumerate(pairs):
                likely = (context, continuation) in known
                yield index, self._scored(likely, continuation)

        def _scored(self, likely, continuation):
            from orionlm.evals.answerer import Scored

            return Scored(-1.0 if likely else -9.0 - len(continuation) * 1e-3, likely, 3, len(continuation.encode()))

    from orionlm.tasks.prompts import pairs

    known = {pairs(task, item)[item.answer] for task in suite.tasks[2:] for item in task.items}
    seeing = evaluate(suite, Reader("seeing"), tmp_path / "seeing").summary["tasks"]
    known = set()
    guessing = evaluate(suite, Reader("guessing"), tmp_path / "guessing").summary["tasks"]
    assert [line["blind"] for line in seeing] == [None, None, False, False]
    assert [line["estimate"]["value"] for line in seeing[2:]] == [1.0, 1.0]
    assert guessing[2]["estimate"]["value"] < 0.75


def test_an_item_is_shortened_at_lines_and_stays_itself():
    before = "".join(f"line_{n} = {n}\n" for n in range(40))
    after = "\n" + "".join(f"after_{n} = {n}\n" for n in range(20))
    item = Item("a", before, tuple(f"x = {n}{after}" for n in range(4)), 2)
    short = shortened(item, 200)
    assert len(short.question) + max(map(len, short.choices)) <= 200
    assert before.endswith(short.question) and short.question.startswith("line_")
    assert all(
        one.startswith(other) and other.endswith("\n") for one, other in zip(item.choices, short.choices, strict=True)
    )
    assert len(set(short.choices)) == 4
    assert shortened(Item("b", before, ("x" * 300, "y" * 300), 0), 200) is None
