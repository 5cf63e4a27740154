"""Small Python programs whose printed number is asked: assignments, branches and loops, evaluated as they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from orionlm.tasks.generators.question import Family, Question

NAMES = "abcdefgh"
MOST = 10**6  # values stay below, whatever is multiplied
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "<": lambda x, y: x < y,
    ">": lambda x, y: x > y,
    "==": lambda x, y: x == y,
}
_COMBINE: dict[str, Callable[[int, int], int]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
}


class Difficulty(BaseModel):
    """`steps` statements over `variables` names, with constants of at most `digits` digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int = Field(3, ge=1, le=30)
    variables: int = Field(2, ge=1, le=len(NAMES))
    digits: int = Field(1, ge=1, le=4)
    branches: bool = True
    loops: bool = True


def begin(difficulty: Difficulty, rng: Random) -> Callable[[], Question]:
    """Each statement is drawn, carried out on the values so far, and drawn again where a value would grow too large."""

    def draw() -> Question:
        values: dict[str, int] = {}
        lines: list[str] = []
        for name in NAMES[: difficulty.variables]:
            values[name] = _constant(rng, difficulty)
            lines.append(f"{name} = {values[name]}")
        done = 0
        while done < difficulty.steps:
            statement, after = _statement(rng, difficulty, values)
            if all(abs(value) < MOST for value in after.values()):
                lines += statement
                values = after
                done += 1
        asked = rng.choice(sorted(values))
        return Question("\n".join([*lines, f"print({asked})", "# prints:"]), values[asked])

    return draw


def _statement(rng: Random, difficulty: Difficulty, values: dict[str, int]) -> tuple[list[str], dict[str, int]]:
    kinds = ["assign", "assign"] + ["branch"] * difficulty.branches + ["loop"] * difficulty.loops
    kind = rng.choice(kinds)
    after = dict(values)
    if kind == "assign":
        return [_assign(rng, difficulty, after)], after
    if kind == "branch":
        left, operator = rng.choice(sorted(values)), rng.choice(sorted(_COMPARE))
        right, limit = _term(rng, difficulty, values)
        yes, no = dict(values), dict(values)
        taken, other = _assign(rng, difficulty, yes), _assign(rng, difficulty, no)
        lines = [f"if {left} {operator} {right}:", f"    {taken}", "else:", f"    {other}"]
        return lines, yes if _COMPARE[operator](values[left], limit) else no
    name, operator, times = rng.choice(sorted(values)), rng.choice("+-"), rng.randint(2, 4)
    term, _ = _term(rng, difficulty, values, besides=name)
    for i in range(times):
        step = i if term == "i" else after[term] if term in after else int(term)
        after[name] = _COMBINE[operator](after[name], step)
    return [f"for i in range({times}):", f"    {name} {operator}= {term}"], after


def _assign(rng: Random, difficulty: Difficulty, values: dict[str, int]) -> str:
    """One assignment, carried out on `values`."""
    name, left = rng.choice(sorted(values)), rng.choice(sorted(values))
    operator = rng.choice("++-*")
    right, amount = _term(rng, difficulty, values)
    values[name] = _COMBINE[operator](values[left], amount)
    return f"{name} {operator}= {right}" if name == left else f"{name} = {left} {operator} {right}"


def _term(rng: Random, difficulty: Difficulty, values: dict[str, int], besides: str = "") -> tuple[str, int]:
    """A constant, a variable, or in a loop (where one is `besides`) the counter; and its value now."""
    names = [name for name in sorted(values) if name != besides] + (["i"] if besides else [])
    if names and rng.random() < 0.5:
        name = rng.choice(names)
        return name, values.get(name, 0)
    constant = _constant(rng, difficulty)
    return str(constant), constant


def _constant(rng: Random, difficulty: Difficulty) -> int:
    return rng.randrange(1, 10**difficulty.digits)


FAMILY = Family(Difficulty, begin)
