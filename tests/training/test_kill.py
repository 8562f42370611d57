"""A real process, really killed."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ranvier.training import FitConfig, checkpoint, fit
from ranvier.training.metrics import kept_lines
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights

CONFIG = FitConfig(epochs=30, batch_size=10, threads=1)


def train(folder: Path) -> list[torch.Tensor]:
    network = tiny_network()
    fit(
        network,
        LOSS,
        tiny_data(60, 42),
        tiny_data(20, 41),
        CONFIG,
        run_dir=folder,
        resume=True,
        progress=False,
    )
    return weights(network)


def start(folder: Path) -> subprocess.Popen[bytes]:
    code = f"from pathlib import Path; from tests.training.test_kill import train; train(Path({str(folder)!r}))"
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE)


def killed(folder: Path, delay: float) -> None:
    known = len(kept_lines(folder / "metrics.jsonl", 99))
    process = start(folder)
    deadline = time.monotonic() + 120
    while len(kept_lines(folder / "metrics.jsonl", 99)) <= known and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said.decode()


def check(tmp_path: Path, n_kills: int) -> None:
    chance = random.Random(n_kills)
    folder = tmp_path / "killed"
    for _ in range(n_kills):
        killed(folder, chance.uniform(0, 0.1))
    loaded = checkpoint.load_last(folder)
    assert loaded is not None
    assert 0 < loaded.content["epoch"] <= CONFIG.epochs
    assert equal(train(folder), train(tmp_path / "whole"))
    assert [line[:12] for line in kept_lines(folder / "metrics.jsonl", 99)] == [
        line[:12] for line in kept_lines(tmp_path / "whole" / "metrics.jsonl", 99)
    ]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == CONFIG.epochs


def test_a_killed_and_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    check(tmp_path, 2)


@pytest.mark.slow
def test_killed_many_times(tmp_path: Path) -> None:
    check(tmp_path, 25)
