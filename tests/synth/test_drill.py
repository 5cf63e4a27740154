from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from orionlm.artifact import Artifact
from orionlm.data.documents import SYNTHETIC, Document
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.shape import Shape
from orionlm.synth.drill import Settings, _write, derive, judged
from shard_writer import Writer


def generations(replaced, guarded, seeds=2, noise=0.005):
    rng = np.random.default_rng(0)
    return [
        {
            f"{arm}-{seed}": {"bits_per_byte": 2 + rise * generation + noise * rng.standard_normal()}
            for arm, rise in (("replaced", replaced), ("guarded", guarded))
            for seed in range(seeds)
        }
        for generation in range(4)
    ]


@pytest.mark.parametrize(
    ("replaced", "guarded", "expected"),
    [(0.2, 0.0, ("collapse", "no collapse")), (0.2, 0.2, ("collapse", "collapse")), (0.0, -0.1, ("no collapse",) * 2)],
)
def test_a_rise_past_the_harm_is_a_collapse_and_none_is_none(replaced, guarded, expected):
    found = judged(generations(replaced, guarded), harm=0.05)["arms"]
    assert (found["replaced"]["verdict"], found["guarded"]["verdict"]) == expected


def test_what_the_first_reader_loses_at_once_is_said_and_is_no_collapse():
    measured = generations(0.0, 0.0, noise=0.0)
    for generation in measured[1:]:
        for one in generation.values():
            one["bits_per_byte"] += 0.3
    found = judged(measured, harm=0.05)["arms"]["guarded"]
    assert (
        found["verdict"] == "no collapse"
        and found["at_once"] == pytest.approx(0.3)
        and "+0.300 at once" in found["says"]
    )


def test_one_seed_or_much_noise_cannot_tell():
    assert judged(generations(0.2, 0.0, seeds=1), 0.05)["arms"]["replaced"]["verdict"] == "cannot tell"
    unlike = generations(0.1, 0.0, noise=0.0)
    unlike[-1]["guarded-0"]["bits_per_byte"] += 0.3
    unlike[-1]["guarded-1"]["bits_per_byte"] -= 0.2
    assert judged(unlike, 0.05)["arms"]["guarded"]["verdict"] == "cannot tell"


def test_the_spread_of_an_arm_that_collapses_is_not_the_other_s():
    unlike = generations(0.3, 0.0, seeds=3, noise=0.0)
    for seed, more in enumerate((-0.3, 0.0, 0.3)):
        unlike[-1][f"replaced-{seed}"]["bits_per_byte"] += more
    found = judged(unlike, 0.05)["arms"]
    assert found["guarded"]["low"] == pytest.approx(found["guarded"]["high"])
    half = 2.92 * 0.3 / 3**0.5  # t with two degrees of freedom
    assert found["replaced"]["high"] - found["replaced"]["rise"] == pytest.approx(half, rel=1e-3)


def test_only_text_that_people_wrote_is_gone_on_from(tmp_path, monkeypatch):
    with Writer(tmp_path, "train") as writer:
        for text, source in (("genuine text", "s"), ("made up", f"{SYNTHETIC}rephrase/faq")):
            writer.add(Document(text, source, text, text), len(text))
    read = []

    class Tokenizer:
        def encode(self, text, add_special_tokens):
            read.append(text)
            return SimpleNamespace(ids=[1, 2, 3])

        def decode(self, tokens):
            return "written"

    engine = SimpleNamespace(ends=[0], answers=lambda given, asked: [[SimpleNamespace(tokens=[1] * 9)] for _ in given])
    shape = Shape.from_width(16, vocabulary=8, context=8)
    loaded = SimpleNamespace(engine=engine, tokenizer=Tokenizer(), shape=shape)
    monkeypatch.setitem(
        sys.modules, "orionlm.inference.engine.load", SimpleNamespace(load_engine=lambda *_, **__: loaded)
    )
    context = Context("drill", 1, tmp_path, Progress(quiet=True))
    settings = Settings(flops=1e9, tokens=20)
    assert _write(settings, Artifact(tmp_path, "corpus", {}, ""), tmp_path, 0, context) and read == ["genuine text"]


def test_what_is_written_costs_what_is_asked_for(tmp_path):
    known = {"tokenizer": {"vocabulary": 512}}

    def flops(**more):
        [_, found] = derive(Settings(flops=1e9, **more), known, Context("drill", 1, tmp_path)).numbers
        assert found.name == "FLOPs" and ("tokens" in found.formula) == bool(more)
        return found.value

    students = 2 * (2 * 4 + 1)
    assert flops() == pytest.approx(students * 1e9 * 13 / 9)
    assert students * 1e9 < flops(tokens=10) < flops(tokens=10_000)
