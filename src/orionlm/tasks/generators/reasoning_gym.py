"""reasoning-gym's questions, graded by us. Extra `tasks`.

Only its generators are used: its scorers run the model's text (eval, sympy's parse_expr) in the caller's process. A
generator whose answers ours cannot compare without that is refused by name. Its item i is drawn from Random(seed + i),
so neighbouring seeds share questions: here each seed begins at a place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict

from orionlm.errors import UserError
from orionlm.settings import nearest
from orionlm.tasks.generators.question import Family, Question
from orionlm.tasks.task import Form

PREFIX = "reasoning_gym."
AT_ONCE = 1 << 20  # its data sets are lazy: a size costs nothing

FORMS: Mapping[str, Form] = {
    "chain_sum": "number",
    "products": "number",
    "gcd": "number",
    "lcm": "number",
    "count_bits": "number",
    "count_primes": "number",
    "letter_counting": "number",
    "countdown": "expression",
    "spell_backward": "text",
    "word_sorting": "words",
    "word_sequence_reversal": "words",
}


class Difficulty(BaseModel):
    """The generator's own settings, which it checks; its seed and size are ours."""

    model_config = ConfigDict(frozen=True, extra="allow")


def family(name: str) -> Family:
    """The family of one generator; UserError for one that is not graded here."""
    if name not in FORMS:
        raise UserError(
            f"generator {PREFIX}{name}: its answers are not graded here (its own scorer may run what a model wrote); "
            f"{nearest(name, FORMS)}"
        )

    def begin(difficulty: Difficulty, rng: Random) -> Callable[[], Question]:
        rows = _rows(name, difficulty.model_extra or {}, rng)
        return lambda: _question(name, next(rows))

    return Family(Difficulty, begin)


def _question(name: str, row: Mapping[str, Any]) -> Question:
    form = FORMS[name]
    text, answer = str(row["question"]).strip(), str(row["answer"])
    if form == "expression":
        metadata = row["metadata"]
        wanted = {"numbers": [int(n) for n in metadata["numbers"]], "target": int(metadata["target"])}
        return Question(text, wanted, form, shown=answer)
    return Question(text, int(answer) if form == "number" else answer, form)


def _rows(name: str, settings: Mapping[str, Any], rng: Random) -> Any:
    try:
        import reasoning_gym
    except ImportError:
        raise UserError(f"generator {PREFIX}{name} needs the extra tasks: pip install 'orion-lm[tasks]'") from None
    for key in ("seed", "size"):
        if key in settings:
            raise UserError(
                f"generator {PREFIX}{name}: difficulty.{key}: set {'seed' if key == 'seed' else 'n'} instead"
            )

    def rows() -> Any:
        while True:
            try:
                drawn = reasoning_gym.create_dataset(name, seed=rng.getrandbits(62), size=AT_ONCE, **settings)
            except (TypeError, ValueError, AssertionError) as error:
                problem = next(iter(str(error).splitlines()), "")
                raise UserError(f"generator {PREFIX}{name}: difficulty: {problem}") from None
            for index in range(AT_ONCE):
                try:
                    row = drawn[index]
                except ValueError:  # countdown gives up on a draw now and then
                    continue
                yield row

    return rows()
