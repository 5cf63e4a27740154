"""A stage's output: a directory that is either whole and verified, or not there.

It is built as `NAME.partial` beside its final name. Publication writes the manifest last and renames; a kill at any
point leaves either the old state or the new one, and a partial that holds a manifest only needs the rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from orionlm import __version__
from orionlm.errors import UserError

SCHEMA = 1
MANIFEST = "manifest.json"
WORK = "work"


@dataclass(frozen=True)
class Artifact:
    """A published artifact; `digest` covers kind, schema, settings, seed, inputs and files: no times, no paths."""

    path: Path
    kind: str
    manifest: dict[str, Any]
    digest: str

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        if name not in self.manifest["files"]:
            raise UserError(f"{self.path}: this {self.kind} artifact has no {name}; {self._redo}")
        return self.path / name

    def json(self, name: str) -> Any:
        """One of its files, read as JSON."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    def verify(self) -> None:
        """Hash every file again; a file that is missing, extra or changed raises UserError naming it and the mend."""
        recorded = self.manifest["files"]
        for name, entry in recorded.items():
            path = self.path / name
            if not path.is_file():
                raise UserError(f"{path}: missing from this {self.kind} artifact; {self._redo}")
            found = file_digest(path)
            if found != entry["sha256"]:
                raise UserError(
                    f"{path}: corrupt: digest {found[:12]}, published as {entry['sha256'][:12]}; {self._redo}"
                )
        for name in _files(self.path):
            if name not in recorded and name != MANIFEST:
                raise UserError(f"{self.path / name}: not part of this {self.kind} artifact; remove it")

    @property
    def _redo(self) -> str:
        return f"make it again with: orion run {self.path.parent.parent} --redo {self.path.name}"


def open_artifact(path: Path | str, kind: str | None = None, verify: bool = True) -> Artifact:
    """Open a published artifact of the given kind (any, if None); `verify` hashes its files first."""
    path = Path(path)
    redo = f"make it again with: orion run {path.parent.parent} --redo {path.name}"
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        mend = f"; {redo}" if path.is_dir() else ""
        raise UserError(f"{path}: no artifact here (no {MANIFEST}){mend}") from None
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or "digest" not in manifest:
        raise UserError(f"{path / MANIFEST}: corrupt: not a manifest; {redo}")
    if manifest.get("schema") != SCHEMA:
        raise UserError(f"{path}: artifact schema {manifest.get('schema')}, this version reads {SCHEMA}; {redo}")
    digest = _content_digest(manifest)
    if digest != manifest["digest"]:
        raise UserError(
            f"{path / MANIFEST}: corrupt: digest {digest[:12]}, published as {str(manifest['digest'])[:12]}; {redo}"
        )
    if kind is not None and manifest["kind"] != kind:
        raise UserError(f"{path}: a {manifest['kind']} artifact where a {kind} artifact is needed")
    artifact = Artifact(path, manifest["kind"], manifest, digest)
    if verify:
        artifact.verify()
    return artifact


def publish(
    partial: Path,
    final: Path,
    *,
    kind: str,
    settings: dict[str, Any],
    inputs: dict[str, Artifact],
    seed: int,
    fingerprint: str,
) -> Artifact:
    """Make `partial` durable and rename it to `final`, which must not exist.

    Deleted on the way: `partial/work`, and files named *.tmp (what a killed atomic write leaves).
    """
    for leftover in partial.rglob("*.tmp"):
        leftover.unlink()
    names = _files(partial)
    for name in names:
        fsync(partial / name)
    manifest: dict[str, Any] = {
        "kind": kind,
        "schema": SCHEMA,
        "settings": settings,
        "seed": seed,
        "inputs": {name: artifact.digest for name, artifact in inputs.items()},
        "files": {
            name: {"sha256": file_digest(partial / name), "bytes": (partial / name).stat().st_size} for name in names
        },
    }
    manifest |= {"digest": _content_digest(manifest), "fingerprint": fingerprint, "code": __version__}
    write_json(partial / MANIFEST, manifest)
    return finish_publication(partial, final)


def finish_publication(partial: Path, final: Path) -> Artifact:
    """The last steps of `publish`, for a partial whose manifest is written; safe to repeat after a kill."""
    shutil.rmtree(partial / WORK, ignore_errors=True)
    for directory in sorted((path for path in partial.rglob("*") if path.is_dir()), reverse=True):
        fsync(directory)
    fsync(partial)
    os.rename(partial, final)
    fsync(final.parent)
    return open_artifact(final, verify=False)


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that `path` is always either the old whole file or the new one; sorted keys, NaN refused."""
    write_text(path, json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that `path` is always either the old whole file or the new one, and durable on return."""
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends, durably; an exception leaves `path` be."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync(path.parent)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """The SHA-256 of a JSON value written canonically, as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _content_digest(manifest: dict[str, Any]) -> str:
    return json_digest({key: manifest.get(key) for key in ("kind", "schema", "settings", "seed", "inputs", "files")})


def _files(root: Path) -> list[str]:
    """Every file under `root` but the manifest and work, as sorted posix names."""
    names = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name == MANIFEST or path.relative_to(root).parts[0] == WORK or not path.is_file():
            continue
        names.append(name)
    return names


def fsync(path: Path) -> None:
    """What was written to this file, or which names this directory holds, is on disk on return."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
