"""The program as the shell sees it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import ranvier as package
from tests.cli.conftest import Command


def test_info(ranvier: Command) -> None:
    plain, as_json = ranvier("info"), ranvier("info", "--json")
    result = as_json.result
    assert result["version"] == package.__version__
    assert result["threads"] == torch.get_num_threads()
    assert result["backends"] == ["numba", "reference"]
    assert "cache" in result
    assert package.__version__ in plain.out
    assert plain.err + as_json.err == ""


def test_warmup_tells_what_it_compiled(ranvier: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    warmed = []

    def warm(config: Any) -> None:
        warmed.append(config.dataset)
        (tmp_path / "kernels" / f"{len(warmed)}.py").write_text("")

    monkeypatch.setattr("ranvier.studies.warm.warm", warm)
    result = ranvier("warmup", "--json").result
    assert {"yinyang", "yinyang-delays", "mnist", "shd"} <= set(warmed)
    assert result["new_kernels"] == result["kernels"] == len(warmed)
    assert result["cache"] == str(tmp_path / "kernels")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "file"))
    outcome = ranvier("warmup")
    assert outcome.code == 1
    assert "must be writable" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help",), ["train", "evaluate", "check", "info"]),
        (
            ("train", "--help"),
            [
                *(
                    "{yinyang,yinyang-delays,mnist,fashion-mnist,fsdd,shd,ssc,spikes:FILE.h5,",
                    "--gradient {eventprop,surrogate}",
                    "--engine {grid,exact}",
                    "--delays {none,axonal,synaptic}",
                    "--bias-spike",
                    "--epochs N",
                    "--seed N",
                ),
                *(
                    "--surrogate {superspike,sigmoid,esser}",
                    "--hidden N",
                    "--dt S",
                    "--data-dir D",
                    "--out DIR",
                ),
                *("--resume DIR", "--json"),
            ],
        ),
        (("evaluate", "--help"), ["RUN", "--json"]),
    ],
    ids=" ".join,
)
def test_help(ranvier: Command, arguments: tuple[str, ...], words: list[str]) -> None:
    outcome = ranvier(*arguments)
    assert outcome.code == 0
    assert outcome.err == ""
    for word in words:
        assert word in outcome.out


def test_help_and_bad_usage_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from ranvier.cli import main; "
        "assert main(['train', '--help']) == 0; assert main(['train', 'yinyang', '--epochs', '0']) == 2; "
        "sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr


def test_an_interrupted_process_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ranvier", "train", "yinyang", "--epochs", "1000", "--hidden", "8"]
    process = subprocess.Popen(
        [*command, "--engine", "grid", "--dt", "2e-3", "--threads", "1", "--out", "run", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        # jobs that a shell runs in the background ignore SIGINT, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "last.pt").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "ranvier: Interrupted. Continue with: ranvier train --resume run"
    assert "Traceback" not in err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 1000
