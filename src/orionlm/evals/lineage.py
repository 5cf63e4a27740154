"""Was the text that a model was trained on cleaned of a suite's items? Without that, its score may be memory.

The manifests of a run name what each artifact was made from by digest, up to the corpora. A task is covered where on
every way from the model to its sources an artifact was decontaminated against its items (`decontamination.json`).
Two kinds of task need none of it: what a generator draws is new to everyone, and what is made of the held-out text of
the same corpora was kept out of training by their split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orionlm.artifact import MANIFEST, Artifact, file_digest, open_artifact
from orionlm.data.decontamination.decontaminate import FILE, contents
from orionlm.data.decontamination.overlap import is_generated
from orionlm.errors import UserError
from orionlm.tasks.task import Suite, Task

NO_TEXT = ("tokenizer", "forecast", "ladder")  # inputs of a training stage that it does not read text from


@dataclass(frozen=True)
class Lineage:
    """What a model's text was cleaned of (`contents` of tasks), the corpora it came from, digests of their held-out
    files. An empty `corpora`: not known."""

    covered: frozenset[str] = frozenset()
    corpora: tuple[str, ...] = ()
    held_out: frozenset[str] = frozenset()


def lineage(model: Path) -> Lineage:
    """Of a checkpoint inside a run's artifact; anywhere else nothing is known."""
    folder = next((path for path in (model, *model.resolve().parents[:3]) if (path / MANIFEST).is_file()), None)
    if folder is None:
        return Lineage()
    here = folder.resolve().parent
    beside = [open_artifact(found.parent, verify=False) for found in sorted(here.glob(f"*/{MANIFEST}"))]
    known = {artifact.digest: artifact for artifact in beside}
    try:
        return _of(open_artifact(folder, verify=False), known)
    except KeyError:  # made from what is no longer there
        return Lineage()


def check(suite: Suite, model: Path, made_from: Sequence[Path] = (), accepted: bool = False) -> str:
    """UserError where the model's text was not cleaned of the suite, unless `accepted`; else what to tell the person.

    `made_from`: the files of text that questions were made from, a corpus's held-out ones for the tasks of `sight`.
    """
    due = [task for task in suite.tasks if not all(map(is_generated, task.items))]
    if not due:
        return ""
    known = lineage(model)
    if not known.corpora:
        return f"{suite.name}: what {model} was trained on is not known here, nor whether it has seen these questions"
    own = bool(made_from) and all(file_digest(path) in known.held_out for path in made_from)
    due = [task for task in due if not (own and _is_made(task)) and contents(task) not in known.covered]
    if not due:
        return ""
    names = ", ".join(task.name for task in due[:3]) + (", …" if len(due) > 3 else "")
    tasks = "" if len(due) == len(suite.tasks) else f" ({names})"
    said = (
        f"suite {suite.name}{tasks}: {model} was trained on {', '.join(known.corpora)}, not decontaminated against it"
    )
    if accepted:
        return f"{said}; its score may be memory"
    raise UserError(
        f"{said}; name the suite in decontaminate.suites of a curate stage and train on that, or go on with "
        "--undecontaminated (undecontaminated = true in a stage)"
    )


def _of(artifact: Artifact, known: dict[str, Artifact]) -> Lineage:
    parents = [known[digest] for digest in artifact.manifest["inputs"].values()]
    before = [_of(parent, known) for parent in parents if parent.kind not in NO_TEXT]
    files = artifact.manifest["files"]
    own = [digest for suite in _cleaned(artifact) for digest in suite["tasks"].values()]
    held_out = [entry["sha256"] for name, entry in files.items() if name.startswith("validation")]
    is_corpus = any(name.startswith("train") and name.endswith(".parquet") for name in files)
    above = [name for line in before for name in line.corpora]
    return Lineage(
        frozenset(own).union(frozenset.intersection(*(line.covered for line in before)) if before else ()),
        tuple(dict.fromkeys([artifact.path.name] if is_corpus else above)),
        frozenset(held_out).union(*(line.held_out for line in before)),
    )


def _cleaned(artifact: Artifact) -> list[dict]:
    """None where some domains of its text were left as they were."""
    if FILE not in artifact.manifest["files"]:
        return []
    asked = artifact.manifest["settings"].get("decontaminate", {}).get("domains")
    if asked and set(artifact.json("corpus.json")["train_domains"]) - set(asked):
        return []
    return artifact.json(FILE)["suites"]


def _is_made(task: Task) -> bool:
    """Whether its items were made from texts: of lines that really follow each other, or of a text as it is."""
    return task.kind == "text" or all("corruptions" in item.extra for item in task.items)
