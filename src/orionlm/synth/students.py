"""Is synthetic text worth its tokens here? Stage `students`: small models at equal FLOPs, with and without it.

Every student is short of genuine text and reads as many tokens as the others: genuine text again and again, or half of
it synthetic, as it was written (`ungated`) or as the gate let it pass (`admitted`). Each has the best of its branches:
an early stop, so that nobody is beaten by overfitting alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import SYNTHETIC, Document, genuine, read_documents, shard_files
from orionlm.data.subset import write_corpus
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.shape import Shape
from orionlm.synth.rows import Row, read_rows, row_files
from orionlm.train.trajectory import TrainingSettings, Trajectory

if TYPE_CHECKING:
    from orionlm.data.mixing.mixture import Mixture
    from orionlm.data.shards import TokenSet
    from orionlm.recipe.context import Context

REAL, UNGATED, ADMITTED = "real", "ungated", "admitted"
PLACES = 256


class Settings(BaseModel):
    """A student has `width` and `flops` of training, the same for all. `share` of what it reads is synthetic where any
    is, or less: synthetic text is read no more often than the real. `branches`: after which shares of its training a
    finished model is measured; the best one counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = Field(default=64, ge=16)
    flops: float = Field(gt=0)
    seeds: int = Field(default=2, ge=1)
    share: float = Field(default=0.5, gt=0, lt=1)
    branches: tuple[float, ...] = (0.35, 0.6, 1.0)
    validation_tokens: int = Field(default=131_072, ge=1)
    training: TrainingSettings = TrainingSettings()


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `students.json` and the run table `runs.csv`, in which every arm is a lever."""
    from orionlm.data.shards import TokenSet, tokenise
    from orionlm.gain.runs import read_runs, write_runs
    from orionlm.ladder.side_by_side import Wanted, train_side_by_side
    from orionlm.synth.worth import own_costs, price

    work = out / "work" / "tokens"
    rows, aligned = inputs["rows"], inputs.get("aligned")
    kept = [row for row in read_rows(row_files(rows.path)) if not row.error]
    gate = aligned.json("gate.json") if aligned else {}
    arms = {UNGATED: kept}
    if aligned and gate["verdict"] == "admitted":
        arms[ADMITTED] = list(read_rows(row_files(aligned.path)))
    if not (work / "tokens.json").exists():
        write_arms(work / "corpus", inputs["corpus"], arms)
        tokenizer = inputs["tokenizer"].file("tokenizer.json").read_text(encoding="utf-8")
        tokenise(work / "corpus", tokenizer, work, context)
    tokens = TokenSet.open(work, "train")
    runs, mixtures = plan_students(settings, tokens, context.seed, [REAL, *arms])
    wanted = [Wanted(run, work, mixtures[run.name.split("-")[0]]) for run in runs]
    trained = train_side_by_side(wanted, out, context, settings.validation_tokens)
    measured = [
        {"arm": run.name.split("-")[0], "seed": run.seed, "points": points}
        for run, (points, _) in zip(runs, trained, strict=True)
    ]
    validation = TokenSet.open(work, "validation").digest[:12]
    baseline = read_runs(inputs["ladder"].file("runs.csv")) if "ladder" in inputs else None
    shares = synthetic_shares(mixtures)
    read = runs[0].branches[-1] * settings.training.batch_tokens
    used = {arm: min(1.0, shares[arm] * read / len(tokens.parts[arm])) for arm in arms}
    table, found = price(
        measured,
        tokens.vocabulary,
        validation,
        len(tokens.parts[REAL]),
        baseline,
        own_costs(inputs),
        context.seed,
        used,
    )
    page = {
        "width": settings.width,
        "tokens": read,
        "flops": runs[0].branches[-1] * runs[0].step_flops,
        "share": settings.share,
        "shares": shares,
        "unique_tokens": {name: len(part) for name, part in tokens.parts.items()},
        "gate": {name: gate.get(name) for name in ("verdict", "faults", "score")} if aligned else None,
        "teacher_saw_more": "run" in inputs,
    }
    write_json(out / "students.json", page | found)
    write_runs(out / "runs.csv", table)
    for line in found["says"]:
        context.progress.say(f"{context.stage}: {line}")


def write_arms(out: Path, corpus: Artifact, arms: dict[str, list[Row]]) -> None:
    """One corpus with a domain for each arm's text, and the genuine one's held-out side."""
    out.mkdir(parents=True, exist_ok=True)
    real = [one._replace(domain=REAL) for one in genuine(read_documents(shard_files(corpus.path, "train")))]
    written = [document for name, rows in arms.items() for document in documents(rows, name)]
    for name, rows in arms.items():
        if not rows:
            raise UserError(f"rows: none was kept for the arm {name}; see why in generation.json, then write more")
    write_corpus(out, real + written, corpus, corpus.json("corpus.json"))


def documents(rows: Iterable[Row], domain: str) -> list[Document]:
    """Rows as documents, in an order that does not follow the one they were written in."""
    made = [Document(row.text, f"{SYNTHETIC}{row.method}", row.teacher, row.id, domain, row.licence) for row in rows]
    return sorted(made, key=lambda one: hashlib.sha256(one.id.encode()).digest())


def plan_students(
    settings: Settings, tokens: TokenSet, seed: int, arms: list[str]
) -> tuple[list[Trajectory], dict[str, Mixture]]:
    """Every arm's runs, named ARM-SEED, and what each arm reads."""
    from orionlm.data.mixing.mixture import Mixture

    training = settings.training
    shape = Shape.from_width(settings.width, vocabulary=tokens.vocabulary, context=training.context)
    steps = settings.flops / (shape.train_flops_per_token() * training.batch_tokens)
    branches = tuple(round(share * steps) for share in settings.branches)
    if branches[0] < 2 or list(branches) != sorted(set(branches)):
        raise UserError(
            f"flops = {settings.flops:g}: at width {settings.width} the branches {list(settings.branches)} end after "
            f"{', '.join(map(str, branches))} steps; give ascending shares and more flops"
        )
    most = branches[-1] * training.batch_tokens
    size = {name: len(part) for name, part in tokens.parts.items()}

    def mixture(arm: str) -> Mixture:
        if arm == REAL:
            return Mixture((REAL,), (PLACES,), (), 0.0, most, (size[REAL],))
        share = min(settings.share, size[arm] / (size[arm] + size[REAL]))
        written = max(1, min(PLACES - 1, round(share * PLACES)))
        return Mixture((REAL, arm), (PLACES - written, written), (), 0.0, most, (size[REAL], size[arm]))

    runs = [
        Trajectory(f"{arm}-{number}", shape, training, branches, seed + number)
        for number in range(settings.seeds)
        for arm in arms
    ]
    return runs, {arm: mixture(arm) for arm in arms}


def synthetic_shares(mixtures: Mapping[str, Mixture]) -> dict[str, float]:
    """How much of what each arm reads is synthetic: less than `share` where there is little of it."""
    return {arm: 1 - float(mixture.shares[mixture.domains.index(REAL)]) for arm, mixture in mixtures.items()}


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """What the students cost: every arm, every seed, and the decays of the branches."""
    from orionlm.ladder.run import seconds_for

    shape = Shape.from_width(
        settings.width, vocabulary=known["tokenizer"]["vocabulary"], context=settings.training.context
    )
    steps = round(settings.flops / (shape.train_flops_per_token() * settings.training.batch_tokens))
    one = Trajectory("student", shape, settings.training, (max(1, steps),), context.seed).flops
    each = one * (1 + settings.training.decay * sum(settings.branches[:-1]))
    flops = each * 3 * settings.seeds
    numbers = [
        Derived("students", 3 * settings.seeds, "", "real, ungated, admitted · seeds"),
        Derived("FLOPs of one", each, "FLOP", "flops · (1 + decay · Σ earlier branches)"),
        Derived("FLOPs", flops, "FLOP", "students · FLOPs of one"),
    ]
    return Estimate(numbers, flops, seconds_for(context, [(shape, flops)]) / 2)
