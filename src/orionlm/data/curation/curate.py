"""What of a corpus is worth training on? Stage `curate`: its documents one by one, then against each other.

Each part of the corpus is judged by itself (`judge`); what must be known of all of them, copies and repeated lines, is
decided on digests and signatures alone (`compare`); then each part is written (`write`). A part is finished when its
record lies in `work`: a curation that was killed skips those.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from orionlm.artifact import Artifact, json_digest, write_json
from orionlm.data.curation.compare import compare
from orionlm.data.curation.judge import judge
from orionlm.data.curation.parts import Part, parts
from orionlm.data.curation.steps import Steps
from orionlm.data.curation.tally import Tally
from orionlm.data.curation.write import write
from orionlm.data.dedup.lines import Settings as Lines
from orionlm.data.dedup.lsh import Settings as NearCopies
from orionlm.data.documents import shard_files
from orionlm.data.engine import each
from orionlm.data.filters import FILTERS, load
from orionlm.data.shares import largest
from orionlm.errors import UserError
from orionlm.progress import Progress

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class _Together(BaseModel):
    """A table for each step turns it on, `STEP = {}` with its defaults, `STEP = false` off. On unless turned off:
    `near_copies`. Held-out text is left as it is, and what copies it goes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    near_copies: bool | NearCopies = True
    lines: bool | Lines = False

    @model_validator(mode="after")
    def _defaults_exist(self) -> _Together:
        for name in FILTERS:
            needed = [key for key, field in load(name).Settings.model_fields.items() if field.is_required()]
            if getattr(self, name) is True and needed:
                raise ValueError(
                    f"{name} = true: it has no default for {needed[0]}; write {name} = {{ {needed[0]} = … }}"
                )
        return self

    def steps(self) -> Steps:
        chosen = {name: getattr(self, name) for name in FILTERS}
        asked = {n: load(n).Settings() if value is True else value for n, value in chosen.items() if value is not False}
        identity = {n: load(n).identity(value) for n, value in asked.items() if hasattr(load(n), "identity")}
        near = NearCopies() if self.near_copies is True else self.near_copies or None
        lines = Lines() if self.lines is True else self.lines or None
        return Steps(asked, near, lines, identity)


Settings = create_model(  # type: ignore[call-overload]
    "Settings",
    __base__=_Together,
    __doc__=_Together.__doc__,
    **{name: (bool | load(name).Settings, False) for name in FILTERS},
)


def run(settings: Any, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `train-*.parquet`, `validation-*.parquet`, `verdicts-*.parquet`, `corpus.json`, `curation.json`,
    `samples.json`; where it was decontaminated, `decontamination.json`."""
    from orionlm.recipe.context import cores

    corpus = inputs["corpus"]
    held_out = shard_files(corpus.path, "validation")
    given = [*parts(held_out, protected=True), *parts(shard_files(corpus.path, "train"))]
    runner = context.pinned.get("runner", "embedded")

    def spent(seconds: float) -> None:
        context.record("data", seconds=seconds)

    steps = settings.steps()
    tally = curate(given, steps, out, workers=cores(), runner=runner, progress=context.progress, spent=spent)
    for path in held_out:
        shutil.copyfile(path, out / path.name)
    before = corpus.json("corpus.json")
    left = tally.left()
    both = {total: left[total] + before["validation"][total] for total in left}
    now = {"train": left, **{f"train_{share}s": largest(counts) for share, counts in tally.kept.items()}}
    write_json(out / "corpus.json", before | both | now)
    write_report(out, steps, tally)


def write_report(out: Path, steps: Steps, tally: Tally) -> None:
    """`curation.json`, `samples.json`, and what filters report of their own."""
    shares = {side: {n: largest(c) for n, c in getattr(tally, side).items()} for side in ("seen", "kept")}
    write_json(
        out / "curation.json",
        {
            "steps": steps.names(),
            "read": steps.identity,
            "removed": tally.removed,
            "changed": tally.changed,
            "found": tally.found,
            **shares,
        },
    )
    write_json(out / "samples.json", tally.samples)
    for name, settings in steps.filters.items():
        if hasattr(load(name), "report"):
            write_json(out / load(name).FILE, load(name).report(settings, tally.findings.get(name, [])))


def curate(
    given: Sequence[Part],
    steps: Steps,
    out: Path,
    *,
    workers: int = 1,
    runner: str = "embedded",
    progress: Progress | None = None,
    spent: Callable[[float], None] = lambda seconds: None,
) -> Tally:
    """`given`, protected parts first, → `train-*.parquet` and `verdicts-*.parquet` in `out`.

    Unfinished work stays in `work/curation` of `out`. `spent` is told the seconds of each step. UserError where
    nothing is left.
    """
    progress = progress or Progress(quiet=True)
    work = out / "work" / "curation"  # its own: what lies beside it is the recipe's record of the attempt
    _begin(work, out, given, steps)
    names = {f"{number:05d}": part for number, part in enumerate(given)}
    each_due = partial(_each, work=work, workers=workers, runner=runner, progress=progress, spent=spent)
    jobs: dict[str, tuple[Any, ...]] = {name: (part, steps, work, name) for name, part in names.items()}
    each_due("judging", judge, jobs, "json", threads=not steps.filters)
    if not (work / "compared.json").exists():
        began = time.perf_counter()
        progress.say("comparing all documents")
        compare(list(names), [part.protected for part in given], steps, work)
        spent(time.perf_counter() - began)
    kept = [name for name, part in names.items() if not part.protected]
    jobs = {name: (names[name], steps, work, name, out, number) for number, name in enumerate(kept)}
    each_due("writing", write, jobs, "written.json", threads=True)
    records = (json.loads((work / f"{name}.{kind}").read_text()) for name in kept for kind in ("json", "written.json"))
    tally = Tally.sum(record["tally"] for record in records)
    if not tally.left()["documents"]:
        raise UserError(_nothing_left(tally))
    return tally


def _begin(work: Path, out: Path, given: Sequence[Part], steps: Steps) -> None:
    plan = {"digest": json_digest({"steps": repr(steps), "parts": [repr(part) for part in given]})}
    marker = work / "plan.json"
    if not (marker.exists() and json.loads(marker.read_text()) == plan):
        shutil.rmtree(work, ignore_errors=True)
        for stale in out.glob("*.parquet"):
            stale.unlink()
    for leftover in (*work.glob("*.tmp"), *out.glob("*.parquet.*.tmp")):  # of workers that were killed
        leftover.unlink(missing_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    write_json(marker, plan)


def _each(
    what: str,
    function: Callable[..., None],
    jobs: dict[str, tuple[Any, ...]],
    record: str,
    *,
    threads: bool,
    work: Path,
    workers: int,
    runner: str,
    progress: Progress,
    spent: Callable[[float], None],
) -> None:
    due = {name: job for name, job in jobs.items() if not (work / f"{name}.{record}").exists()}
    began = time.perf_counter()
    finished = each(function, due, workers=workers, runner=runner, threads=threads)
    with progress.task(what, total=len(jobs)) as task:
        for done, _ in enumerate(finished, len(jobs) - len(due) + 1):
            now = time.perf_counter()
            spent(now - began)
            began = now
            task.update(done, note=f"part {done} of {len(jobs)}")


def _nothing_left(tally: Tally) -> str:
    gone = {name: sum(held["documents"] for held in why.values()) for name, why in tally.removed.items()}
    if not gone:
        return "the corpus to curate holds no document"
    worst = max(gone, key=lambda filter: gone[filter])
    reason, held = max(tally.removed[worst].items(), key=lambda item: item[1]["documents"])
    return (
        f"nothing is left of {sum(gone.values()):,} documents: {worst} removed {gone[worst]:,} of them "
        f"({held['documents']:,}: {reason}); loosen {worst}, or turn it off with {worst} = false"
    )
