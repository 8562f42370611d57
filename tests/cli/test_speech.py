"""`ranvier train` and its relatives on speech, as the shell sees them."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from ranvier.training import checkpoint
from tests.cli.conftest import Command
from tests.cli.test_errors import check
from tests.data.audio.files import folder_of_digits
from tests.studies.speech_data import CHANNELS, easy_words

WORDS = ("--channels", CHANNELS)
BAD_USAGE = {
    "no file": (("train", "spikes:"), "A data set must be named: yinyang,"),
    "unknown kind": (("train", "mp3:a"), "Got mp3:a."),
    "no fsdd": (("train", "fsdd"), "--data-dir must name the folder with the zip file of fsdd. Got none."),
    "data folder without effect": (
        ("train", "spikes:a.h5", "--data-dir", "x"),
        "--data-dir has no effect on spikes:a.h5, whose name says where its files are.",
    ),
    "continuous time": (("train", "shd", "--engine", "exact"), "--engine of shd must be grid. Got exact."),
    "no channels": (("train", "spikes:a.h5", "--channels", "0"), "--channels must be a whole number from 1"),
    "channels of shd": (("train", "shd", "--channels", "70"), "--channels needs the data set fsdd or spikes:FILE.h5"),
    "no copies": (("train", "shd", "--delay-line", "0"), "--delay-line must be a whole number from 1"),
    "speaker of shd": (("train", "shd", "--leave-out", "1"), "--leave-out needs the data set fsdd or"),
    "split of fsdd": (("train", "fsdd", "--data-dir", "x", "--split-seed", "1"), "--split-seed needs the data set"),
    "labels of a file": (("train", "spikes:a.h5", "--label-from", "folder"), "--label-from needs the data set audio"),
    "unknown loss": (("train", "shd", "--loss", "hinge"), "hinge"),
    "loss of yinyang": (("train", "yinyang", "--loss", "linear"), "--loss needs a data set of speech"),
    "resume with --loss": (("train", "--resume", "run", "--loss", "linear"), "--loss must not accompany --resume"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_USAGE.values(), ids=BAD_USAGE.keys())
def test_bad_usage_is_2(ranvier: Command, arguments: tuple[str, ...], words: str) -> None:
    check(ranvier(*arguments), 2, words)


@pytest.mark.parametrize("gradient", ["eventprop", "surrogate"])
def test_a_file_is_trained_resumed_and_evaluated(ranvier: Command, gradient: str) -> None:
    easy_words(Path("easy.h5"), 40)
    named = ("train", "spikes:easy.h5", "--gradient", gradient, *WORDS, "--json")
    whole = ranvier(*named, "--epochs", 3, "--out", "whole")
    assert whole.code == 0, whole.err
    assert whole.result["spikes_per_sample"]["hidden"] > 0
    assert whole.result["backend"] == "numba"
    assert json.loads(Path("whole/config.json").read_text())["dataset"] == f"spikes:{Path('easy.h5').absolute()}"
    first = ranvier(*named, "--epochs", 1, "--out", "run")
    assert first.code == 0, first.err
    longer = ranvier("train", "spikes:easy.h5", "--resume", "run", "--epochs", 3, "--json")
    assert longer.code == 0, longer.err
    weights = [checkpoint.load(Path(folder, "last.pt"))["network"] for folder in ("whole", "run")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    again = ranvier("evaluate", "run", "--json").result
    for name in ("test_accuracy", "test_loss", "spikes_per_sample"):
        assert again[name] == whole.result[name] == longer.result[name]
    check(ranvier("train", "spikes:other.h5", "--resume", "run"), 1, "as named. Got one of spikes:")
    check(ranvier("evaluate", "run", "--data-dir", "x"), 1, "--data-dir has no effect on run")
    Path("easy.h5").unlink()
    check(ranvier("evaluate", "run"), 1, "easy.h5 must be a whole HDF5 file. Got: no such file")


def test_the_auditor_says_why_it_has_no_verdict(ranvier: Command) -> None:
    """On a grid of 2 ms neurons spike less often than without one, and so there is nothing to compare."""
    easy_words(Path("easy.h5"), 40)
    outcome = ranvier("check", "spikes:easy.h5", "--gradient", "surrogate", *WORDS, "--samples", 1, "--json")
    assert (outcome.code, outcome.result["status"]) == (1, "refused"), outcome.err
    assert "make dt smaller than 0.002 s" in outcome.result["verdict"]


@pytest.mark.filterwarnings("always:.*left out")
def test_a_folder_of_recordings_is_trained(ranvier: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranvier.data.audio.cached.cache", lambda: tmp_path / "encoded")
    folder_of_digits(Path("digits"), n=5, seconds=0.03)
    outcome = ranvier("train", "audio:digits", *WORDS, "--epochs", 1, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.result["spikes_per_sample"]["hidden"] > 0
    assert Path(outcome.result["run_dir"]).name.startswith("audio-")
    Path("digits/9_eve_0.wav").write_text("no sound")
    told = ranvier("train", "audio:digits", *WORDS, "--epochs", 1)
    assert told.code == 0, told.err
    assert "1 of 21 recordings were left out; the first, 9_eve_0.wav, holds no sound that can be read" in told.err
    check(ranvier("train", "audio:nowhere", *WORDS), 1, "nowhere must be a folder of recordings. Got none.")


def test_data_that_are_not_there_are_1(ranvier: Command) -> None:
    Path("here").mkdir()
    check(ranvier("train", "shd", "--data-dir", "here"), 1, "shd_train.h5")
    check(ranvier("train", "fsdd", "--data-dir", "here"), 1, "without it")
    check(ranvier("train", "audio:here"), 1, "must hold wav or flac files")
    Path("text.h5").write_text("no HDF5")
    check(ranvier("train", "spikes:text.h5"), 1, "text.h5 must be a whole HDF5 file")
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_a_raster_is_drawn(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    easy_words(Path("easy.h5"), 40)
    assert ranvier("train", "spikes:easy.h5", *WORDS, "--epochs", 1, "--out", "run").code == 0
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "speech_raster.py"))
    title = example["draw"](Path("run"), 0, Path("raster.png"))
    assert title.startswith(("low, heard as ", "high, heard as "))
    assert Path("raster.png").read_bytes().startswith(b"\x89PNG")
