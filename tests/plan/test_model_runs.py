from __future__ import annotations

import datetime

import pytest

from orionlm.errors import UserError
from orionlm.plan.accelerators import find as find_chip
from orionlm.plan.accelerators import load as load_chips
from orionlm.plan.model_runs import find, load

PEAK = 989e12


def test_the_published_runs_are_there_with_a_source_each():
    runs = load()
    assert runs["Llama 3 405B"].compute == 3.79e25 and runs["DeepSeek-V3"].compute == 3.29e24
    assert runs["GPT-4"].mark == "estimate" and runs["Chinchilla"].tokens.median == 1.4e12
    assert all(run.source and run.date for run in runs.values())


def test_compute_that_is_not_stated_is_six_times_parameters_times_tokens():
    assert load()["Llama 2 70B"].compute == pytest.approx(6 * 70e9 * 2e12)


def test_stated_compute_agrees_with_parameters_and_tokens():
    for name, run in load().items():
        params = run.active_params or run.params
        if run.flops and params:
            assert run.compute == pytest.approx(6 * params.median * run.tokens.median, rel=0.2), name


@pytest.mark.parametrize("name", ["Llama 3 405B", "DeepSeek-V3"])
def test_the_end_to_end_use_of_the_bf16_peak_is_34_6_percent(name):
    run = load()[name]
    assert run.compute / (run.hours.median * 3600 * PEAK) == pytest.approx(0.346, abs=0.001)


def test_every_accelerator_named_is_known():
    chips = load_chips()
    for run in load().values():
        if run.accelerator:
            find_chip(run.accelerator, chips)


def test_hours_follow_from_devices_and_days():
    hours = load()["GPT-4"].hours
    assert (hours.low, hours.high) == (25e3 * 24 * 90, 25e3 * 24 * 100)


def test_a_users_file_adds_and_replaces(tmp_path):
    path = tmp_path / "runs.toml"
    path.write_text(
        '[Mine]\nparams = "1B"\ntokens = "20B"\ndate = 2025-07-02\nsource = "here"\n'
        '[GPT-4]\nflops = "3e25"\nsource = "another estimate"\nmark = "estimate"\n'
    )
    runs = load(path)
    assert runs["Mine"].compute == pytest.approx(1.2e20) and runs["Mine"].year == pytest.approx(2025.5, abs=0.01)
    assert runs["GPT-4"].compute == 3e25 and "Chinchilla" in runs and load()["GPT-4"].compute == 2.1e25
    assert runs["Mine"].date == datetime.date(2025, 7, 2)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[Mine]\nparams = "1B"\nsource = "here"', "compute is missing"),
        ('[Mine]\nflops = "1e20"', "source"),
        ('[Mine]\nflops = "-1e20"\nsource = "x"', "flops"),
        ('[Mine]\nflops = "1e20"\nsource = "x"\nmark = "sure"', "mark"),
        ('Mine = "1e20"', "table"),
    ],
)
def test_a_mistake_in_a_users_file_is_named(tmp_path, text, named):
    path = tmp_path / "runs.toml"
    path.write_text(text + "\n")
    with pytest.raises(UserError, match=named):
        load(path)


def test_an_unknown_run_is_answered_with_the_nearest():
    assert find("gpt-4", load()).compute == 2.1e25
    with pytest.raises(UserError, match="did you mean GPT-4"):
        find("GPT-5", load())
