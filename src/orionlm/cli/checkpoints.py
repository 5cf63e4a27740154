"""Which checkpoint did the person mean?"""

from __future__ import annotations

from pathlib import Path


def find_checkpoint(path: Path) -> Path:
    """`path` itself, or the one checkpoint that the run at `path` trained."""
    if not (path / "artifacts").is_dir():
        return path
    from orionlm.artifact import MANIFEST, open_artifact
    from orionlm.errors import UserError

    artifacts = [open_artifact(found.parent, verify=False) for found in sorted(path.glob(f"artifacts/*/{MANIFEST}"))]
    trained = [artifact.path for artifact in artifacts if artifact.kind == "train" and not artifact.path.suffix]
    if len(trained) == 1:
        return trained[0]
    found = f"has several checkpoints: {', '.join(map(str, trained))}" if trained else "has no checkpoint yet"
    raise UserError(f"{path}: this run {found}; name one")
