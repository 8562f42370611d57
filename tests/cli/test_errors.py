"""Everything a user can get wrong: one sentence, the right exit code, nothing on standard output."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Outcome

YINYANG = ("train", "yinyang")
ON_GRID = (*YINYANG, "--engine", "grid")

BAD_USAGE = {
    "nothing": ((), "train, evaluate, check, encode, warmup, info"),
    "unknown command": (("tarin",), "tarin"),
    "no data set": (("train",), "must be named"),
    "unknown data set": (("train", "cifar"), "cifar"),
    "two data sets": ((*YINYANG, "mnist"), "mnist"),
    "unknown option": ((*YINYANG, "--momentum", "1"), "--momentum"),
    "option without value": ((*YINYANG, "--epochs"), "--epochs"),
    "no number": ((*YINYANG, "--epochs", "many"), "--epochs"),
    "half an epoch": ((*YINYANG, "--epochs", "1.5"), "--epochs"),
    "no epochs": ((*YINYANG, "--epochs", "0"), "--epochs must be a whole number"),
    "negative hidden": ((*YINYANG, "--hidden", "-3"), "--hidden must be a whole number"),
    "endless hidden": ((*YINYANG, "--hidden", "1000000000"), "--hidden"),
    "negative seed": ((*YINYANG, "--seed", "-1"), "--seed must be"),
    "no batch": ((*YINYANG, "--batch-size", "0"), "--batch-size must be"),
    "no threads": ((*YINYANG, "--threads", "0"), "--threads must be"),
    "dt nan": ((*ON_GRID, "--dt", "nan"), "--dt must be a finite number > 0. Got nan."),
    "dt zero": ((*ON_GRID, "--dt", "0"), "--dt must be a finite number > 0"),
    "dt beyond the sample": ((*ON_GRID, "--dt", "0.07"), "--dt must divide a sample of 0.06 s"),
    "dt tiny": ((*ON_GRID, "--dt", "1e-12"), "--dt must divide"),
    "dt without effect": ((*YINYANG, "--dt", "0.001"), "--dt must not be given with --engine exact"),
    "unknown engine": ((*YINYANG, "--engine", "clocked"), "clocked"),
    "surrogate in continuous time": (
        (*YINYANG, "--gradient", "surrogate", "--engine", "exact"),
        "--gradient surrogate needs --engine grid",
    ),
    "unknown delays": (("train", "yinyang-delays", "--delays", "dendritic"), "dendritic"),
    "delays without effect": ((*YINYANG, "--delays", "axonal"), "--delays needs the data set yinyang-delays."),
    "bias without effect": (("train", "mnist", "--bias-spike"), "--bias-spike needs the data set yinyang-delays."),
    "delays on a grid": (("train", "yinyang-delays", "--engine", "grid"), "--engine of yinyang-delays must be exact"),
    "delays with a surrogate": (
        ("train", "yinyang-delays", "--gradient", "surrogate"),
        "--gradient of yinyang-delays must be eventprop",
    ),
    "rate infinite": ((*YINYANG, "--learning-rate", "inf"), "--learning-rate must be a finite number"),
    "unknown gradient": ((*YINYANG, "--gradient", "exact"), "exact"),
    "unknown surrogate": ((*YINYANG, "--gradient", "surrogate", "--surrogate", "box"), "box"),
    "surrogate without effect": (
        (*YINYANG, "--surrogate", "esser"),
        "--surrogate needs --gradient surrogate",
    ),
    "surrogate with eventprop": (
        (*YINYANG, "--surrogate", "esser", "--gradient", "eventprop"),
        "--surrogate needs --gradient surrogate",
    ),
    "data folder without effect": ((*YINYANG, "--data-dir", "x"), "--data-dir has no effect on yinyang"),
    "data folder without effect on delays": (
        ("train", "yinyang-delays", "--data-dir", "x"),
        "--data-dir has no effect on yinyang-delays",
    ),
    "resume with --bias-spike": (
        ("train", "--resume", "run", "--bias-spike"),
        "--bias-spike must not accompany --resume",
    ),
    "data folder without effect, resumed": (
        (*YINYANG, "--data-dir", "x", "--resume", "run"),
        "--data-dir has no effect on yinyang",
    ),
    "resume without epochs": (("train", "--resume", "run", "--epochs", "0"), "--epochs must be"),
    "resume with endless epochs": (("train", "--resume", "run", "--epochs", "9" * 12), "--epochs must be"),
    "evaluate nothing": (("evaluate",), "must be named"),
    **{
        f"resume with {option}": (
            ("train", "--resume", "run", option, value),
            f"{option} must not accompany --resume",
        )
        for option, value in {
            "--gradient": "eventprop",
            "--engine": "exact",
            "--delays": "none",
            "--surrogate": "esser",
            "--seed": "0",
            "--hidden": "12",
            "--dt": "0.002",
            "--batch-size": "16",
            "--learning-rate": "0.005",
            "--threads": "1",
            "--out": "new",
        }.items()
    },
}


def check(outcome: Outcome, code: int, words: str) -> None:
    assert outcome.code == code, outcome
    assert outcome.out == ""
    said = outcome.err.splitlines()[-1]
    assert said.startswith("ranvier: ")
    assert said.endswith(".")
    assert words in said
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("arguments", "words"), BAD_USAGE.values(), ids=BAD_USAGE.keys())
def test_bad_usage_is_2_whatever_the_disk_holds(ranvier: Command, arguments: tuple[str, ...], words: str) -> None:
    outcome = ranvier(*arguments)
    check(outcome, 2, words)
    assert len(outcome.err.splitlines()) == 1
    assert list(Path.cwd().iterdir()) == []


def test_a_used_folder_is_not_overwritten(ranvier: Command) -> None:
    Path("used").mkdir()
    Path("used/file").write_text("mine")
    check(ranvier(*YINYANG, "--out", "used"), 1, "--out must name a new or empty folder")
    assert [path.name for path in Path("used").iterdir()] == ["file"]


def test_an_empty_folder_is_welcome(ranvier: Command) -> None:
    Path("empty").mkdir()
    assert ranvier(*YINYANG, "--epochs", 1, "--out", "empty").code == 0


@pytest.mark.parametrize("out", ["file", "file/run", "/proc/ranvier"])
def test_an_unwritable_folder_is_1(ranvier: Command, out: str) -> None:
    Path("file").write_text("")
    check(ranvier(*YINYANG, "--out", out), 1, "must be writable")


def test_runs_being_a_file_is_1(ranvier: Command) -> None:
    Path("runs").write_text("")
    check(ranvier(*YINYANG), 1, "must be writable")


@pytest.mark.parametrize("command", [("train", "--resume"), ("evaluate",)], ids=["resume", "evaluate"])
@pytest.mark.parametrize("folder", ["missing", "empty", "file"])
def test_a_missing_run_is_1(ranvier: Command, command: tuple[str, ...], folder: str) -> None:
    Path("empty").mkdir()
    Path("file").write_text("")
    check(ranvier(*command, folder), 1, "must be the folder of a run")


@pytest.mark.parametrize("command", [("train", "--resume"), ("evaluate",)], ids=["resume", "evaluate"])
@pytest.mark.parametrize(
    "change",
    [
        None,
        {"epochs": 0},
        {"epochs": None},
        {"dataset": "cifar"},
        {"dt": "fast"},
        {"bias_spike": "yes"},
        {"hidden_weights": 3},
        {"hidden_weights": ["a", "b"]},
        {"more": 1},
        {"drop": None},
    ],
    ids=str,
)
def test_a_damaged_configuration_is_1(ranvier: Command, command: tuple[str, ...], change: dict | None) -> None:
    ranvier(*YINYANG, "--epochs", 1, "--out", "run")
    path = Path("run/config.json")
    text = path.read_text()
    path.write_text(text[:50] if change is None else json.dumps(json.loads(text) | change))
    check(ranvier(*command, "run"), 1, "run/config.json must be as it was written")


def test_another_data_set_than_the_runs_is_1(ranvier: Command) -> None:
    ranvier(*YINYANG, "--epochs", 1, "--out", "run")
    check(ranvier("train", "mnist", "--resume", "run"), 1, "Got one of yinyang.")
    check(ranvier("train", "--resume", "run", "--data-dir", "x"), 1, "--data-dir has no effect on run")
    check(ranvier("evaluate", "run", "--data-dir", "x"), 1, "--data-dir has no effect on run")


@pytest.mark.parametrize("command", [("train", "--resume"), ("evaluate",)], ids=["resume", "evaluate"])
def test_a_run_with_only_damaged_checkpoints_is_1(ranvier: Command, command: tuple[str, ...]) -> None:
    ranvier(*YINYANG, "--out", "run")
    Path("run/result.json").unlink()
    for name in ("last.pt", "previous.pt"):
        Path("run", name).write_bytes(b"x")
    check(ranvier(*command, "run"), 1, "Got damaged last.pt and previous.pt.")


def test_a_run_without_checkpoint_cannot_be_evaluated(ranvier: Command) -> None:
    ranvier(*YINYANG, "--epochs", 1, "--out", "run")
    Path("run/last.pt").unlink()
    check(ranvier("evaluate", "run"), 1, "has not finished its first epoch")


def test_missing_data_is_1_and_named(ranvier: Command) -> None:
    Path("here").mkdir()
    outcome = ranvier("train", "mnist", "--data-dir", "here", "--out", "run")
    check(outcome, 1, "t10k-labels-idx1-ubyte.gz")
    assert not Path("run").exists()


@pytest.mark.parametrize("damage", ["truncated", "wrong magic"])
def test_damaged_data_is_1_and_named(ranvier: Command, mnist: Path, damage: str) -> None:
    path = mnist / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:50])
    if damage == "wrong magic":
        path.unlink()
        (mnist / "t10k-images-idx3-ubyte").write_bytes(b"no idx file")
    check(ranvier("train", "mnist", "--data-dir", mnist), 1, "t10k-images-idx3-ubyte")


def test_standard_output_that_takes_nothing_is_1() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ranvier", "info", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    check(Outcome(done.returncode, "", done.stderr), 1, "Standard output must be writable")
    assert len(done.stderr.splitlines()) == 1
