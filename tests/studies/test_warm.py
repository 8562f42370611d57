"""What is compiled ahead is what trainings run."""

import json
import os
import subprocess
import sys

import pytest

from ranvier.studies import GRADIENTS, documented, warm
from ranvier.studies.config import GENERATED
from ranvier.training import fit


def test_every_documented_setting_is_warmed_or_runs_the_kernels_of_one_that_is():
    have = {(config.form, config.gradient, config.engine) for config in warm.warmable()}
    alike = {"fashion-mnist": "mnist", "fsdd": "shd", "ssc": "shd"}
    for dataset in ("yinyang", "yinyang-delays", "mnist", "fashion-mnist", "fsdd", "shd", "ssc"):
        for gradient in GRADIENTS:
            try:
                config = documented(dataset, gradient)
            except ValueError:  # yinyang-delays has no surrogate
                continue
            assert (alike.get(dataset, dataset), gradient, config.engine) in have


@pytest.mark.parametrize("config", warm.warmable(), ids=lambda config: f"{config.dataset}-{config.gradient}")
def test_one_batch_of_stand_ins_is_trained(config, monkeypatch):
    ran = []
    monkeypatch.setattr(warm, "fit", lambda *parts, **rest: ran.append((parts, rest)))
    warm.warm(config)
    ((network, _, train, validation, how), rest) = ran[0]
    assert len(train) == len(validation) == 16
    assert how.epochs == 1
    assert how.batch_size >= 1
    assert train.inputs.n_events >= 4 * 16
    assert train.inputs.dt == config.dt
    assert rest["progress"] is False
    if config.form in GENERATED and config.engine == "grid":  # kernels that all other tests compile anyway
        fit(network, *ran[0][0][1:], **rest)


@pytest.mark.slow
def test_a_training_after_a_warmup_compiles_nothing(tmp_path):
    environment = os.environ | {"RANVIER_CACHE": str(tmp_path)}

    def ranvier(*arguments):
        command = [sys.executable, "-m", "ranvier", *arguments, "--json"]
        return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    told = ranvier("warmup")
    assert told["kernels"] == told["new_kernels"] > 20
    files = {path for path in (tmp_path / "kernels").rglob("*") if path.is_file()}
    for number, options in enumerate(([], ["--engine", "grid"], ["--gradient", "surrogate"])):
        ranvier("train", "yinyang", *options, "--epochs", "1", "--out", str(tmp_path / f"run{number}"))
        ranvier("train", "yinyang-delays", "--epochs", "1", "--out", str(tmp_path / f"delays{number}"))
    assert {path for path in (tmp_path / "kernels").rglob("*") if path.is_file()} == files
    assert ranvier("warmup")["new_kernels"] == 0
