"""A run's directory: where things lie in it, who holds it, and what may go."""

from __future__ import annotations

import fcntl
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orionlm.errors import UserError

RECIPE = "recipe.toml"


@dataclass(frozen=True)
class RunDirectory:
    """The layout of one run. A stage is whole (`artifact`), unfinished (`partial`) or set aside for a redo (`old`)."""

    path: Path

    def artifact(self, stage: str) -> Path:
        return self.path / "artifacts" / stage

    def partial(self, stage: str) -> Path:
        return self.path / "artifacts" / f"{stage}.partial"

    def old(self, stage: str) -> Path:
        return self.path / "artifacts" / f"{stage}.old"

    def finished(self, stage: str) -> bool:
        return self.artifact(stage).is_dir()

    def stages(self) -> list[str]:
        """The stages named by the recipe this run was last given, in the order written."""
        try:
            return list(tomllib.loads((self.path / RECIPE).read_text(encoding="utf-8")).get("stage", {}))
        except (OSError, ValueError):
            return []

    def removable(self) -> list[Path]:
        """What nothing needs any more: unfinished work and set-aside artifacts of stages that are now finished."""
        artifacts = self.path / "artifacts"
        if not artifacts.is_dir():
            return []
        spent = [path for path in artifacts.iterdir() if path.suffix in (".partial", ".old")]
        return sorted(path for path in spent if self.finished(path.stem))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory; a second holder gets one line naming the first. A kill releases it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, FileNotFoundError):
            raise UserError(f"{self.path}: no directory can be made there; choose another directory") from None
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
                raise UserError(
                    f"{self.path}: in use by process {pid}; wait for it, stop it, or choose another directory"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def holder(self) -> tuple[int | None, bool]:
        """(process, alive): who holds the lock, or who was killed while holding it; (None, False) if nobody."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return None, False
        try:
            text = os.read(descriptor, 64).decode(errors="replace").strip()
            pid = int(text) if text.isdigit() else None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return pid, True
            return pid, False
        finally:
            os.close(descriptor)
