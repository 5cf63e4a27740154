"""The stage `train` on a mixture, and what it and the forecast must agree on."""

import json

import pytest

from orionlm.artifact import publish, write_json
from orionlm.data.mixing import mixture
from orionlm.errors import UserError
from orionlm.ladder import run as stage
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from train.conftest import write_tokens


def published(folder, name, inputs):
    return publish(
        folder / f"{name}.partial", folder / name, kind=name, settings={}, inputs=inputs, seed=0, fingerprint=""
    )  # fmt: skip


@pytest.fixture
def made(tmp_path):
    """Tokens of two domains, a mixture of them, and the context of a run."""
    pinned = {"threads": 1, "precision": "fp32"}
    context = Context("train", 0, tmp_path, Progress(quiet=True), pinned=pinned)
    folder = write_tokens(tmp_path / "tokens.partial", count=4_000, shares={"code": 0.6, "text": 0.4})
    (folder / "tokenizer.json").write_text("{}")
    tokens = published(tmp_path, "tokens", {})
    (tmp_path / "mixture.partial").mkdir()
    settings = mixture.Settings(weights={"code": 0.25, "text": 0.75}, anneal={"share": 0.1, "weights": {"code": 1.0}})
    mixture.run(settings, {"tokens": tokens}, tmp_path / "mixture.partial", context)
    return tokens, published(tmp_path, "mixture", {"tokens": tokens}), context


SETTINGS = stage.Settings(
    width=16, tokens=5_120, validation_tokens=2_000, lever="mixed",
    training={"context": 16, "batch_size": 4, "warmup_steps": 4},
)  # fmt: skip


def test_a_run_on_a_mixture_says_what_it_read_and_its_loss_by_domain(made, tmp_path):
    tokens, mixed, context = made
    (tmp_path / "out").mkdir()
    stage.run(SETTINGS, {"tokens": tokens, "mixture": mixed}, tmp_path / "out", context)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["lever"] == "mixed" and list(result["by_domain"]) == ["code", "text"]
    low, high = sorted(result["by_domain"].values())
    assert low <= result["bits_per_byte"] <= high
    read = result["read"]
    assert read["code"]["tokens"] / result["tokens"] == pytest.approx(0.9 * 0.25 + 0.1, abs=0.03)
    assert sum(row["tokens"] for row in read.values()) == result["tokens"] == 5_120
    assert result["unique_tokens"] == sum(row["unique_tokens"] for row in read.values()) < result["tokens"]
    assert read["text"]["epochs"] > 1 > read["code"]["epochs"]


def test_a_run_follows_a_forecast_only_on_the_mixture_of_its_ladder(made, tmp_path):
    tokens, mixed, context = made
    for name, digest in (("on it", mixed.digest), ("on none", None)):
        (tmp_path / f"{name}.partial").mkdir()
        write_json(tmp_path / f"{name}.partial" / "forecast.json", {"target": target(digest)})
        said = published(tmp_path, name, {})
        inputs = {"tokens": tokens, "forecast": said} | ({"mixture": mixed} if digest is None else {})
        with pytest.raises(UserError, match="the forecast's ladder was not trained on this mixture"):
            stage.run(stage.Settings(lever="mixed"), inputs, tmp_path, context)


def target(digest):
    training = {"context": 16, "batch_size": 4}
    shape = stage.Shape.from_width(16, vocabulary=300, context=16)
    return {"shape": vars(shape), "training": training, "steps": 10, "mixture": digest}


def test_a_mixture_of_other_tokens_is_refused(made, tmp_path):
    _, mixed, context = made
    write_tokens(tmp_path / "other.partial", count=10_000, shares={"code": 0.5, "text": 0.5})
    other = published(tmp_path, "other", {})
    with pytest.raises(UserError, match="this mixture was made from other tokens"):
        stage.run(SETTINGS, {"tokens": other, "mixture": mixed}, tmp_path, context)
