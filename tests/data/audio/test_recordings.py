"""What is found, and what names tell."""

from pathlib import Path

import numpy as np
import pytest

from ranvier.data.audio.recordings import Recording, classes, decode, find
from ranvier.errors import DataError
from tests.data.audio.files import folder_of_digits, strange_files


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("name", "label_from", "label", "speaker"),
    [
        ("7_george_12.wav", "name", "7", "george"),
        ("7_de_la_mar_12.wav", "name", "7", "de_la_mar"),
        ("seven_12.wav", "name", "seven", None),
        ("seven.FLAC", "name", "seven", None),
        ("bed/0a7c2a8d_nohash_0.wav", "folder", "bed", "0a7c2a8d"),
        ("a/bed/12.wav", "folder", "bed", None),
    ],
)
def test_labels_and_speakers(tmp_path, name, label_from, label, speaker):
    (found,) = find([made(tmp_path, name)], label_from)
    assert found == Recording(tmp_path / name, name, label, speaker)
    assert find([tmp_path / name], label_from)[0][2:] == (label, speaker)


def test_folders_are_searched_and_files_taken_as_they_are(tmp_path):
    made(tmp_path, "one/b_1.wav", "one/deep/a_2.flac", "one/c.txt", "two/b_1.wav", "odd.sound")
    names = [r.name for r in find([tmp_path / "one"], "name")]
    assert names == ["b_1.wav", "deep/a_2.flac"]
    inputs = [tmp_path / "two", tmp_path / "one", tmp_path / "odd.sound", tmp_path / "one/b_1.wav"]
    names = [r.name for r in find(inputs, "name")]
    assert names == sorted([str(tmp_path / "odd.sound"), "one/b_1.wav", "one/deep/a_2.flac", "two/b_1.wav"])


def test_classes_are_in_numerical_order_where_they_are_numbers():
    def of(*labels):
        return classes(Recording(Path(), "", label, None) for label in labels)

    assert of("10", "9", "0", "9") == ["0", "9", "10"]
    assert of("zero", "one", "10") == ["10", "one", "zero"]


@pytest.mark.parametrize(
    ("names", "given", "words"),
    [
        ((), ["missing"], "missing must be a sound file or a folder of them. Got none"),
        (("a/notes.txt",), ["a"], "a must hold wav or flac files. Got a folder without any"),
        (("_x_1.wav",), ["."], "must have a name that begins with its label. Got none"),
        (("a/x/1.wav", "b/x/1.wav"), ["a/x", "b/x"], "Got x/1.wav from two folders of the same name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, monkeypatch, names, given, words):
    made(tmp_path, *names)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=words):
        find([Path(one) for one in given], "name")


def test_every_kind_of_file(tmp_path):
    unreadable = strange_files(tmp_path / "strange")
    sounds = {}
    for path in (tmp_path / "strange").iterdir():
        if path.name in unreadable:
            with pytest.raises(DataError, match=r"no sound that can be read|no samples|not finite"):
                decode(path.read_bytes())
        else:
            sounds[path.name] = decode(path.read_bytes())
    assert len(sounds) == 8
    assert all(np.isfinite(sound.waveform).all() and sound.waveform.ndim == 1 for sound in sounds.values())
    assert sounds["stereo_a_0.wav"].waveform == pytest.approx(0.6 * sounds["float_a_0.wav"].waveform / 3, abs=1e-3)
    assert sounds["eight_a_0.wav"].waveform == pytest.approx(0.5 * sounds["float_a_0.wav"].waveform / 3, abs=0.01)
    assert len(sounds["one_a_0.wav"].waveform) == 1
    assert sounds["flac_a_0.flac"].sample_rate == 44_100
    assert sounds["clipped_a_0.wav"].clipped > 0.5
    assert sounds["eight_a_0.wav"].clipped == sounds["silence_a_0.wav"].clipped == 0


def test_own_digits(tmp_path):
    found = find([folder_of_digits(tmp_path / "digits")], "name")
    assert len(found) == 8
    assert {r.speaker for r in found} == {"ann", "bob"}
