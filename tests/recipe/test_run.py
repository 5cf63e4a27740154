from __future__ import annotations

import fcntl
import json
import os
import shutil

import pytest

from orionlm.artifact import WORK, open_artifact
from orionlm.errors import UserError
from orionlm.ledger import Ledger
from orionlm.progress import Progress
from orionlm.recipe.run import run_recipe

QUIET = Progress(quiet=True)


def go(recipe, directory, **how):
    """Run and return stage → digest."""
    return {name: made.digest for name, made in run_recipe(recipe, directory, progress=QUIET, **how).items()}


def test_a_run_makes_every_artifact_and_a_second_one_makes_nothing_again(recipe, tmp_path):
    first = go(recipe(), tmp_path)
    spent = Ledger(tmp_path / "ledger.jsonl").entries()
    assert len(spent) == 15
    assert go(recipe(), tmp_path) == first
    assert Ledger(tmp_path / "ledger.jsonl").entries() == spent
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == ["a", "b", "c"]


def test_two_directories_give_the_same_digests_and_another_seed_others(recipe, tmp_path):
    first = go(recipe(), tmp_path / "one")
    assert go(recipe(), tmp_path / "two") == first
    assert not set(go(recipe(("seed = 7", "seed = 8")), tmp_path / "three").values()) & set(first.values())


def test_until_stops_there_and_a_later_run_goes_on(recipe, tmp_path):
    assert list(go(recipe(), tmp_path, until="b")) == ["a", "b"]
    assert not (tmp_path / "artifacts" / "c").exists()
    assert list(go(recipe(), tmp_path)) == ["a", "b", "c"]


class Killed(BaseException):
    """Stands for a kill: nothing of ours may catch it."""


def test_a_kill_at_any_durable_step_changes_nothing_in_the_end(recipe, tmp_path, monkeypatch):
    short = recipe(("steps = 5", "steps = 2"))
    wanted = go(short, tmp_path / "wanted")
    kills = 0
    while True:
        directory = tmp_path / str(kills)
        with monkeypatch.context() as patch:
            die_at(patch, kills)
            try:
                go(short, directory)
                break
            except Killed:
                kills += 1
        for manifest in directory.glob("artifacts/?/manifest.json"):
            assert open_artifact(manifest.parent).digest == wanted[manifest.parent.name]
        with monkeypatch.context() as patch:
            die_at(patch, 10**9)
            assert go(short, directory) == wanted
        assert sorted(path.name for path in (directory / "artifacts").iterdir()) == ["a", "b", "c"]
    assert kills > 60


def test_a_redo_killed_at_any_durable_step_ends_as_if_it_was_not(recipe, tmp_path, monkeypatch):
    before, after = recipe(("steps = 5", "steps = 1")), recipe(("steps = 5", "steps = 2"))
    wanted = go(after, tmp_path / "wanted")
    for step in range(0, 60, 3):
        directory = tmp_path / str(step)
        with monkeypatch.context() as patch:
            die_at(patch, 10**9)
            go(before, directory)
            die_at(patch, step)
            with pytest.raises(Killed):
                go(after, directory, redo=["a"])
        with monkeypatch.context() as patch:
            die_at(patch, 10**9)
            try:
                assert go(after, directory) == wanted
            except UserError as error:  # killed before everything was set aside: it stops and says what is to redo
                assert "--redo" in str(error)
                assert go(after, directory, redo=["a"]) == wanted
        assert sorted(path.name for path in (directory / "artifacts").iterdir()) == ["a", "b", "c"]


def die_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let `step` durable operations pass (without waiting for the disk) and die before the next."""
    left = [step]
    patch.setattr(os, "fsync", lambda descriptor: None)
    for module, name in [(os, "fsync"), (os, "rename"), (os, "replace"), (shutil, "rmtree"), (os, "ftruncate")]:
        genuine = getattr(module, name)

        def counted(*args, _genuine=genuine, **kwargs):
            if left[0] <= 0:
                raise Killed
            left[0] -= 1
            return _genuine(*args, **kwargs)

        patch.setattr(module, name, counted)


def test_unfinished_work_is_kept_and_a_rerun_goes_on_from_it(recipe, tmp_path):
    failing = recipe(('kind = "middle"', 'kind = "middle"\nfail = "mend me"'))
    with pytest.raises(UserError, match="^stage b: mend me$"):
        go(failing, tmp_path)
    assert json.loads((tmp_path / "artifacts" / "b.partial" / WORK / "state.json").read_text())["done"] == 1
    with pytest.raises(UserError, match='stage.b.fail: "mend me" → ""; stages to redo: b'):
        go(recipe(), tmp_path)
    go(recipe(), tmp_path, accept_drift=True)
    spent = [entry.stage for entry in Ledger(tmp_path / "ledger.jsonl").entries()]
    assert [spent.count(stage) for stage in "abc"] == [5, 5, 5]


def test_drift_stops_and_names_what_changed_and_what_to_redo(recipe, tmp_path):
    go(recipe(), tmp_path)
    changed = recipe(('kind = "middle"', 'kind = "middle"\nrate = 0.25'))
    with pytest.raises(UserError) as error:
        go(changed, tmp_path)
    assert "stage.b.rate: 0.5 → 0.25; stages to redo: b, c (--redo b); or go on" in str(error.value)
    assert "--accept-drift" in str(error.value)
    redone = go(changed, tmp_path, redo=["b"])
    assert redone == go(changed, tmp_path / "fresh")
    assert not (tmp_path / "artifacts" / "b.old").exists()


def test_redo_of_the_first_stage_that_drifted_covers_what_follows_from_it(recipe, tmp_path):
    go(recipe(), tmp_path)
    changed = recipe(("steps = 5", "steps = 4"))
    with pytest.raises(UserError, match=r"stages to redo: a, b, c \(--redo a\)"):
        go(changed, tmp_path)
    assert go(changed, tmp_path, redo=["a"]) == go(changed, tmp_path / "fresh")


def test_an_attempt_that_refused_before_it_made_anything_may_be_mended_freely(recipe, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("too small")

    with monkeypatch.context() as patch:
        patch.setattr("scripted.run", refuse)
        with pytest.raises(UserError, match="stage a: too small"):
            go(recipe(), tmp_path)
    go(recipe(("steps = 5", "steps = 4")), tmp_path)


def test_accepted_drift_is_recorded_once_and_stays_accepted_until_redone(recipe, tmp_path):
    first = go(recipe(), tmp_path)
    changed = recipe(("seed = 7", "seed = 8"))
    for _ in range(2):
        assert go(changed, tmp_path, accept_drift=True) == first
    assert go(changed, tmp_path) == first
    recorded = [json.loads(line) for line in (tmp_path / "drift.jsonl").read_text().splitlines()]
    assert recorded == [{"stage": s, "what": f"stage.{s}.seed", "old": 7, "new": 8} for s in "abc"]
    go(changed, tmp_path, redo=["b"])
    assert [json.loads(line)["stage"] for line in (tmp_path / "drift.jsonl").read_text().splitlines()] == ["a"]


def test_a_setting_that_came_with_a_newer_version_is_no_drift_at_its_default(recipe, tmp_path):
    first = go(recipe(), tmp_path)
    manifest_path = tmp_path / "artifacts" / "c" / "manifest.json"
    manifest = json.loads(manifest_path.read_text())
    del manifest["settings"]["rate"]
    from orionlm.artifact import _content_digest

    manifest["digest"] = _content_digest(manifest)
    manifest_path.write_text(json.dumps(manifest))
    assert go(recipe(), tmp_path)["a"] == first["a"]
    with pytest.raises(UserError, match=r"stage.c.rate: 0.5 → 0.1"):
        go(recipe(('kind = "end"', 'kind = "end"\nrate = 0.1')), tmp_path)


def test_an_input_replaced_behind_the_runs_back_is_drift(recipe, tmp_path):
    go(recipe(), tmp_path / "one")
    go(recipe(("steps = 5", "steps = 4")), tmp_path / "two")
    shutil.rmtree(tmp_path / "one/artifacts/b")
    shutil.copytree(tmp_path / "two/artifacts/b", tmp_path / "one/artifacts/b")
    with pytest.raises(UserError, match=r"stage.c.inputs.middle: .* → .*; stages to redo: b, c"):
        go(recipe(), tmp_path / "one")


def test_a_flipped_byte_in_an_artifact_is_found_named_and_mended_by_the_redo_it_names(recipe, tmp_path):
    first = go(recipe(), tmp_path)
    noise = tmp_path / "artifacts" / "b" / "inner" / "noise.bin"
    content = bytearray(noise.read_bytes())
    content[100] ^= 1
    noise.write_bytes(content)
    with pytest.raises(UserError, match=r"b/inner/noise.bin: corrupt: .*--redo b"):
        go(recipe(), tmp_path)
    assert go(recipe(), tmp_path, redo=["b"]) == first


def test_an_artifact_without_its_manifest_is_named_and_mended_by_the_redo_it_names(recipe, tmp_path):
    first = go(recipe(), tmp_path)
    (tmp_path / "artifacts" / "b" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"artifacts/b: no artifact here \(no manifest.json\); .*--redo b"):
        go(recipe(), tmp_path)
    assert go(recipe(), tmp_path, redo=["b"]) == first


def test_a_second_run_in_one_directory_is_one_line_naming_the_process(recipe, tmp_path):
    with open(tmp_path / "lock", "w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("12345\n")
        lock.flush()
        with pytest.raises(UserError, match="in use by process 12345; wait for it"):
            go(recipe(), tmp_path)
    go(recipe(), tmp_path)


def test_a_full_disk_at_any_write_loses_nothing(recipe, tmp_path, monkeypatch):
    short = recipe(("steps = 5", "steps = 2"))
    undisturbed = go(short, tmp_path / "undisturbed")
    genuine, left = os.fsync, [0]

    def full(descriptor):
        if left[0] == 0:
            left[0] = -1
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return genuine(descriptor)

    met = 0
    monkeypatch.setattr(os, "fsync", full)
    for n in range(0, 40, 2):
        left[0] = n
        try:
            assert go(short, tmp_path / "full") == undisturbed
            shutil.rmtree(tmp_path / "full")
        except OSError as error:
            assert error.errno == 28
            met += 1
    left[0] = -1
    assert met > 5
    assert go(short, tmp_path / "full") == undisturbed


def test_choices_are_measured_once_and_kept_with_the_run_and_the_machine(recipe, tmp_path):
    from orionlm.recipe.context import Context

    asked = []

    def measure():
        asked.append(1)
        return {"precision": "bf16"}

    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        context = Context("a", 0, tmp_path / run, QUIET)
        assert [context.choose("precision", measure) for _ in range(2)] == [{"precision": "bf16"}] * 2
        assert json.loads((tmp_path / run / "machine.json").read_text()) == {"precision": {"precision": "bf16"}}
    assert len(asked) == 1
    pinned = Context("a", 0, tmp_path, QUIET, pinned={"threads": 1}, rehearsal=True)
    assert pinned.choose("threads", measure) == 1
    assert not (tmp_path / "machine.json").exists()


def test_a_pinned_choice_that_the_run_did_not_begin_with_is_drift(recipe, tmp_path):
    go(recipe(), tmp_path)
    (tmp_path / "machine.json").write_text('{"threads": 2}')
    pinned = recipe(("seed = 7\n", "seed = 7\n[machine]\nthreads = 1\n"))
    with pytest.raises(UserError, match="machine.threads: 2 → 1; this run began with the old value"):
        go(pinned, tmp_path)
    go(pinned, tmp_path, accept_drift=True)
    assert json.loads((tmp_path / "machine.json").read_text()) == {"threads": 1}


def test_seconds_are_priced_by_the_recipe(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTED_PAUSE", "0.01")
    priced = recipe(("seed = 7\n", 'seed = 7\n[price]\ndollars_per_hour = 3.6\nsource = "list"\n'))
    go(priced, tmp_path)
    for entry in Ledger(tmp_path / "ledger.jsonl").entries():
        assert (entry.dollars, entry.dollars_source) == (pytest.approx(1e-5), "list")
