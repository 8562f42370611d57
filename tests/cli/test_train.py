import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.errors import RunError
from ranvier.training import checkpoint
from tests.cli.conftest import Command

FIELDS = {
    "dataset": str,
    "gradient": str,
    "engine": str,
    "backend": str,
    "seed": int,
    "epochs": int,
    "test_accuracy": float,
    "train_accuracy": float,
    "best_validation": float,
    "best_epoch": int,
    "loss": float,
    "seconds": float,
    "samples_per_second": float,
    "spikes_per_sample": dict,
    "run_dir": str,
}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "spiking"),
    [
        ((), {"hidden", "output"}),
        (("--engine", "grid"), {"hidden", "output"}),
        (("--gradient", "surrogate"), {"hidden"}),
        (("--gradient", "surrogate", "--surrogate", "esser"), {"hidden"}),
        pytest.param(("--gradient", "surrogate", "--surrogate", "sigmoid"), {"hidden"}, marks=pytest.mark.slow),
    ],
    ids=["exact", "eventprop on a grid", "superspike", "esser", "sigmoid"],
)
def test_one_json_object_and_nothing_else(ranvier: Command, options: tuple[str, ...], spiking: set[str]) -> None:
    outcome = ranvier("train", "yinyang", *options, "--json")
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.splitlines()) == 1
    result = outcome.result
    for name, kind in FIELDS.items():
        assert type(result[name]) is kind, name
    assert result["backend"] == "numba"
    assert set(result["spikes_per_sample"]) == spiking
    assert 0 <= result["test_accuracy"] <= 1
    assert result["epochs"] == 2
    folder = Path(result["run_dir"])
    assert folder.parent == Path("runs")
    assert folder.name.startswith("yinyang-")
    told = lines(folder)
    assert [line["epoch"] for line in told] == [1, 2]
    assert result["loss"] == told[-1]["train_loss"]
    assert result["train_accuracy"] == told[-1]["train_accuracy"]
    best = max(line["validation_accuracy"] for line in told)
    assert result["best_validation"] == best
    assert result["best_epoch"] == [line["validation_accuracy"] for line in told].index(best) + 1


def test_the_settings_are_told_at_the_start(ranvier: Command) -> None:
    outcome = ranvier("train", "yinyang", "--engine", "grid", "--seed", 3, "--out", "here")
    first = outcome.err.splitlines()[0]
    for setting in (
        "here",
        "dataset yinyang",
        "gradient eventprop",
        "engine grid",
        "seed 3",
        "hidden 12",
        "dt 0.002",
        "decay 0.95",
    ):
        assert setting in first
    assert "test accuracy" in outcome.out
    assert "%" in outcome.out
    assert "engine exact" in ranvier("train", "yinyang", "--epochs", 1).err.splitlines()[0]


def test_options_reach_the_run(ranvier: Command) -> None:
    options = ("--epochs", 1, "--seed", 7, "--hidden", 9, "--dt", 3e-3, "--batch-size", 20, "--threads", 1)
    options = (*options, "--engine", "grid", "--learning-rate", 0.01)
    outcome = ranvier("train", "yinyang", *options, "--out", "a/b", "--json")
    assert outcome.code == 0, outcome.err
    config = json.loads(Path("a/b/config.json").read_text())
    expected = {"epochs": 1, "seed": 7, "hidden": 9, "batch_size": 20, "learning_rate": 0.01}
    expected |= {"engine": "grid", "dt": 3e-3}
    assert config | expected == config
    kept = checkpoint.load(Path("a/b/last.pt"))
    assert kept["network"]["layers.hidden.w_in"].shape == (5, 9)
    assert kept["metrics"]["learning_rate"] == 0.01


@pytest.mark.parametrize("delays", [pytest.param("none", marks=pytest.mark.slow), "axonal", "synaptic"])
def test_yinyang_delays(ranvier: Command, delays: str) -> None:
    outcome = ranvier("train", "yinyang-delays", "--delays", delays, "--bias-spike", "--out", "run", "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.result
    assert (result["dataset"], result["engine"], result["backend"]) == ("yinyang-delays", "exact", "numba")
    assert result["delays"] == delays
    config = json.loads(Path("run/config.json").read_text())
    assert (config["delays"], config["bias_spike"]) == (delays, True)
    kept = checkpoint.load(Path("run/last.pt"))["network"]
    assert kept["layers.hidden.w_in"].shape == (5, 12)
    shapes = {name: tuple(value.shape) for name, value in kept.items() if name.endswith(".free")}
    assert (
        shapes
        == {
            "none": {},
            "axonal": {"layers.input_delays.delays.free": (1, 5), "layers.hidden_delays.delays.free": (1, 12)},
            "synaptic": {"layers.hidden.delays.free": (5, 12), "layers.output.delays.free": (12, 3)},
        }[delays]
    )
    longer = ranvier("train", "--resume", "run", "--epochs", 4, "--json")
    whole = ranvier(
        "train", "yinyang-delays", "--delays", delays, "--bias-spike", "--epochs", 4, "--out", "whole", "--json"
    )
    assert longer.code == 0, longer.err
    for name in ("test_accuracy", "test_loss", "loss", "best_validation", "spikes_per_sample"):
        assert longer.result[name] == whole.result[name], name
    again = ranvier("evaluate", "run", "--json").result
    assert again["test_accuracy"] == longer.result["test_accuracy"]
    assert ranvier("train", "--resume", "run", "--data-dir", "x").code == 1


def test_a_run_from_before_a_setting_is_resumed(ranvier: Command) -> None:
    whole = ranvier("train", "yinyang", "--epochs", 3, "--out", "whole", "--json").result
    ranvier("train", "yinyang", "--out", "run")
    path = Path("run/config.json")
    config = json.loads(path.read_text())
    for name in ("delays", "delay_rate", "bias_spike", "decay_every"):
        del config[name]
    path.write_text(json.dumps(config))
    last = checkpoint.load(Path("run/last.pt"))
    for name in ("decay_every", "rates", "wake"):
        del last["settings"][name]
    checkpoint.save_last(Path("run"), last)
    outcome = ranvier("train", "--resume", "run", "--epochs", 3, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.result["loss"] == whole["loss"]


def test_the_seed_draws_the_weights(ranvier: Command) -> None:
    first, second, again = (ranvier("train", "yinyang", "--seed", seed, "--json").result["loss"] for seed in (0, 1, 0))
    assert first == again != second


def test_the_test_set_is_measured_once_with_the_final_weights(
    ranvier: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = ranvier("train", "yinyang", "--out", "run", "--json").result
    again = ranvier("evaluate", "run", "--json").result
    for name in (
        "test_accuracy",
        "test_loss",
        "spikes_per_sample",
        "backend",
        "dataset",
        "gradient",
        "epochs",
    ):
        assert again[name] == result[name]


def test_mnist_from_the_users_files(ranvier: Command, mnist: Path) -> None:
    outcome = ranvier("train", "mnist", "--data-dir", mnist, "--out", "run", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.result["dataset"] == "mnist"
    assert set(outcome.result["spikes_per_sample"]) == {"hidden"}
    moved = mnist.rename(mnist.with_name("moved"))
    missing = ranvier("evaluate", "run")
    assert missing.code == 1
    assert missing.out == ""
    assert "train-images-idx3-ubyte.gz" in missing.err
    assert ranvier("evaluate", "run", "--data-dir", moved).code == 0
    assert ranvier("train", "--resume", "run", "--epochs", 3, "--data-dir", "nowhere").code == 1
    assert json.loads(Path("run/config.json").read_text())["epochs"] == 2
    assert ranvier("train", "--resume", "run", "--epochs", 3, "--data-dir", moved).code == 0
    assert json.loads(Path("run/config.json").read_text())["data_dir"] == str(moved)


# ---------------------------------------------------------------------------------------------- resuming


def test_a_finished_run_prints_its_result_again(ranvier: Command) -> None:
    first = ranvier("train", "yinyang", "--out", "run", "--json")
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    again = ranvier("train", "--resume", "run", "--json")
    assert (again.code, again.result) == (0, first.result)
    assert ranvier("train", "yinyang", "--resume", "run", "--epochs", 2, "--json").result == first.result
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_more_epochs_continue_a_finished_run(ranvier: Command) -> None:
    ranvier("train", "yinyang", "--out", "run")
    longer = ranvier("train", "--resume", "run", "--epochs", 4, "--json")
    whole = ranvier("train", "yinyang", "--epochs", 4, "--out", "whole", "--json")
    assert longer.code == 0, longer.err
    for name in ("epochs", "test_accuracy", "loss", "best_validation", "best_epoch", "spikes_per_sample"):
        assert longer.result[name] == whole.result[name], name
    assert [line["epoch"] for line in lines(Path("run"))] == [1, 2, 3, 4]
    assert ranvier("train", "--resume", "run", "--json").result == longer.result


def test_fewer_epochs_than_done_are_refused(ranvier: Command) -> None:
    ranvier("train", "yinyang", "--out", "run")
    outcome = ranvier("train", "--resume", "run", "--epochs", 1)
    assert (outcome.code, outcome.out) == (1, "")
    assert "must be at least those done in run, 2. Got 1." in outcome.err
    assert ranvier("train", "--resume", "run").code == 0


def test_a_run_killed_before_its_first_checkpoint_starts_again(ranvier: Command) -> None:
    whole = ranvier("train", "yinyang", "--seed", 5, "--out", "run", "--json").result
    for path in Path("run").iterdir():
        if path.name != "config.json":
            path.unlink()
    (Path("run") / "metrics.jsonl").write_text('{"epoch": 1}\n')
    again = ranvier("train", "--resume", "run", "--json").result
    assert again["loss"] == whole["loss"]
    assert [line["epoch"] for line in lines(Path("run"))] == [1, 2]


def test_a_damaged_checkpoint_falls_back_and_says_so(ranvier: Command) -> None:
    whole = ranvier("train", "yinyang", "--out", "run", "--json").result
    (Path("run") / "result.json").unlink()
    last = Path("run") / "last.pt"
    last.write_bytes(last.read_bytes()[:300])
    seen = ranvier("evaluate", "run", "--json")
    assert seen.result["epochs"] == 1
    again = ranvier("train", "--resume", "run", "--json")
    for outcome in (seen, again):
        told = [line for line in outcome.err.splitlines() if "damaged" in line]
        assert told == ["run/last.pt is damaged; continuing from previous.pt, of epoch 1."]
    assert again.result["loss"] == whole["loss"]
    assert [line["epoch"] for line in lines(Path("run"))] == [1, 2]


def test_a_damaged_result_is_made_again(ranvier: Command) -> None:
    whole = ranvier("train", "yinyang", "--out", "run", "--json").result
    (Path("run") / "result.json").write_text('{"epochs": 2, ')
    assert ranvier("train", "--resume", "run", "--json").result["test_accuracy"] == whole["test_accuracy"]


def test_the_thread_count_is_the_runs(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from ranvier.training import fit as real

    seen = []

    def spying(*arguments: Any, **options: Any) -> Any:
        seen.append(arguments[4].threads)
        return real(*arguments, **options)

    monkeypatch.setattr("ranvier.training.fit", spying)
    ranvier("train", "yinyang", "--threads", 2, "--epochs", 1, "--out", "run")
    ranvier("train", "--resume", "run", "--epochs", 2)
    assert seen == [2, 2]


def test_without_a_thread_count_torchs_own_is_kept(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from ranvier.studies.table import TABLE

    key = ("yinyang", "eventprop", "exact")
    monkeypatch.setitem(TABLE, key, replace(TABLE[key], threads=None))
    ranvier("train", "yinyang", "--epochs", 1, "--out", "run")
    assert json.loads(Path("run/config.json").read_text())["threads"] == torch.get_num_threads()


def test_an_interrupt_says_how_to_go_on(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ranvier.training.fit", interrupted)
        outcome = ranvier("train", "yinyang", "--out", "run")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.splitlines()[-1] == "ranvier: Interrupted. Continue with: ranvier train --resume run"
    assert ranvier("train", "--resume", "run").code == 0


def test_a_diverged_training_is_one_sentence(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*_: Any, **__: Any) -> Any:
        raise RunError("Training stopped because the loss must stay finite. Got nan in epoch 1, batch 2.")

    monkeypatch.setattr("ranvier.training.fit", diverged)
    outcome = ranvier("train", "yinyang", "--json")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1].endswith("Got nan in epoch 1, batch 2.")
