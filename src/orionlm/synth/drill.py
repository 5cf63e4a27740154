"""Does text collapse when models learn from models, and does the guard hold it? Stage `drill`: a rehearsal in small.

A student of genuine text writes; the next student learns from that, and writes; and so on. `replaced`: each generation
has only what the last one wrote (Shumailov et al., Nature 631, 2024). `guarded`: the genuine text stays and what was
written accumulates beside it (Gerstgrasser et al. 2404.01413), up to `max_depth` generations of models, with at least
`real_share` of the reading genuine: the limits of the stage `augment`. All students read as many tokens, all go on from
passages of the genuine text (which stay out of what is learned from, as in Shumailov et al.), and all are measured on
the same held-out text. What a small model wrote costs its first reader at once, for the reader gets no better than its
writer; collapse is what grows from there, from generation to generation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import genuine, read_documents, shard_files
from orionlm.data.mixing.mixture import Mixture
from orionlm.data.subset import write_corpus
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.shape import Shape
from orionlm.synth.measures.diversity import compression_ratio
from orionlm.synth.rows import Row, read_rows, row_files, write_rows
from orionlm.synth.students import PLACES, REAL, documents
from orionlm.train.trajectory import TrainingSettings, Trajectory

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

REPLACED, GUARDED, WRITTEN = "replaced", "guarded", "written"
LEVEL = 0.9


class Settings(BaseModel):
    """`generations` of students of `width` after the first, each trained with `flops`. `tokens` are written by each, by
    default as many as the genuine text has. `harm`: the rise from the first reader to the last, in bits per byte, that
    counts as collapse."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = Field(default=64, ge=16)
    flops: float = Field(gt=0)
    generations: int = Field(default=4, ge=2)
    tokens: int | None = Field(default=None, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    real_share: float = Field(default=0.5, gt=0, lt=1)
    max_depth: int = Field(default=2, ge=1)
    seeds: int = Field(default=2, ge=1)
    harm: float = Field(default=0.05, gt=0)
    validation_tokens: int = Field(default=131_072, ge=1)
    training: TrainingSettings = TrainingSettings()


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `drill.json`: held-out bits per byte of each generation, and how its text compresses."""
    from orionlm.ladder.side_by_side import Wanted, train_side_by_side

    work = out / "work"
    lines = [f"{arm}-{seed}" for arm in (REPLACED, GUARDED) for seed in range(settings.seeds)]
    measured: list[dict[str, dict[str, Any]]] = []
    written: dict[str, list[Row]] = {line: [] for line in lines}
    for generation in range(settings.generations + 1):
        here = work / f"generation-{generation}"
        # The first generation is the same for both: genuine text alone.
        due = lines if generation else [line for line in lines if line.startswith(GUARDED)]
        wanted = [Wanted(*_student(settings, inputs, here, line, generation, written[line], context)) for line in due]
        trained = train_side_by_side(wanted, here, context, settings.validation_tokens, keep_models=True)
        points = {line: found[0] for line, (found, _) in zip(due, trained, strict=True)}
        now = {}
        for line in lines:
            twin = line if line in points else line.replace(REPLACED, GUARDED)
            rows = _written(settings, inputs["corpus"], here, twin, generation, context)
            if line.startswith(REPLACED):
                written[line] = rows
            else:
                written[line] += [row for row in rows if row.depth <= settings.max_depth]
            compressed = compression_ratio([row.text for row in rows]).value
            now[line] = {
                "bits_per_byte": points[twin]["bits_per_byte"],
                "standard_error": points[twin]["standard_error"],
                "compression": compressed if math.isfinite(compressed) else None,
            }
        measured.append(now)
    found = judged(measured, settings.harm)
    write_json(out / "drill.json", {"generations": measured, "harm": settings.harm, "level": LEVEL} | found)
    for arm in (REPLACED, GUARDED):
        context.progress.say(f"{context.stage}: {found['arms'][arm]['says']}")


def _student(
    settings: Settings,
    inputs: dict[str, Artifact],
    here: Path,
    line: str,
    generation: int,
    rows: Sequence[Row],
    context: Context,
) -> tuple[Trajectory, Path, Mixture]:
    """One student's run, its tokens (made where they are not there yet), and what it reads of each domain."""
    from orionlm.data.shards import TokenSet, tokenise

    corpus, folder = inputs["corpus"], here / "tokens" / line
    if not (folder / "tokens.json").exists():
        real = [one._replace(domain=REAL) for one in genuine(read_documents(shard_files(corpus.path, "train")))]
        text = documents(rows, WRITTEN)
        kept = text if generation and line.startswith(REPLACED) else real + text
        (folder / "corpus").mkdir(parents=True, exist_ok=True)
        write_corpus(folder / "corpus", kept, corpus, corpus.json("corpus.json"))
        tokenizer = inputs["tokenizer"].file("tokenizer.json").read_text(encoding="utf-8")
        tokenise(folder / "corpus", tokenizer, folder, context)
    tokens = TokenSet.open(folder, "train")
    training = settings.training
    shape = Shape.from_width(settings.width, vocabulary=tokens.vocabulary, context=training.context)
    steps = max(1, round(settings.flops / (shape.train_flops_per_token() * training.batch_tokens)))
    seed = context.seed + 100 * generation + int(line.split("-")[1])
    sizes = {name: len(part) for name, part in tokens.parts.items()}
    real_places = math.ceil(settings.real_share * PLACES)
    places = {REAL: real_places, WRITTEN: PLACES - real_places} if len(sizes) == 2 else dict.fromkeys(sizes, PLACES)
    mixture = Mixture(
        tuple(sizes), tuple(places[n] for n in sizes), (), 0.0, steps * training.batch_tokens, tuple(sizes.values())
    )
    return Trajectory(line, shape, training, (steps,), seed), folder, mixture


def _written(
    settings: Settings, corpus: Artifact, here: Path, line: str, generation: int, context: Context
) -> list[Row]:
    """What a student writes; made once."""
    folder = here / "rows" / line
    if not row_files(folder):
        write_rows(folder, _write(settings, corpus, here / "models" / f"{line}-0", generation, context))
    return list(read_rows(row_files(folder)))


def _write(settings: Settings, corpus: Artifact, model: Path, generation: int, context: Context) -> list[Row]:
    from orionlm.inference.engine.load import load_engine
    from orionlm.sampling import Sampling

    began = time.perf_counter()
    loaded = load_engine(model, slots=128)
    engine, beginning = loaded.engine, loaded.shape.context // 4
    given = [engine.ends[0]]
    for document in genuine(read_documents(shard_files(corpus.path, "train"))):
        given += loaded.tokenizer.encode(document.text, add_special_tokens=False).ids
    length = loaded.shape.context - beginning
    rng = np.random.default_rng([context.seed, generation])
    wanted = settings.tokens or len(given)
    rows: list[Row] = []
    made = read = 0
    while made < wanted:
        starts = rng.integers(0, max(1, len(given) - beginning), max(16, (wanted - made) // length + 1))
        read += len(starts) * beginning
        asked = Sampling(max_tokens=length, temperature=settings.temperature, seed=context.seed + len(rows))
        for [answer] in engine.answers([given[start : start + beginning] for start in starts], asked):
            text = loaded.tokenizer.decode([token for token in answer.tokens if token not in engine.ends])
            rows.append(Row(text, "drill", depth=generation + 1, tokens=len(answer.tokens), seeds=(str(len(rows)),)))
            made += max(1, len(answer.tokens))
    flops = (read + made) * loaded.shape.forward_flops_per_token()
    context.record("teacher", flops=flops, tokens=made, seconds=time.perf_counter() - began)
    return [row for row in rows if row.text.strip()]


def judged(measured: Sequence[dict[str, dict[str, Any]]], harm: float) -> dict[str, Any]:
    """How far each arm's last generation is from the first that read what a model wrote, with a t interval over its own
    seeds (a collapsing arm spreads more than a stable one); and what that reading cost at once."""

    def between(arm: str, later: int, earlier: int) -> np.ndarray:
        lines = [line for line in measured[0] if line.startswith(arm)]
        return np.array([measured[later][n]["bits_per_byte"] - measured[earlier][n]["bits_per_byte"] for n in lines])

    rises = {arm: between(arm, -1, 1) for arm in (REPLACED, GUARDED)}
    arms = {}
    for arm, values in rises.items():
        half = None
        if freedom := len(values) - 1:
            half = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * values.std(ddof=1) / math.sqrt(len(values)))
        low, high = (None, None) if half is None else (float(values.mean()) - half, float(values.mean()) + half)
        verdict = "cannot tell"
        if low is not None and high is not None:
            verdict = "collapse" if low > harm else "no collapse" if high < harm else "cannot tell"
        ends = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
        at_once = float(between(arm, 1, 0).mean())
        arms[arm] = {
            "at_once": at_once, "rise": float(values.mean()), "low": low, "high": high, "n": len(values),
            "verdict": verdict,
            "says": f"{arm}: {verdict}: {values.mean():+.3f}{ends} bits per byte from generation 1 to "
            f"{len(measured) - 1}, after {at_once:+.3f} at once, n = {len(values)}",
        }  # fmt: skip
    return {"arms": arms}


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """What all generations cost."""
    from orionlm.ladder.run import seconds_for

    shape = Shape.from_width(
        settings.width, vocabulary=known["tokenizer"]["vocabulary"], context=settings.training.context
    )
    students = settings.seeds * (2 * settings.generations + 1)
    # A piece is written from a third of its length given, and forward is a third of training.
    writing, formula = settings.flops * 4 / 9, "students · flops · 13/9, where as much is written as is read"
    if settings.tokens:
        writing = settings.tokens * 4 / 3 * shape.forward_flops_per_token()
        formula = "students · (flops + tokens · 4/3 · FLOPs of a token forward)"
    flops = students * (settings.flops + writing)
    numbers = [
        Derived("students", students, "", "seeds · (2 · generations + 1)"),
        Derived("FLOPs", flops, "FLOP", formula),
    ]
    return Estimate(numbers, flops, seconds_for(context, [(shape, flops)]) / 2)
