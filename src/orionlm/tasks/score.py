"""Is what the model gave right? Choices by likelihood, texts by their answer, programs by their tests.

What cannot be read as an answer is unparsable, apart from wrong; neither is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orionlm.tasks import extract
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.task import LETTERS, Item, Normalisation, Task


def best(
    choices: Sequence[str], logs: Sequence[float], normalisation: Normalisation, tokens: Sequence[int] | None = None
) -> int:
    """The index of the choice with the highest normalised log-likelihood; the first of equals.

    Per character or byte (of the choice alone, without what stands between it and the question) as "acc_norm" and
    "acc_bytes" of lm-eval are; per token; or less its likelihood without the question, log p(c|q) − log p(c) (Brown et
    al. 2005.14165, § 2.4), for which `logs` holds the unconditional ones after the conditional.
    """
    count = len(choices)
    assert len(logs) == (2 * count if normalisation == "unconditional" else count), (count, len(logs))
    if normalisation == "unconditional":
        scores = [logs[n] - logs[count + n] for n in range(count)]
    elif normalisation == "tokens":
        assert tokens is not None and len(tokens) >= count
        scores = [logs[n] / max(tokens[n], 1) for n in range(count)]
    elif normalisation == "none":
        scores = list(logs)
    else:
        sizes = [len(choice if normalisation == "characters" else choice.encode()) for choice in choices]
        scores = [log / size for log, size in zip(logs, sizes, strict=True)]
    return max(range(count), key=lambda n: (scores[n], -n))


def grade_choice(
    task: Task,
    item: Item,
    logs: Sequence[float],
    tokens: Sequence[int] | None = None,
    normalisation: Normalisation | None = None,
) -> Grade:
    """By the summed log-likelihoods (and the numbers of tokens) of the continuations of `prompts.pairs`, in order."""
    if any(math.isnan(log) for log in logs):
        return Grade(Outcome.GRADER_ERROR, None, "a log-likelihood is not a number")
    choices = LETTERS[: len(item.choices)] if task.letters else item.choices
    chosen = best(choices, logs, normalisation or task.normalisation, tokens)
    return Grade(Outcome.RIGHT if chosen == item.answer else Outcome.WRONG, LETTERS[chosen], "")


def grade_text(task: Task, item: Item, text: str) -> Grade:
    """By the answer that stands in `text`."""
    rule = task.extraction
    try:
        found = extract.find(text, rule)
    except TimeoutError:
        problem = f"the pattern took longer than {extract.SECONDS:g} s on {len(text):,} characters"
        return Grade(Outcome.TIMED_OUT, None, problem)
    if found is None:
        return Grade(Outcome.UNPARSABLE, None, "no answer found")
    answer = extract.canonical(found, rule.form)
    if answer is None:
        return Grade(Outcome.UNPARSABLE, None, f"{found[:40]!r} is no {rule.form}")
    right = any(extract.same(answer, wanted, rule) for wanted in answers(item))
    return Grade(Outcome.RIGHT if right else Outcome.WRONG, answer, "")


def grade_code(item: Item, text: str) -> Grade:
    """By the tests of the program that stands in `text`."""
    from orionlm.tasks.grading import grade_program

    if not text.strip():
        return Grade(Outcome.UNPARSABLE, None, "no program")
    return grade_program(program(item, text), item.answer)


def program(item: Item, text: str) -> str:
    """The program in `text`, which goes on from the item's prompt if it has one."""
    return extract.code(text, item.answer["entry_point"], item.answer.get("prompt", ""))


def answers(item: Item) -> tuple:
    """All that is right; of a choice its letter."""
    if item.choices:
        return (LETTERS[item.answer],)
    return item.answer if isinstance(item.answer, tuple) else (item.answer,)
