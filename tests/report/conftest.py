"""Synthetic run directories: a simulated ladder, really fitted, published through the artifact contract."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orionlm.artifact import Artifact, publish, write_json
from orionlm.gain.runs import RunTable, write_runs
from orionlm.ledger import Ledger
from orionlm.plan.baselines import baselines
from orionlm.plan.fit import Points
from orionlm.plan.forecast import forecast, wall
from orionlm.plan.posterior import fit_laws
from orionlm.plan.simulate import Ladder, draw_world, observe

HOSTILE = '<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>\u202e\x00\ud800 & "done"'
RECIPE = """\
name = "small"
seed = 7

[price]
dollars_per_hour = 0.08
source = "a made-up price list"

[stage.corpus]
kind = "corpus"
sources = [{ package = "numpy" }]

[stage.ladder]
kind = "ladder"
inputs = { tokens = "corpus" }

[stage.forecast]
kind = "forecast"
inputs = { ladder = "ladder", tokens = "corpus" }

[stage.large]
kind = "train"
inputs = { tokens = "corpus", forecast = "forecast" }

[stage.outcome]
kind = "outcome"
inputs = { forecast = "forecast", run = "large" }
"""


class Made:
    """A run directory under construction."""

    def __init__(self, path: Path, recipe: str = RECIPE) -> None:
        self.path = path
        (path / "artifacts").mkdir(parents=True)
        (path / "recipe.toml").write_text(recipe)

    def stage(self, name: str, kind: str, files: dict[str, Any], **settings: Any) -> Artifact:
        """Publish a stage's artifact; a value that is a run table becomes CSV, others JSON."""
        partial = self.path / "artifacts" / f"{name}.partial"
        partial.mkdir()
        for file, value in files.items():
            if isinstance(value, RunTable):
                write_runs(partial / file, value)
            else:
                (partial / file).write_text(json.dumps(value))
        return publish(
            partial, self.path / "artifacts" / name, kind=kind, settings=settings, inputs={}, seed=7, fingerprint="f"
        )  # fmt: skip


@pytest.fixture(scope="session")
def told() -> dict[str, Any]:
    """A ladder in a simulated world, what was forecast from it, and the files the stages write."""
    rng = np.random.default_rng(3)
    world = draw_world("chinchilla", Ladder(), rng)
    points: Points = observe(world, Ladder(), rng)
    fits = fit_laws(points, draws=200)
    params, tokens = 2.1e6, 8e6
    said = forecast(fits, params, tokens)
    flops = 6.6 * params * tokens
    measured = float(np.exp(world.log_loss(np.log([params]), np.log([tokens]))[0]))
    rows = [
        {
            "run": f"d{n:.0f}", "params": n, "tokens": d, "flops": 7 * n * d, "seed": 7, "vocabulary": 4096,
            "bits_per_byte": loss, "loss": loss * 2, "induction": 0.3 + 0.1 * np.log10(d),
        }
        for n, d, loss in zip(points.params, points.tokens, points.loss, strict=True)
    ]  # fmt: skip
    regime = {
        "settled": True,
        "induction": [{name: r[name] for name in ("run", "tokens", "flops")} | {"score": r["induction"]} for r in rows],
        "least": min(r["induction"] for r in rows), "change": 0.03,
        "why": "every point lies past the onset of in-context copying",
        "rule": "every point saves at least 15%, and no point differs from the one before by more than 15%",
    }  # fmt: skip
    return {
        "ladder": {"runs.csv": RunTable.from_rows(rows)},
        "forecast": {
            "forecast.json": asdict(said)
            | {
                "verdict": "forecast", "why": regime["why"],
                "predicted": said.loss, "half_width": said.half_width, "flops_ratio": said.extrapolation_factor,
                "target": {"width": 192, "layers": 6, "params": params, "tokens": tokens, "flops": flops, "steps": 900},
                "baselines": baselines(points.flops, points.loss, said.flops),
                "regime": regime,
                "wall": wall(fits, 3),
            },
            "fits.json": fits.to_json(),
        },
        "train": {
            "result.json": {
                "params": params, "tokens": tokens, "flops": flops, "steps": 900, "bits_per_byte": measured,
                "standard_error": 0.004, "loss": 2 * measured, "induction": 1.1, "validation_tokens": 400_000,
                "validation_bytes": 1_300_000, "unique_tokens": 6e6, "epochs": 1.33,
            }
        },
        "outcome": {
            "outcome.json": {
                "predicted": said.loss, "low": said.low, "high": said.high, "level": 0.9, "measured": measured,
                "standard_error": 0.004, "flops_ratio": said.extrapolation_factor, "half_width": said.half_width,
                "verdict": "inside" if said.low <= measured <= said.high else "outside",
                "error": said.loss / measured - 1, "baselines": {}, "beats_baselines": True,
            },
            "samples.json": [
                {"prompt": "def ", "text": "read(self, path):\n    return open(path).read()\n"},
                {"prompt": "import ", "text": HOSTILE},
            ],
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def whole(told, tmp_path_factory) -> Path:
    """A finished run. Tests that change it take a copy (`copied`)."""
    run = Made(tmp_path_factory.mktemp("runs") / "whole")
    run.stage("corpus", "corpus", {"corpus.json": {"documents": 10}}, sources=[{"package": "numpy"}], minimum=20000)
    for name, kind in (("ladder", "ladder"), ("forecast", "forecast"), ("large", "train"), ("outcome", "outcome")):
        run.stage(name, kind, told[kind], width=192)
    ledger = Ledger(run.path / "ledger.jsonl")
    ledger.record("ladder", "train", flops=2e14, tokens=42_000_000, seconds=150, utilization=0.31, dollars=0.003,
                  dollars_source="a made-up price list")  # fmt: skip
    ledger.record("large", "train", flops=1e14, tokens=8_000_000, seconds=90, utilization=0.35, dollars=0.002,
                  dollars_source="a made-up price list")  # fmt: skip
    ledger.record("large", "eval", flops=5e11, tokens=400_000, seconds=4)
    ledger.record("corpus", "data", seconds=12)
    write_json(run.path / "machine.json", {"precision": "bf16", "micro_batch": 8})
    return run.path


@pytest.fixture
def copied(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def make(tmp_path):
    """Begins a run directory from a recipe's text."""

    def begin(recipe: str = RECIPE) -> Made:
        return Made(tmp_path / "made", recipe)

    return begin
