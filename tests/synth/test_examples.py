from __future__ import annotations

import json

import pytest

from orionlm.data.documents import read_documents, shard_files
from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.synth import examples
from orionlm.tasks.generators.generate import generate, split_of


def made(folder, **asked):
    folder.mkdir()
    examples.run(examples.Settings(**asked), {}, folder, Context("seeds", 3, folder, Progress(quiet=True)))
    return {split: list(read_documents(shard_files(folder, split))) for split in ("train", "validation")}


def test_each_side_has_solved_questions_of_its_own_split_and_none_of_the_test(tmp_path):
    found = made(tmp_path / "a", family="arithmetic", questions=200, held_out=50)
    assert [len(found[split]) for split in found] == [200, 50]
    for split, documents in found.items():
        for one in documents:
            question, _, answer = one.text.strip().rpartition(" ")
            assert split_of(question) == split and eval_sum(question) == int(answer)
    told = json.loads((tmp_path / "a" / "corpus.json").read_text())
    assert told["documents"] == 250 and told["train"]["bytes"] == sum(len(one.text) for one in found["train"])
    tested = {item.question for item in generate("arithmetic", "test", 300)}
    assert not tested & {one.text.strip().rpartition(" ")[0] for side in found.values() for one in side}


def eval_sum(question):
    one, sign, other, _ = question.split()
    return int(one) + (int(other) if sign == "+" else -int(other))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    asked = {"family": "programs", "questions": 20, "held_out": 5, "difficulty": {"steps": 2}}
    assert made(tmp_path / "a", **asked) == made(tmp_path / "b", **asked)
    files = [sorted(path.read_bytes() for path in (tmp_path / name).iterdir()) for name in "ab"]
    assert files[0] == files[1]


def test_an_unknown_family_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="no such family"):
        made(tmp_path / "a", family="sums", questions=5)
