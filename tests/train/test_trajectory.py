"""Training and its branches; stopping anywhere and going on changes nothing."""

import json
import math
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from orionlm.data.mixing.mixture import Mixture, mix
from orionlm.data.mixing.mixture import Settings as MixtureSettings
from orionlm.data.shards import TokenSet
from orionlm.errors import UserError
from orionlm.ledger import Ledger
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.shape import Shape
from orionlm.train import trajectory as module
from orionlm.train.checkpoint import load_state, save_state
from orionlm.train.execution import Execution
from orionlm.train.optimizer import OptimizerSettings
from orionlm.train.trajectory import TrainingSettings, Trajectory, train

from .conftest import write_tokens

SHAPE = Shape.from_width(16, vocabulary=300, context=16)


def plan(branches=(20, 40), name="adamw"):
    training = TrainingSettings(context=16, batch_size=4, warmup_steps=4, optimizer=OptimizerSettings(name=name))
    return Trajectory("d16", SHAPE, training, branches, seed=3)


def go(tokens, work, trajectory, measure=None, mixture=None):
    context = Context("train", 0, work.parent, Progress(quiet=True))
    with context.progress.task("train", total=1) as task:
        measure = measure or (lambda trainer: {"step": trainer.step, "norm": weight_norm(trainer)})
        return train(trajectory, tokens, work, context, Execution(), measure, task, mixture)


def weight_norm(trainer):
    return sum(float(master.detach().double().square().sum()) for master in trainer.masters.values())


def test_training_lowers_the_loss_on_text_that_can_be_learned(token_set, tmp_path):
    _, _, curve = go(token_set, tmp_path / "work", plan(branches=(250,)))
    last = [row["loss"] for row in curve[len(curve) * 4 // 5 :]]
    assert curve[0]["loss"] > math.log(299) > sum(last) / len(last) + 0.05


def test_a_branch_is_the_model_that_a_run_of_that_length_would_have_given(token_set, tmp_path):
    _, branched, _ = go(token_set, tmp_path / "both", plan())
    _, short, _ = go(token_set, tmp_path / "short", plan(branches=(20,)))
    _, long, _ = go(token_set, tmp_path / "long", plan(branches=(40,)))
    assert branched == short + long


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_stopped_anywhere_and_gone_on_gives_the_same_weights_points_and_losses(
    token_set, tmp_path, monkeypatch, optimizer
):
    trajectory = plan(name=optimizer)
    whole, points, curve = go(token_set, tmp_path / "whole", trajectory)
    monkeypatch.setattr(module.Interval, "due", lambda self: True)

    class Killed(BaseException):
        pass

    original = save_state
    for victim in range(1, 40, 6):
        calls = 0

        def save(*args, victim=victim):
            nonlocal calls
            calls += 1
            if calls == victim:
                raise Killed
            return original(*args)

        work = tmp_path / f"killed{victim}"
        monkeypatch.setattr(module, "save_state", save)
        with suppress(Killed):
            go(token_set, work, trajectory)
        monkeypatch.setattr(module, "save_state", original)
        again, points_again, curve_again = go(token_set, work, trajectory)
        assert points_again == points and curve_again == curve
        for name, master in whole.masters.items():
            assert torch.equal(master, again.masters[name]), (victim, name)


def test_a_kill_right_after_a_branch_was_measured_does_not_measure_it_again(token_set, tmp_path):
    seen = []

    class Killed(BaseException):
        pass

    def measure(trainer):
        seen.append(trainer.step)
        if seen == [20, 40]:
            raise Killed
        return {"step": trainer.step}

    with suppress(Killed):
        go(token_set, tmp_path / "work", plan(), measure)
    _, points, _ = go(token_set, tmp_path / "work", plan(), measure)
    assert seen == [20, 40, 40] and points == [{"step": 20}, {"step": 40}]


@pytest.fixture
def mixed(tmp_path):
    """Tokens of three domains, and a mixture that keeps one of them for the anneal."""
    folder = write_tokens(tmp_path / "mixed", shares={"best": 0.1, "code": 0.5, "text": 0.4})
    settings = MixtureSettings(weights={"code": 0.75, "text": 0.25}, anneal={"weights": {"best": 0.5, "code": 0.5}})
    page = mix(settings, json.loads((folder / "tokens.json").read_text())["train"]["domains"])
    return TokenSet.open(folder, "train"), Mixture.of(page)


def read(trainer):
    return {"step": trainer.step, "norm": weight_norm(trainer), "read": trainer.loader.read(trainer.step)}


def test_every_branch_has_its_own_anneal_in_its_decay(mixed, tmp_path):
    tokens, mixture = mixed
    _, points, _ = go(tokens, tmp_path / "work", plan(branches=(80, 160)), read, mixture)
    for point in points:
        share = {name: row["tokens"] / (64 * point["step"]) for name, row in point["read"].items()}
        assert share["best"] == pytest.approx(0.2 * 0.5, abs=0.03)
        assert share["code"] == pytest.approx(0.8 * 0.75 + 0.2 * 0.5, abs=0.06)


def test_a_branch_under_a_mixture_is_the_model_that_a_run_of_that_length_would_have_given(mixed, tmp_path):
    tokens, mixture = mixed
    _, branched, _ = go(tokens, tmp_path / "both", plan(), read, mixture)
    _, short, _ = go(tokens, tmp_path / "short", plan(branches=(20,)), read, mixture)
    _, long, _ = go(tokens, tmp_path / "long", plan(branches=(40,)), read, mixture)
    assert branched == short + long


def test_stopped_anywhere_under_a_mixture_and_gone_on_gives_the_same_points(mixed, tmp_path, monkeypatch):
    tokens, mixture = mixed
    _, points, curve = go(tokens, tmp_path / "whole", plan(), read, mixture)
    monkeypatch.setattr(module.Interval, "due", lambda self: True)

    class Killed(BaseException):
        pass

    for victim in (19, 40):
        calls = iter(range(1000))

        def save(*args, calls=calls, victim=victim):
            if next(calls) == victim:
                raise Killed
            return save_state(*args)

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(module, "save_state", save)
            go(tokens, tmp_path / f"killed{victim}", plan(), read, mixture)
        _, again, curve_again = go(tokens, tmp_path / f"killed{victim}", plan(), read, mixture)
        assert again == points and curve_again == curve


def test_a_mixture_of_all_the_text_there_is_in_one_domain_changes_nothing(token_set, tmp_path):
    domains = json.loads((tmp_path / "tokens" / "tokens.json").read_text())["train"]["domains"]
    mixture = Mixture.of(mix(MixtureSettings(anneal={"weights": {"text": 1.0}}), domains))
    plain, points, curve = go(token_set, tmp_path / "plain", plan())
    mixed, mixed_points, mixed_curve = go(token_set, tmp_path / "mixed", plan(), mixture=mixture)
    assert mixed_points == points and mixed_curve == curve
    assert all(torch.equal(master, mixed.masters[name]) for name, master in plain.masters.items())


def test_a_run_that_the_mixture_was_not_made_for_is_named(mixed):
    mixture = replace(mixed[1], tokens=2000)
    plan(branches=(20, 31)).check(mixture)
    plan(branches=(20, 32)).check(mixture)  # a part of a batch more than asked for is no other run
    with pytest.raises(UserError, match=r"runs of up to 2,000 tokens and d16 reads 2,112; .* tokens = 2112"):
        plan(branches=(20, 33)).check(mixture)
    with pytest.raises(UserError, match=r"anneal.share = 0.3: .* training.decay = 0.2"):
        plan(branches=(20,)).check(replace(mixture, anneal_share=0.3))


def test_every_step_of_every_branch_is_in_the_ledger(token_set, tmp_path):
    trajectory = plan()
    go(token_set, tmp_path / "work", trajectory)
    entries = Ledger(tmp_path / "ledger.jsonl").entries()
    assert sum(entry.flops for entry in entries) == pytest.approx(trajectory.flops)
    assert sum(entry.tokens for entry in entries) == trajectory.steps * trajectory.settings.batch_tokens


def test_a_rate_that_blows_up_is_one_line_that_names_the_rate(token_set, tmp_path):
    training = TrainingSettings(
        context=16, batch_size=4, warmup_steps=0, optimizer=OptimizerSettings(rate=1e30, embedding_rate=1e30)
    )
    with pytest.raises(UserError, match="lower optimizer.rate"):
        go(token_set, tmp_path / "work", Trajectory("d16", SHAPE, training, (50,), 0))


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "state.safetensors"
    save_state(path, {"a": torch.ones(3)}, {"mark": json.dumps([1])})
    assert load_state(path)[1] == {"mark": "[1]"}
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    with pytest.raises(UserError, match=r"state\.safetensors: damaged checkpoint"):
        load_state(path)
