"""`ranvier train` in several processes: as torchrun starts them, or started here with the variables it sets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.cli import launch, main
from ranvier.training import checkpoint
from tests.cli.conftest import Outcome
from tests.training.tiny import distance, equal

SMALL = ("train", "yinyang", "--engine", "grid", "--dt", "0.002", "--hidden", "12", "--batch-size", "250")
AGREE = ("test_accuracy", "train_accuracy", "best_validation", "test_ties", "spikes_per_sample")
KILLED = """
import os, signal
from ranvier.training.keeper import Keeper
Keeper.keep = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # the second process's: it keeps nothing
"""
MISTAKEN = """
from ranvier.cli import train
from ranvier.errors import DataError
def study(*_):
    raise DataError("The data must be everywhere. Got none in the second process.")
train.study = study
"""
SOURCE = str(Path(__file__).parents[2] / "src")


def environment(**changes: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return known | {"PYTHONPATH": SOURCE} | changes


def start(folder: Path, *arguments: str, second: str = "") -> list[subprocess.Popen[str]]:
    """Two processes of the command; `second` is code that the second one runs before."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = f"import sys; from ranvier.cli import main; sys.exit(main({[str(argument) for argument in arguments]!r}))"
    return [
        subprocess.Popen(
            [sys.executable, "-c", f"{second if index else ''}\n{run}"],
            cwd=folder,
            env=environment(RANK=f"{index}", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=f"{port}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def ends(processes: list[subprocess.Popen[str]]) -> list[Outcome]:
    said = [process.communicate(timeout=300) for process in processes]
    return [Outcome(process.returncode, *told) for process, told in zip(processes, said, strict=True)]


def torchrun(folder: Path, *arguments: str, **changes: str) -> Outcome:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "ranvier", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(**changes), capture_output=True, text=True, timeout=600)
    return Outcome(done.returncode, done.stdout, done.stderr)


def agree(folder: Path, result: dict[str, Any], alone: dict[str, Any]) -> None:
    assert result["spikes_per_sample"]["hidden"] > 0
    for name in AGREE:
        assert result[name] == alone[name], name
    for name in ("loss", "test_loss"):
        assert result[name] == pytest.approx(alone[name], rel=1e-5), name
    got, expected = (
        list(checkpoint.load(folder / run["run_dir"] / "last.pt")["network"].values()) for run in (result, alone)
    )
    assert distance(got, expected) < 1e-6


def test_two_processes_give_the_result_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*SMALL, "--epochs", "1", "--json")
    started = start(tmp_path, *arguments, "--out", "together")
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--out", "alone", "--threads", "1"]) == 0
    alone = json.loads(capsys.readouterr().out)
    first, second = ends(started)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert (second.out, second.err) == ("", "")
    assert len(first.out.splitlines()) == 1
    assert sum("epoch 1/1" in line for line in first.err.splitlines()) == 1
    agree(tmp_path, first.result, alone)
    assert {path.name for path in tmp_path.iterdir()} == {"alone", "together"}
    assert names("alone") == names("together")
    assert main(["train", "--resume", "together", "--epochs", "2"]) == 1
    assert "must go on with as many processes as it was started with, 2. Got 1." in capsys.readouterr().err


def names(folder: str) -> set[str]:
    """Of the files in a run's folder; TensorBoard's has the time and a counter in its own."""
    return {"events" if path.name.startswith("events") else path.name for path in Path(folder).iterdir()}


def test_one_process_tells_of_an_error(tmp_path: Path) -> None:
    killed = start(tmp_path, *SMALL, "--epochs", "50", "--out", "killed", second=KILLED)
    first, second = ends(start(tmp_path, *SMALL, "--out", "mistaken", second=MISTAKEN))
    assert (first.code, second.code) == (1, 1)
    assert second.err == "ranvier: The data must be everywhere. Got none in the second process.\n"
    assert "Training stopped" not in first.err
    assert "everywhere" not in first.err
    first, second = ends(killed)
    assert (first.code, first.out, second.code) == (1, "", -signal.SIGKILL)
    last = first.err.splitlines()[-1]
    assert last.startswith("ranvier: Training stopped because another of its processes ended")
    assert last.endswith(" Continue with: torchrun --nproc-per-node 2 -m ranvier train --resume killed")
    assert "Traceback" not in first.err
    assert checkpoint.load(tmp_path / "killed" / "last.pt")["epoch"] >= 1


def test_wrong_usage_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for index in ("0", "1"):
        for name, value in {"RANK": index, "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
            monkeypatch.setenv(name, value)
        assert main(["train", "cifar"]) == 2
        told.append(capsys.readouterr().err)
    assert "cifar" in told[0]
    assert told[1] == ""


def test_processes_share_the_processors(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.threads() == torch.get_num_threads()
    launch.say_if_crowded(10**6)
    assert capsys.readouterr().err == ""
    settings = {"RANK": "0", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for processors, share in ((1, 1), (4, 1), (11, 2), (16, 4)):
        monkeypatch.setattr(launch, "_processors", lambda processors=processors: processors)
        assert launch.threads() == share
    launch.say_if_crowded(4)
    assert capsys.readouterr().err == ""
    launch.say_if_crowded(5)
    assert capsys.readouterr().err == (
        "ranvier: This machine has fewer processors than threads: 16 for 20, 5 in each of 4 processes.\n"
    )


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    """From cold kernels, which both processes compile at once."""
    arguments = ("train", "yinyang", "--engine", "grid", "--dt", "1e-3", "--json")
    cold = {"RANVIER_CACHE": str(tmp_path / "cache")}
    together = torchrun(tmp_path, *arguments, "--epochs", "1", "--out", "together", **cold)
    assert together.code == 0, together.err
    command = [sys.executable, "-m", "ranvier", *arguments, "--threads", "1", "--epochs", "1", "--out", "alone"]
    alone = subprocess.run(command, cwd=tmp_path, env=environment(**cold), capture_output=True, check=True)
    agree(tmp_path, together.result, json.loads(alone.stdout))


@pytest.mark.slow
def test_torchrun_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole = torchrun(tmp_path, *SMALL, "--epochs", "6", "--out", "whole", "--json")
    assert whole.code == 0, whole.err
    started = start(tmp_path, *SMALL, "--epochs", "6", "--out", "parts", second=KILLED)
    assert [end.code for end in ends(started)] == [1, -signal.SIGKILL]
    parts = torchrun(tmp_path, "train", "--resume", "parts", "--json")
    assert parts.code == 0, parts.err
    assert parts.result["loss"] == whole.result["loss"]
    got, expected = (checkpoint.load(tmp_path / name / "last.pt")["network"] for name in ("parts", "whole"))
    assert equal(list(got.values()), list(expected.values()))
