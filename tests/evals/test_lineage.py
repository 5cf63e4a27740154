from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from evals.test_sight import corpus
from orionlm.artifact import Artifact, publish, write_json
from orionlm.data.decontamination.decontaminate import FILE, Settings, report
from orionlm.errors import UserError
from orionlm.evals.lineage import check, lineage
from orionlm.evals.sight import SightSettings, sight_suite
from orionlm.tasks.suite import load_suite

SUITE = """
name = "mine"
[task.prose]
kind = "text"
items = [{ text = "The quick brown fox jumps over the lazy dog, and the dog sleeps on." }]
[task.sums]
kind = "choice"
items = { generator = "arithmetic", n = 3, choices = 4 }
"""


class Run:
    """Artifacts of a run, without the work: corpus → (curated) → tokens → model."""

    def __init__(self, folder):
        self.folder = folder / "artifacts"
        self.folder.mkdir(parents=True)

    def add(self, name: str, kind: str, inputs: dict[str, Artifact], files=lambda folder: None) -> Artifact:
        partial = self.folder / f"{name}.partial"
        partial.mkdir()
        (partial / "what.txt").write_text(name)
        files(partial)
        return publish(partial, self.folder / name, kind=kind, settings={}, inputs=inputs, seed=0, fingerprint=name)

    def corpus(self, name="corpus", groups=("three",)) -> Artifact:
        def files(folder):
            corpus(folder / "validation.parquet")
            corpus(folder / "train.parquet", groups)

        return self.add(name, "corpus", {}, files)

    def curated(self, before: Artifact, suite: str | None, name="curated") -> Artifact:
        def files(folder):
            for path in before.path.glob("*.parquet"):
                (folder / path.name).write_bytes(path.read_bytes())
            if suite:
                write_json(folder / FILE, report(Settings(suites=(suite,)), []))

        return self.add(name, "curate", {"corpus": before}, files)

    def model(self, *texts: Artifact, name="run") -> Artifact:
        tokenizer = self.add(f"{name}-tokenizer", "tokenizer", {"corpus": texts[0]})
        inputs = {f"corpus{n}": text for n, text in enumerate(texts)} | {"tokenizer": tokenizer}
        tokens = self.add(f"{name}-tokens", "tokens", inputs)

        def files(folder):
            write_json(folder / "result.json", {"flops": 1.0, "params": 1.0})

        return self.add(name, "train", {"tokens": tokens}, files)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "mine.toml").write_text(SUITE)
    return str(tmp_path / "mine.toml")


@pytest.fixture
def suite(path):
    return load_suite(path)


def test_a_model_of_raw_text_is_refused_in_one_line_with_the_mend(run, suite):
    model = run.model(run.corpus())
    with pytest.raises(UserError) as raised:
        check(suite, model.path)
    said = str(raised.value)
    assert "suite mine (prose)" in said and "corpus, not decontaminated" in said and "\n" not in said
    assert "decontaminate.suites" in said and "--undecontaminated" in said and "undecontaminated = true" in said


def test_it_goes_on_where_that_is_accepted_and_says_what_it_means(run, suite):
    assert "may be memory" in check(suite, run.model(run.corpus()).path, accepted=True)


def test_a_model_of_text_that_was_cleaned_of_the_suite_passes(run, suite, path):
    model = run.model(run.curated(run.corpus(), path))
    assert check(suite, model.path) == ""
    assert lineage(model.path).corpora == ("curated",)


def test_cleaned_of_another_suite_is_not_cleaned_of_this_one(run, suite, tmp_path):
    (tmp_path / "other.toml").write_text(SUITE.replace("quick brown fox", "slow red hen"))
    model = run.model(run.curated(run.corpus(), str(tmp_path / "other.toml")))
    with pytest.raises(UserError, match="curated, not decontaminated against it"):
        check(suite, model.path)


def test_cleaned_in_some_domains_alone_is_not_cleaned(run, suite, path, tmp_path):
    for name, domains, refused in (("part", ["web"], True), ("whole", ["code", "web"], False)):
        text = run.corpus(f"{name}-corpus")
        partial = tmp_path / name
        partial.mkdir()
        write_json(partial / FILE, report(Settings(suites=(path,), domains=tuple(domains)), []))
        write_json(partial / "corpus.json", {"train_domains": {"code": {}, "web": {}}})
        (partial / "train-00000.parquet").write_text(name)
        settings = {"decontaminate": {"domains": domains}}
        made = {"settings": settings, "inputs": {"corpus": text}, "seed": 0, "fingerprint": name}
        model = run.model(publish(partial, run.folder / name, kind="curate", **made), name=f"{name}-run")
        if refused:
            with pytest.raises(UserError, match="not decontaminated"):
                check(suite, model.path)
        else:
            assert check(suite, model.path) == ""


def test_every_way_to_the_sources_must_be_clean(run, suite, path):
    raw, clean = run.corpus(), run.curated(run.corpus("other", ("four",)), path)
    with pytest.raises(UserError, match="trained on corpus, curated"):
        check(suite, run.model(raw, clean).path)
    again = run.curated(clean, None, "again")  # what was clean before a second curation still is
    assert check(suite, run.model(again, clean, name="second").path) == ""


def test_other_shots_and_fewer_items_of_the_same_task_are_the_same_questions(run, suite, path):
    model = run.model(run.curated(run.corpus(), path))
    asked_otherwise = replace(suite, name="renamed", digest="0", tasks=(replace(suite.tasks[0], description="Hm."),))
    assert check(asked_otherwise, model.path) == ""


def test_a_ladders_model_has_the_ladders_lineage(run, suite):
    tokens = run.add("tokens", "tokens", {"corpus": run.corpus()})

    def files(folder):
        (folder / "models" / "d32").mkdir(parents=True)
        (folder / "models" / "d32" / "config.json").write_text("{}")

    ladder = run.add("ladder", "ladder", {"tokens": tokens}, files)
    with pytest.raises(UserError, match="not decontaminated"):
        check(suite, ladder.path / "models" / "d32")


def test_where_the_lineage_is_not_known_it_says_so_and_goes_on(run, suite, tmp_path):
    (tmp_path / "exported").mkdir()
    assert "is not known here" in check(suite, tmp_path / "exported")
    model = run.model(run.corpus())
    (run.folder / "run-tokens").rename(tmp_path / "elsewhere")
    assert "is not known here" in check(suite, model.path)


def test_held_out_text_of_the_same_corpora_and_drawn_questions_are_exempt(run, suite, tmp_path):
    text = run.corpus()
    model = run.model(run.curated(text, None))
    held_out = sorted(text.path.glob("validation-*.parquet"))
    sight = sight_suite(held_out, SightSettings(items=10))
    assert check(sight, model.path, held_out) == ""
    with pytest.raises(UserError, match="suite sight"):
        check(sight, model.path, corpus(tmp_path / "foreign.parquet", ("nine",)))
    assert check(replace(suite, tasks=suite.tasks[1:]), model.path) == ""


def test_the_command_refuses_before_anything_is_loaded(run, path):
    import typer

    from orionlm.cli import evaluation as command

    app = typer.Typer()
    app.command("eval")(command.evaluate)
    model = run.model(run.corpus())
    result = CliRunner().invoke(app, [str(model.path), path, "-q"])
    assert isinstance(result.exception, UserError) and "--undecontaminated" in str(result.exception)
    told = CliRunner().invoke(app, [str(model.path), path, "-q", "--undecontaminated"])
    assert "config.json" in str(told.exception), "the next thing is to load the checkpoint, and this one is none"


def test_the_stage_refuses_too_unless_told(run, path, tmp_path):
    from data.conftest import FakeContext
    from orionlm.evals import stage

    text = run.corpus()
    model = run.model(text)
    settings = stage.Settings(suite=path, sight=None)
    with pytest.raises(UserError, match="undecontaminated = true"):
        stage.run(settings, {"corpus": text, "run": model}, tmp_path / "out", FakeContext())
    settings = settings.model_copy(update={"undecontaminated": True, "contamination": False})
    with pytest.raises(UserError, match="config.json"):
        stage.run(settings, {"corpus": text, "run": model}, tmp_path / "out", FakeContext())
