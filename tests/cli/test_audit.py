import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

FAST = ("--samples", 2)


def test_exact_gradients_pass(ranvier: Command) -> None:
    outcome = ranvier("check", "yinyang", "--engine", "exact", *FAST)
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.err == ""
    assert "dataset yinyang, gradient eventprop, engine exact" in outcome.out.splitlines()[0]
    assert "EventProp in continuous time, 2 samples" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("PASSED: ")


def test_a_surrogate_is_biased_and_no_error(ranvier: Command) -> None:
    outcome = ranvier("check", "yinyang", "--gradient", "surrogate", "--dt", 1e-3, *FAST, "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    assert len(outcome.out.splitlines()) == 1
    result = outcome.result
    assert result["status"] == "biased"
    assert (result["dataset"], result["gradient"], result["dt"]) == ("yinyang", "surrogate", 1e-3)
    assert result["n_samples"] == 2
    assert {each["name"] for each in result["parameters"]} == {"hidden.w_in", "output.w_in"}
    assert result["layers"][0]["spikes_per_sample"] > 0


def test_a_coarse_grid_does_not_pass(ranvier: Command) -> None:
    outcome = ranvier("check", "yinyang", "--engine", "grid", "--dt", 5e-3, *FAST, "--json")
    assert outcome.code == 1
    assert outcome.result["status"] in ("failed", "refused")
    assert outcome.err == ""


def test_a_silent_network_is_refused(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from ranvier.studies.table import TABLE

    key = ("yinyang", "eventprop", "exact")
    monkeypatch.setitem(TABLE, key, replace(TABLE[key], hidden_weights=(-1.0, 0.0)))
    outcome = ranvier("check", "yinyang", "--engine", "exact", *FAST)
    assert outcome.code == 1
    assert outcome.out.splitlines()[-1].startswith("REFUSED: Layer 'hidden' emits no spike")


def test_a_trained_run(ranvier: Command) -> None:
    assert ranvier("train", "yinyang", "--engine", "exact", "--epochs", 1, "--out", "run").code == 0
    fresh = ranvier("check", "yinyang", "--engine", "exact", *FAST, "--json").result
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    outcome = ranvier("check", "--run", "run", *FAST, "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.result["run_dir"] == "run"
    assert outcome.result["status"] == "passed"
    assert outcome.result["parameters"] != fresh["parameters"], "not the trained weights"
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_a_run_without_checkpoint(ranvier: Command) -> None:
    ranvier("train", "yinyang", "--epochs", 1, "--out", "run")
    Path("run/last.pt").unlink()
    outcome = ranvier("check", "--run", "run")
    assert (outcome.code, outcome.out) == (1, "")
    assert "has not finished its first epoch" in outcome.err


def test_images_from_the_users_files(ranvier: Command, mnist: Path) -> None:
    outcome = ranvier("check", "mnist", "--engine", "exact", "--data-dir", mnist, *FAST, "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    assert json.loads(outcome.out)["dataset"] == "mnist"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--run must name a run, or a data set must be named"),
        (("yinyang", "--samples", "0"), "--samples must be a whole number >= 1. Got 0."),
        (("yinyang", "--samples", "x"), "samples"),
        (("yinyang", "--engine", "grid", "--dt", "-1"), "--dt must be"),
        (("yinyang", "--surrogate", "esser"), "--surrogate needs --gradient surrogate"),
        (("yinyang", "--gradient", "surrogate", "--engine", "exact"), "--gradient surrogate needs --engine grid"),
        (("yinyang", "--data-dir", "x"), "--data-dir has no effect on yinyang"),
        (("yinyang", "--run", "x"), "A data set must not accompany --run"),
        (("--run", "x", "--dt", "1e-3"), "--dt must not accompany --run"),
        (("--run", "x", "--seed", "1"), "--seed must not accompany --run"),
    ],
    ids=str,
)
def test_bad_usage_is_2(ranvier: Command, arguments: tuple[str, ...], sentence: str) -> None:
    outcome = ranvier("check", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert sentence in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_missing_run_is_1(ranvier: Command) -> None:
    outcome = ranvier("check", "--run", "nowhere")
    assert (outcome.code, outcome.out) == (1, "")
    assert "nowhere must be the folder of a run" in outcome.err
