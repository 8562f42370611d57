"""`ranvier encode` as the shell sees it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Command
from tests.cli.test_errors import check
from tests.data.audio.files import folder_of_digits, strange_files

SMALL = ("--channels", "20")
BAD_USAGE = {
    "nothing": (("--out", "s.h5"), "Recordings, or folders of them, must be named. Got none."),
    "no output": (("digits",), "--out must name the new file. Got none."),
    "no channels": (
        ("digits", "--out", "s.h5", "--channels", "0"),
        "--channels must be a whole number from 1 to 65536",
    ),
    "many channels": (("digits", "--out", "s.h5", "--channels", "65537"), "--channels must be a whole number"),
    "negative seed": (("digits", "--out", "s.h5", "--seed", "-1"), "--seed must be a whole number from 0"),
    "no jobs": (("digits", "--out", "s.h5", "--jobs", "0"), "--jobs must be a whole number from 1"),
    "unknown label": (("digits", "--out", "s.h5", "--label-from", "tags"), "tags"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_USAGE.values(), ids=BAD_USAGE.keys())
def test_bad_usage_is_2(ranvier: Command, arguments: tuple[str, ...], words: str) -> None:
    check(ranvier("encode", *arguments), 2, words)


def test_a_folder_becomes_a_file(ranvier: Command) -> None:
    folder_of_digits(Path("digits"))
    outcome = ranvier("encode", "digits", "--out", "s.h5", *SMALL, "--json")
    assert outcome.code == 0
    result = outcome.result
    assert result["recordings"] == 8
    assert result["skipped"] == []
    assert result["classes"] == ["0", "1"]
    assert result["speakers"] == ["ann", "bob"]
    assert result["covered_channels"] == {"8000 Hz": 13}
    assert result["spikes_per_recording"] > 10
    assert outcome.err == (
        "Recordings at 8000 Hz reach 13 of 20 channels: the first 7 answer to tones above 4000 Hz "
        "and hardly to these recordings.\n"
    )
    with h5py.File("s.h5") as file:
        assert sum(map(len, file["spikes/units"])) == 8 * result["spikes_per_recording"]
    check(ranvier("encode", "digits", "--out", "s.h5", *SMALL), 1, "--out must name a new file. Got s.h5, which exists")


def test_labels_from_folders_and_several_inputs(ranvier: Command) -> None:
    for word, speaker in (("bed", "ann"), ("cat", "bob")):
        Path("words", word).mkdir(parents=True)
        soundfile.write(f"words/{word}/{speaker}_nohash_0.wav", np.ones(500), 16_000)
    result = ranvier("encode", "words", "--out", "s.h5", "--label-from", "folder", *SMALL, "--json").result
    assert (result["classes"], result["speakers"]) == (["bed", "cat"], ["ann", "bob"])
    paths = ("words/cat/bob_nohash_0.wav", "words/bed/ann_nohash_0.wav")
    result = ranvier("encode", *paths, "--out", "t.h5", *SMALL, "--jobs", "2", "--json").result
    assert result["classes"] == ["ann", "bob"]
    with h5py.File("t.h5") as file:
        assert [name.decode() for name in file["extra/files"]] == sorted(paths)


def test_unreadable_files_are_left_out_told_and_end_with_1(ranvier: Command) -> None:
    unreadable = strange_files(Path("strange"))
    outcome = ranvier("encode", "strange", "--out", "s.h5", *SMALL, "--json")
    assert outcome.code == 1
    assert outcome.result["recordings"] == 8
    assert len(outcome.result["skipped"]) == 4
    for name in unreadable:
        assert any(line.startswith(f"Left out {name}: ") for line in outcome.err.splitlines())
        assert any(line.startswith(f"{name} (") for line in outcome.result["skipped"])
    assert "1 recordings are silent: silence_a_0.wav." in outcome.err
    assert "2 recordings are clipped: clipped_a_0.wav, float_a_0.wav." in outcome.err
    assert "Traceback" not in outcome.err


def test_the_seed_and_the_direction_matter(ranvier: Command) -> None:
    folder_of_digits(Path("digits"), n=1)
    for out, more in (("a.h5", ()), ("b.h5", ("--seed", "1")), ("c.h5", ("--causal",))):
        assert ranvier("encode", "digits", "--out", out, *SMALL, *more).code == 0
    first, second, third = ([units.tolist() for units in h5py.File(f"{name}.h5")["spikes/units"]] for name in "abc")
    assert all(first)
    assert first != second
    assert first != third


@pytest.mark.parametrize("inputs", [("missing",), ("empty",), ("text",)])
def test_without_recordings_there_is_no_file(ranvier: Command, inputs: tuple[str, ...]) -> None:
    Path("empty").mkdir()
    Path("text").mkdir()
    Path("text/a_b_1.wav").write_text("no sound")
    outcome = ranvier("encode", *inputs, "--out", "s.h5")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "Got none" in outcome.err or "Got a folder without any" in outcome.err
    assert not Path("s.h5").exists()


def test_the_missing_extra_is_named(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of_digits(Path("digits"), n=1)
    monkeypatch.setitem(sys.modules, "h5py", None)
    check(
        ranvier("encode", "digits", "--out", "s.h5"), 1, "Sound needs the extra `audio`: pip install 'ranvier[audio]'."
    )


def test_a_killed_process_loses_nothing_and_changes_nothing(ranvier: Command) -> None:
    folder_of_digits(Path("digits"), n=12)
    assert ranvier("encode", "digits", "--out", "whole.h5", *SMALL).code == 0
    command = [sys.executable, "-m", "ranvier", "encode", "digits", *SMALL, "--out", "killed.h5"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    part, deadline = Path("killed.h5.part"), time.monotonic() + 200
    while process.poll() is None and not (part.exists() and part.stat().st_size > 4000):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert not Path("killed.h5").exists()
    assert 0 < ranvier("encode", "digits", "--out", "killed.h5", *SMALL, "--json").result["resumed"] < 48
    assert Path("killed.h5").read_bytes() == Path("whole.h5").read_bytes()
    assert not part.exists()


def test_an_interrupted_command_says_how_to_go_on(ranvier: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from ranvier.data.audio import conversion

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    folder_of_digits(Path("digits"), n=1)
    with monkeypatch.context() as patched:
        patched.setattr(conversion.layout, "write", interrupted)
        outcome = ranvier("encode", "digits", "--out", "s.h5", *SMALL)
    check(outcome, 130, "Interrupted. Continue with: the same command.")
    assert ranvier("encode", "digits", "--out", "s.h5", *SMALL, "--json").result["resumed"] == 4
