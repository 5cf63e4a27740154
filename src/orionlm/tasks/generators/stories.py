"""Small stories in which things come and go; asked is how many are left. Anybody's story in these words is solved."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from orionlm.tasks.generators.question import Family, Question

NAMES = (
    "Ada", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Karin", "Luis", "Mira", "Noah",
    "Olga", "Paul", "Quentin", "Rosa", "Simon", "Tara", "Ugo", "Victor", "Wanda", "Xenia", "Yusuf", "Zoe", "Amir",
    "Bianca", "Cyril", "Dora", "Elias", "Fatima", "Gustav", "Helen", "Ivan", "Judith", "Klaus", "Lena", "Marco", "Nina",
)  # fmt: skip
THINGS = (
    "apples", "books", "buttons", "candles", "coins", "cups", "dolls", "eggs", "feathers", "flowers", "forks", "gloves",
    "hats", "kites", "lamps", "lemons", "marbles", "nails", "needles", "nuts", "onions", "pears", "pencils", "plates",
    "plums", "ribbons", "rings", "ropes", "scarves", "shells", "spoons", "stamps", "stones", "tickets", "towels",
    "toys", "tulips", "vases", "wheels", "whistles",
)  # fmt: skip
MORE = ("buys", "finds", "wins", "borrows", "collects", "receives")
FEWER = ("loses", "sells", "spends", "drops", "lends", "donates")
_STORY = re.compile(
    r"([A-Z][a-z]+) has (0|[1-9]\d{0,11}) ([a-z]+)\.((?: \1 (?:"
    + "|".join(MORE + FEWER)
    + r") (?:0|[1-9]\d{0,11})\.)+) How many \3 are left\?"
)
_CHANGE = re.compile(r" (\w+) (\d+)\.")


class Difficulty(BaseModel):
    """`changes` after the beginning, each of a number of at most `digits` digits, as the beginning is; nobody ever has
    fewer than none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    digits: int = Field(2, ge=1, le=6)
    changes: int = Field(1, ge=1, le=8)


def begin(difficulty: Difficulty, rng: Random) -> Callable[[], Question]:
    """The length of each number is drawn first, so that short ones are as frequent as long ones."""

    def draw() -> Question:
        name, thing = rng.choice(NAMES), rng.choice(THINGS)
        first = held = rng.randrange(10 ** rng.randint(1, difficulty.digits))
        story = ""
        for _ in range(difficulty.changes):
            amount = rng.randrange(10 ** rng.randint(1, difficulty.digits))
            fewer = amount <= held and rng.random() < 0.5
            held += -amount if fewer else amount
            story += f" {name} {rng.choice(FEWER if fewer else MORE)} {amount}."
        return Question(f"{name} has {first} {thing}.{story} How many {thing} are left?", held)

    return draw


def solve(question: str) -> int | None:
    """The answer of a story in these words, whoever wrote it; None for any other text, or where somebody would have
    fewer than none."""
    found = _STORY.fullmatch(question)
    if not found:
        return None
    held = int(found[2])
    for verb, amount in _CHANGE.findall(found[4]):
        held += int(amount) if verb in MORE else -int(amount)
        if held < 0:
            return None
    return held


FAMILY = Family(Difficulty, begin)
