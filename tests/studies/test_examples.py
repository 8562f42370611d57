"""The examples that need no run do what they say."""

import json
import runpy
from pathlib import Path

import pytest


def test_yinyang_with_delays_learns(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "yinyang_delays.py"))
    example["main"](["3", "--epochs", "2"])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["seed"] == 3
    assert found["test_accuracy"] > 0.8
    assert found["spikes_per_sample"]["hidden"] > 10
