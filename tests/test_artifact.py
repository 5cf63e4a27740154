from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from orionlm import artifact as artifact_module
from orionlm.artifact import Artifact, open_artifact, publish, write_json
from orionlm.errors import UserError


def build(
    root: Path, *, settings: dict | None = None, inputs: dict[str, Artifact] | None = None, seed: int = 0
) -> Artifact:
    """Publish a small artifact at root/artifacts/made."""
    partial, final = root / "artifacts" / "made.partial", root / "artifacts" / "made"
    (partial / "work").mkdir(parents=True)
    (partial / "work" / "scratch").write_text("gone later")
    (partial / "inner").mkdir()
    (partial / "inner" / "numbers.bin").write_bytes(bytes(range(256)) * 10)
    write_json(partial / "result.json", {"loss": 1.5})
    return publish(
        partial, final, kind="test", settings=settings or {"rate": 0.1}, inputs=inputs or {}, seed=seed, fingerprint="f"
    )


def test_a_published_artifact_reads_back_whole_and_without_its_work(tmp_path):
    made = build(tmp_path)
    opened = open_artifact(made.path, "test")
    assert opened == made
    assert opened.json("result.json") == {"loss": 1.5}
    assert opened.file("inner/numbers.bin").stat().st_size == 2560
    assert sorted(path.name for path in made.path.iterdir()) == ["inner", "manifest.json", "result.json"]
    assert not (tmp_path / "artifacts" / "made.partial").exists()


def test_the_digest_is_the_same_elsewhere_and_later(tmp_path):
    first = build(tmp_path / "one")
    os.utime(first.path / "result.json", (0, 0))
    assert build(tmp_path / "two").digest == first.digest


@pytest.mark.parametrize("difference", [{"settings": {"rate": 0.2}}, {"seed": 1}])
def test_the_digest_tells_settings_and_seeds_apart(tmp_path, difference):
    assert build(tmp_path / "one").digest != build(tmp_path / "two", **difference).digest


def test_the_digest_tells_inputs_apart(tmp_path):
    one, two = build(tmp_path / "1"), build(tmp_path / "2", seed=1)
    made = [build(tmp_path / str(n + 3), inputs={"source": source}).digest for n, source in enumerate((one, two))]
    assert made[0] != made[1]


@pytest.mark.parametrize("name", ["result.json", "inner/numbers.bin", "manifest.json"])
def test_a_flipped_byte_is_found_and_named_with_its_mend(tmp_path, name):
    made = build(tmp_path)
    content = bytearray((made.path / name).read_bytes())
    place = content.index(b"rate") if name == "manifest.json" else len(content) // 2
    content[place] ^= 1
    (made.path / name).write_bytes(content)
    with pytest.raises(
        UserError, match=r"corrupt: digest [0-9a-f]{12}, published as [0-9a-f]{12}.*--redo made"
    ) as error:
        open_artifact(made.path)
    assert str(made.path / name) in str(error.value)


def test_missing_and_foreign_files_are_named(tmp_path):
    made = build(tmp_path)
    (made.path / "stray.txt").write_text("?")
    with pytest.raises(UserError, match=r"stray.txt: not part of this test artifact"):
        made.verify()
    (made.path / "stray.txt").unlink()
    (made.path / "result.json").unlink()
    with pytest.raises(UserError, match=r"result.json: missing from this test artifact; .*--redo made"):
        made.verify()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\0\0"])
def test_a_manifest_that_is_none_is_named(tmp_path, text):
    made = build(tmp_path)
    (made.path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json: corrupt: not a manifest"):
        open_artifact(made.path)


def test_another_kind_another_schema_and_nothing_at_all_are_refused(tmp_path):
    made = build(tmp_path)
    with pytest.raises(UserError, match="a test artifact where a corpus artifact is needed"):
        open_artifact(made.path, "corpus")
    with pytest.raises(UserError, match="no artifact here"):
        open_artifact(tmp_path / "nowhere")
    manifest = json.loads((made.path / "manifest.json").read_text())
    (made.path / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(UserError, match="artifact schema 99, this version reads 1"):
        open_artifact(made.path)
    with pytest.raises(UserError, match="has no weights"):
        made.file("weights")


class Killed(BaseException):
    """Stands for a kill: nothing of ours may catch it."""


def test_a_kill_at_any_step_of_publication_leaves_nothing_half_visible(tmp_path, monkeypatch):
    whole = build(tmp_path / "undisturbed").digest
    steps = 0
    while True:
        root = tmp_path / str(steps)
        final = root / "artifacts" / "made"
        with monkeypatch.context() as patch:
            kill_after(patch, steps)
            try:
                build(root)
                break
            except Killed:
                pass
        if final.exists():
            assert open_artifact(final).digest == whole
        elif (final.with_suffix(".partial") / "manifest.json").exists():
            assert artifact_module.finish_publication(final.with_suffix(".partial"), final).digest == whole
            assert open_artifact(final).digest == whole
        else:
            assert (final.with_suffix(".partial") / "work" / "scratch").exists()
        steps += 1
    assert steps > 8


def kill_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Let `steps` durable operations pass and die before the next."""
    left = [steps]
    for module, name in [(os, "fsync"), (os, "rename"), (os, "replace"), (shutil, "rmtree")]:
        genuine = getattr(module, name)

        def counted(*args, _genuine=genuine, **kwargs):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return _genuine(*args, **kwargs)

        patch.setattr(module, name, counted)


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "value.json"
    write_json(path, {"b": 1, "a": 2})
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, float("nan"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"c": 3})
    assert json.loads(path.read_text()) == {"a": 2, "b": 1}
    assert list(tmp_path.iterdir()) == [path]
