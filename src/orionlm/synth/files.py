"""Which texts lie in anybody's files? Rows of ours, a corpus of ours, JSONL, Parquet or plain text, as the gate reads
them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from orionlm.artifact import MANIFEST, open_artifact
from orionlm.data.documents import read_documents, shard_files
from orionlm.data.ingest.quarantine import Quarantine
from orionlm.data.ingest.reading import TABLES, decoded, json_rows, parquet_rows
from orionlm.data.ingest.sources import Files, Rows
from orionlm.errors import UserError
from orionlm.synth.rows import Row, read_rows, row_files

PLAIN = (".txt", ".md", ".rst", ".py")
T = TypeVar("T")
Say = Callable[[str], None]


def real_texts(given: str, text_field: str, say: Say) -> tuple[Iterator[tuple[str, str]], list[Path]]:
    """(id, text) of each text of a corpus, of a run that made one, or of files; and its held-out shards, where it has
    any. By its id a row names what it was written from."""
    if not Path(given).is_dir():
        return ((row.seeds[0], row.text) for row in _foreign(given, text_field, None, say)), []
    folder = corpus(Path(given))
    documents = read_documents(shard_files(folder, "train"))
    return ((one.id, one.text) for one in documents), shard_files(folder, "validation")


def rows(
    given: str, text_field: str, seed_field: str | None, say: Say, known: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """Rows with their lineage where Orion wrote them, else texts of `text_field`, and their seeds of `seed_field`.
    `known`: real text → its id. A row is of the text that its seed is, else of all rows with the same seed."""
    files = [Path(given)] if Path(given).is_file() else written(Path(given)) if Path(given).is_dir() else []
    if files and all(is_ours(file) for file in files):
        return read_rows(files)
    return _foreign(given, text_field, seed_field, say, known)


def written(path: Path) -> list[Path]:
    """The row files a person meant by a run, a stage's directory, or a folder of them, those that were dropped behind
    those that stay. Of a run, what no later stage has judged again. UserError where there are none, or several sets."""
    if files := row_files(path):
        return files + row_files(path, "dropped")
    found = [folder for folder in sorted(path.glob("artifacts/*")) if not folder.suffix and row_files(folder)]
    made = {folder: open_artifact(folder, verify=False) for folder in found if (folder / MANIFEST).is_file()}
    earlier = {digest for artifact in made.values() for digest in artifact.manifest["inputs"].values()}
    found = [folder for folder in found if folder not in made or made[folder].digest not in earlier]
    if len(found) == 1:
        return written(found[0])
    if found:
        raise UserError(f"{path}: several stages wrote rows: {', '.join(map(str, found))}; name one")
    raise UserError(f"{path}: no rows here; give a run, a stage's directory or rows-*.parquet that Orion wrote")


def is_ours(file: Path) -> bool:
    """Whether a file holds rows with their lineage."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.name.endswith(TABLES):
        return False
    try:
        return {"text", "method", "seed_text", "verdicts", "error"} <= set(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return False


def corpus(folder: Path) -> Path:
    """The corpus that a person meant by its directory, or by the run that made it."""
    if shard_files(folder, "train"):
        return folder
    found = [each for each in sorted(folder.glob("artifacts/*")) if shard_files(each, "train") and not each.suffix]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"{folder}: several corpora: {', '.join(map(str, found))}; name one"
        if found
        else f"{folder}: no corpus here; give files, a corpus's directory, or a run that made one"
    )


def sample(items: Iterable[T], most: int, seed: int) -> tuple[list[T], int]:
    """At most `most` of them, each as likely as any other, in their order; and how many there were (Vitter's R)."""
    rng, kept, count = np.random.default_rng(seed), list[tuple[int, T]](), 0
    for count, item in enumerate(items, start=1):
        if count <= most:
            kept.append((count, item))
        elif (place := int(rng.integers(count))) < most:
            kept[place] = (count, item)
    return [item for _, item in sorted(kept, key=lambda one: one[0])], count


def _foreign(
    given: str, text_field: str, seed_field: str | None, say: Say, known: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """A row for each text of these files; what cannot be read is told. UserError where nothing can."""
    quarantine, count, seeds = Quarantine(), 0, 0
    if given.endswith(PLAIN):
        found = _plain(given, quarantine)
    else:
        found = _tables(given, text_field, seed_field, known or {}, quarantine)
    for row in found:
        count, seeds = count + 1, seeds + bool(row.seed_text)
        yield row
    unusable = [
        f"{many:,} {reason} (first {quarantine.first[reason][0]})" for reason, many in quarantine.counts.items()
    ]
    if not count:
        raise UserError(f"{given}: no text in it: {', '.join(unusable) or 'it is empty'}")
    if seed_field and not seeds:
        raise UserError(f"{given}: no row has text in the field {seed_field!r}; name the field that holds the seeds")
    for reason in unusable:
        say(f"{given}: {reason}; left out")


def _plain(given: str, quarantine: Quarantine) -> Iterator[Row]:
    source = Files(files=(given,))
    for unit in source.units():
        for document in source.documents(unit, quarantine):
            yield Row(document.text, "", seeds=(document.id,))


def _tables(
    given: str, text_field: str, seed_field: str | None, known: Mapping[str, str], quarantine: Quarantine
) -> Iterator[Row]:
    fields = [text_field, *([seed_field] if seed_field else [])]
    for unit in Rows(rows=(given,), text_field=text_field, source_field=seed_field).units():
        for span in unit.spans:
            table = span.path.endswith(TABLES)
            for number, row in parquet_rows(span, fields, quarantine) if table else json_rows(span, quarantine):
                place = f"{span.path}:{number}"
                text, *seed = (_text(row.get(field), place, quarantine) for field in fields)
                if text is not None:
                    shown = (seed and seed[0]) or ""
                    yield Row(text, "", seed_text=shown, seeds=(_owner(shown.strip(), known) or place,))
                elif text_field in row:
                    quarantine.add(f"no text in {text_field!r}", place)
                else:
                    quarantine.add(f"no field {text_field!r}", place, ", ".join(map(str, row)))


def _owner(seed: str, known: Mapping[str, str]) -> str:
    """The id of the real text that a seed is, else its digest; "" where there is none."""
    return seed and (known.get(seed) or hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:16])


def _text(value: object, place: str, quarantine: Quarantine) -> str | None:
    if isinstance(value, bytes):
        return decoded(value, place, quarantine)
    return value if isinstance(value, str) else None
