"""What does a model score on a suite? Every question asked once, every answer kept, graded as it comes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.evals.answerer import Answerer, Failed, Pair, Prompt, Rendered, Scored, TooLong, Written
from orionlm.evals.kept import FILE, Answer, Kept, pair_key, prompt_key
from orionlm.evals.results import SCHEMA, Results, Row, clusters, estimate, outcomes, plain, scores
from orionlm.progress import Progress
from orionlm.sampling import Sampling
from orionlm.tasks import prompts, score
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.sandbox.zygotes import shared
from orionlm.tasks.task import Item, Suite, Task

RECORD_SECONDS = 10.0
GRADERS = 2  # programs graded at once, beside the model that writes the next
Record = Callable[..., None]  # as recipe's Context.record


@dataclass
class _Asked:
    """One item: what is asked for it, and what has been answered; `pairs` for likelihoods, else `prompt`."""

    task: Task
    item: Item
    pairs: Sequence[Pair] = ()
    prompt: Prompt = ""
    sampling: Sampling = Sampling()
    scored: dict[int, Scored | TooLong] = field(default_factory=dict)
    written: list[Written] | TooLong | None = None
    grades: list[Future[Grade]] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        return len(self.scored) == len(self.pairs) if self.pairs else self.written is not None


def evaluate(
    suite: Suite,
    answerer: Answerer,
    folder: Path,
    *,
    progress: Progress | None = None,
    record: Record | None = None,
    kept: Path | None = None,
) -> Results:
    """Asks what is not yet kept in `folder` (or `kept`), and writes `results.jsonl` and `summary.json` there.

    UserError where an endpoint left questions open: nothing is written then, and the next run asks only those; and,
    before anything is asked, where programs are to be run and this machine has no sandbox.
    """
    if any(task.kind == "code" for task in suite.tasks):
        shared(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    items = [_asked(task, item, answerer) for task in suite.tasks for item in task.items]
    spent = _Spent(answerer, record)
    progress = progress or Progress(quiet=True)
    failed: list[str] = []
    with (
        closing(Kept(kept or folder / FILE)) as store,
        ThreadPoolExecutor(GRADERS, thread_name_prefix="grading") as graders,
        progress.task(f"{suite.name} on {answerer.name}", total=len(items)) as task,
    ):
        try:
            for done, asked in enumerate(_answered(items, answerer, store, failed), start=1):
                if asked.task.kind == "code" and isinstance(asked.written, list):
                    asked.grades = [graders.submit(score.grade_code, asked.item, w.text) for w in asked.written]
                spent.tell()
                task.update(done, asked.task.name)
            if failed:
                raise UserError(
                    f"{len(failed)} of {len(items)} questions have no answer yet ({failed[0]}); run it again to go on: "
                    "what was answered is kept"
                )
            rows = tuple(row for asked in items for row in _rows(asked))
        except BaseException:
            graders.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            spent.tell(last=True)
    results = Results(_summary(suite, answerer, rows), rows)
    results.write(folder)
    return results


def limited(suite: Suite, limit: int | None) -> Suite:
    """The first `limit` items of each task: another suite, with a digest of its own."""
    if limit is None:
        return suite
    if limit < 1:
        raise UserError(f"limit = {limit}: give at least 1")
    return Suite.of(suite.name, tuple(replace(task, items=task.items[:limit]) for task in suite.tasks))


def task_digest(task: Task) -> str:
    """What decides a task's scores, but for the model: comparisons are of equal ones."""
    return Suite.of("", (task,)).digest


def own_seed(sampling: Sampling, task: Task, item: Item) -> int:
    """Every item draws anew (equal draws would correlate items), and the same at every run."""
    text = f"{sampling.seed or 0}\0{task.name}\0{item.id}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little")


def _asked(task: Task, item: Item, answerer: Answerer) -> _Asked:
    if task.kind in ("choice", "text"):
        pairs = prompts.pairs(task, item, answerer.render)
        if task.chat:
            pairs = [(Rendered(context) if context else "", continuation) for context, continuation in pairs]
        return _Asked(task, item, pairs)
    prompt: Prompt = prompts.messages(task, item) if task.chat else prompts.context(task, item)
    sampling = task.sampling
    if sampling.temperature > 0:
        sampling = replace(sampling, seed=own_seed(sampling, task, item))
    return _Asked(task, item, prompt=prompt, sampling=sampling)


def _answered(items: Sequence[_Asked], answerer: Answerer, store: Kept, failed: list[str]) -> Iterator[_Asked]:
    """Each item once, when all of it is answered: first what is kept, then programs, other texts, likelihoods."""
    pairs: dict[str, list[tuple[_Asked, int]]] = {}
    texts: dict[str, list[_Asked]] = {}
    for asked in items:
        for place, pair in enumerate(asked.pairs):
            key = pair_key(answerer.digest, pair)
            found = store.find(key) if key not in pairs else None
            if found is None:
                pairs.setdefault(key, []).append((asked, place))
            else:
                assert not isinstance(found, list)
                asked.scored[place] = found
        if not asked.pairs:
            key = prompt_key(answerer.digest, asked.prompt, asked.sampling)
            found = store.find(key) if key not in texts else None
            if found is None:
                texts.setdefault(key, []).append(asked)
            else:
                assert not isinstance(found, Scored)
                asked.written = found
        if asked.answered:
            yield asked
    # Programs first: they are graded while the rest is asked.
    keys = sorted(texts, key=lambda key: texts[key][0].task.kind != "code")
    for index, answer in answerer.write([(texts[key][0].prompt, texts[key][0].sampling) for key in keys]):
        if _keep(store, keys[index], answer, failed):
            for asked in texts[keys[index]]:
                asked.written = answer  # type: ignore[assignment]
                yield asked
    names = list(pairs)
    for index, scored in answerer.score([_pair(*pairs[name][0]) for name in names]):
        if _keep(store, names[index], scored, failed):
            for asked, place in pairs[names[index]]:
                asked.scored[place] = scored  # type: ignore[assignment]
                if asked.answered:
                    yield asked


def _pair(asked: _Asked, place: int) -> Pair:
    return asked.pairs[place]


def _keep(store: Kept, key: str, answer: Answer | Failed, failed: list[str]) -> bool:
    if isinstance(answer, Failed):
        failed.append(answer.reason)
        return False
    store.keep(key, answer)
    return True


def _rows(asked: _Asked) -> Iterator[Row]:
    """What the item came to; waits for its grades."""
    item = asked.item
    base = Row(asked.task.name, item.id, 0, item.cluster, "")
    if asked.pairs:
        yield _scored(asked, base)
        return
    if isinstance(asked.written, TooLong):
        for sample in range(asked.sampling.n):
            yield replace(base, sample=sample, outcome=Outcome.TOO_LONG.value, detail=asked.written.reason)
        return
    assert asked.written is not None
    for sample, written in enumerate(asked.written):
        grade = _result(asked.grades[sample]) if asked.grades else score.grade_text(asked.task, item, written.text)
        yield replace(
            base,
            sample=sample,
            outcome=grade.outcome.value,
            answer=grade.answer,
            detail=grade.detail,
            tokens=(written.tokens,),
            text=written.text,
            finish=written.finish,
        )


def _result(grade: Future[Grade]) -> Grade:
    try:
        return grade.result()
    except UserError:
        raise
    except Exception as error:  # whatever our own grader dies of is no judgement of the answer
        return Grade(Outcome.GRADER_ERROR, None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _scored(asked: _Asked, base: Row) -> Row:
    answers = [asked.scored[place] for place in range(len(asked.pairs))]
    long = next((answer for answer in answers if isinstance(answer, TooLong)), None)
    if long:
        return replace(base, outcome=Outcome.TOO_LONG.value, detail=long.reason)
    scored = [answer for answer in answers if isinstance(answer, Scored)]
    logs, tokens = tuple(one.log_probability for one in scored), tuple(one.tokens for one in scored)
    measured = replace(base, log_probabilities=logs, tokens=tokens)
    if asked.task.kind == "text":
        return replace(measured, bytes=scored[0].bytes)
    grade = score.grade_choice(asked.task, asked.item, logs, tokens)
    return replace(measured, outcome=grade.outcome.value, answer=grade.answer, detail=grade.detail)


def _summary(suite: Suite, answerer: Answerer, rows: Sequence[Row]) -> dict[str, Any]:
    tasks = []
    for task in suite.tasks:
        own = [row for row in rows if row.task == task.name]
        tasks.append(_line(task, own))
    return {
        "schema": SCHEMA,
        "suite": {"name": suite.name, "digest": suite.digest},
        "model": {"name": answerer.name, "digest": answerer.digest, "context": answerer.context},
        "tasks": tasks,
    }


def _line(task: Task, rows: Sequence[Row]) -> dict[str, Any]:
    """`blind`: guessing would do as well, as far as the interval tells; None where there is nothing to guess."""
    found = estimate(task.kind, rows)
    text = task.kind == "text"
    return {
        "task": task.name,
        "kind": task.kind,
        "digest": task_digest(task),
        "items": len(task.items),
        "samples": task.samples,
        "metric": "bits_per_byte" if text else "accuracy",
        "higher_is_better": not text,
        "estimate": plain(found),
        "outcomes": outcomes(rows),
        "cut": sum(row.finish in ("length", "context") for row in rows),
        "chance": None if text else task.chance,
        "blind": None if text or found is None else bool(found.low <= task.chance),
        "note": task.note,
        **_more(task, rows),
    }


def _more(task: Task, rows: Sequence[Row]) -> dict[str, Any]:
    """Other readings of the same answers: choices by other normalisations, several samples by majority and pass@k."""
    if task.kind == "choice" and task.normalisation != "unconditional":
        readings: dict[str, Any] = {}
        items = {item.id: item for item in task.items}
        for normalisation in ("none", "characters", "bytes", "tokens"):
            graded = [
                replace(
                    row,
                    outcome=score.grade_choice(
                        task,
                        items[row.item],
                        row.log_probabilities,
                        row.tokens,
                        normalisation,  # type: ignore[arg-type]
                    ).outcome.value,
                )
                if row.log_probabilities
                else row
                for row in rows
            ]
            found = estimate(task.kind, graded)
            readings[normalisation] = None if found is None else found.value
        return {"normalised": readings}
    if task.samples > 1:
        return _several(task, rows)
    return {}


def _several(task: Task, rows: Sequence[Row]) -> dict[str, Any]:
    """pass@k, and how often more than half of an item's samples are right (SimpleBench's MAJ@5).

    A question beyond the context, or one that the grader failed on, is in none of them, as it is in no mean.
    """
    from orionlm.evals.pass_at_k import maj_at_k, pass_at_k

    found = {item: values for item, values in scores(rows).items() if isinstance(values, list)}
    if not any(None not in values for values in found.values()):
        return {}
    of, samples = clusters(rows), task.samples
    passing = {
        str(k): plain(pass_at_k(list(found.values()), k, [of[item] for item in found]))
        for k in sorted({1, 5, 10, 100, samples})
        if k <= samples
    }
    if task.kind == "code":
        return {"pass_at": passing}
    whole = {item: [value == 1 for value in values] for item, values in found.items() if None not in values}
    majority = maj_at_k(list(whole.values()), [True] * len(whole), samples, [of[item] for item in whole], strict=True)
    return {"pass_at": passing, "majority": plain(majority)}


class _Spent:
    """Tells the ledger what was spent every few seconds, so that a kill loses little of it."""

    def __init__(self, answerer: Answerer, record: Record | None) -> None:
        self.answerer, self.record = answerer, record
        self._begin()

    def _begin(self) -> None:
        self.tokens, self.paid, self.began = self.answerer.tokens, self.answerer.paid, time.perf_counter()

    def tell(self, last: bool = False) -> None:
        seconds, tokens = time.perf_counter() - self.began, self.answerer.tokens - self.tokens
        if self.record is None or not (last or seconds > RECORD_SECONDS) or not tokens:
            return
        each, paid = self.answerer.flops_per_token, self.answerer.paid
        dollars = {"dollars": paid[0] - self.paid[0], "dollars_source": paid[1]} if paid and self.paid else {}
        self.record(
            "eval",
            device=self.answerer.device,
            flops=tokens * (each or 0.0),
            flops_kind="unknown" if each is None else "estimated",
            tokens=tokens,
            seconds=seconds,
            **dollars,
        )
        self._begin()
