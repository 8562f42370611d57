"""Runs in-process on settings cut down to fractions of a second."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ranvier.cli import main
from ranvier.studies import SPEECH
from ranvier.studies.table import TABLE


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def ranvier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for key, config in TABLE.items():
        small: dict[str, Any] = {"epochs": 2, "hidden": 12, "batch_size": 16, "threads": 1}
        if config.engine == "grid":
            small["dt"] = 2e-3
        if config.dataset == "yinyang":
            small |= {"n_train": 64, "hidden_weights": (2.0, 0.78), "output_weights": (2.5, 0.5)}
        elif config.dataset == "yinyang-delays":
            small["n_train"] = 64
        elif config.form not in SPEECH:
            small |= {"hidden_weights": (1.0, 0.5)}
        if config.form in SPEECH:
            small |= {"duration": 0.1, "learning_rate": 1e-2, "ease_in": None}
            if config.xi is None:  # 1.0 and 0.5 for 16 channels
                small |= {"hidden_weights": (16 / 700, 8 / 700)}
        monkeypatch.setitem(TABLE, key, replace(config, **small))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # slow, and tested in tests/training
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Four small IDX files in MNIST's form: more than 5000 training images, the first of which are for validation."""
    import gzip

    import numpy as np

    folder, random = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    for part, n_images in (("train", 5032), ("t10k", 20)):
        for kind, shape, high in (("images-idx3", (n_images, 4, 4), 256), ("labels-idx1", (n_images,), 10)):
            values = random.integers(0, high, shape, dtype=np.uint8)
            header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
            path = folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + values.tobytes(), 1))
    return folder
