from __future__ import annotations

from collections import Counter

from orionlm.synth.desk import Seed
from orionlm.synth.methods import template
from orionlm.synth.methods.seeded import AUDIENCES
from synth.methods.writing import written

SEEDS = [Seed(f"doc{n}", f"Mill {n} grinds rye by the river.", "MIT") for n in range(60)]


def test_genre_and_reader_are_drawn_for_each_seed_and_stand_in_the_prompt() -> None:
    rows, teacher = written("seeded", SEEDS, lambda ask: "Something about mills.", genres=["blog", "story"])
    assert set(Counter(row.method for row in rows)) == {"seeded/blog", "seeded/story"}
    assert {row.more["audience"] for row in rows} == {"school", "students", "everyone"}
    for row, seed in zip(rows, SEEDS, strict=True):
        assert seed.text in row.prompt and AUDIENCES[row.more["audience"]] in row.prompt
        assert (row.seeds, row.licence, row.error) == ((seed.id,), "MIT", "")
    again, _ = written("seeded", SEEDS, lambda ask: "Something about mills.", genres=["blog", "story"])
    assert again == rows
    later, _ = written("seeded", SEEDS, lambda ask: "Something about mills.", 1, genres=["blog", "story"])
    assert [row.method for row in later] != [row.method for row in rows]


def test_from_a_topic_alone_nothing_of_a_seed_is_shown_or_named() -> None:
    rows, teacher = written(
        "seeded", SEEDS, lambda ask: f"Text {ask.sample}.", genres=["blog"], audiences=["school"], topics=["tides"]
    )
    assert all(row.seeds == () and "tides" in row.prompt and "Mill" not in row.prompt for row in rows)
    assert {row.licence for row in rows} == {"unknown"}
    assert len({ask.sample for ask in teacher.asked}) > 50  # one prompt for all: each is another sample of it


def test_every_genre_has_a_prompt() -> None:
    for genre in ("textbook", "encyclopedia", "blog", "lecture", "story", "questions"):
        prompt = template(f"seeded/{genre}.txt").render(topic="", passage="P", audience="A")
        assert prompt.endswith("Excerpt:\nP") and "for A" in prompt
