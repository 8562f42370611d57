from pathlib import Path

import pytest

from ranvier.data import ByColumn, SpikeFile
from ranvier.data.described import Described, described
from ranvier.errors import DataError
from tests.data.spike_files import write_spikes

SAMPLES = [([0.1], [0])] * 3


def test_speakers_have_names_and_recordings_numbers(tmp_path: Path) -> None:
    extra = {
        "speaker": [1, 0, 1],
        "speaker_names": ["ann", "bob"],
        "files": ["0_bob_7.wav", "x/1_ann_12.flac", "2_0.wav"],
    }
    file = SpikeFile(write_spikes(tmp_path / "a.h5", SAMPLES, extra=extra))
    seen = Described(file)
    assert seen.column("speaker").tolist() == ["bob", "ann", "bob"]
    assert seen.column("index").tolist() == [7, 12, 0]
    assert seen.labels is file.labels
    parts = described(ByColumn("speaker", test=["ann"]))(file)
    assert [part.tolist() for part in parts] == [[0, 2], [], [1]]
    parts = described(ByColumn("index", validation=[7], test=[0]))(file)
    assert [part.tolist() for part in parts] == [[1], [0], [2]]


def test_without_names_speakers_stay_numbers(tmp_path: Path) -> None:
    seen = Described(SpikeFile(write_spikes(tmp_path / "a.h5", SAMPLES, extra={"speaker": [4, 5, 4]})))
    assert seen.column("speaker").tolist() == [4, 5, 4]
    with pytest.raises(DataError, match="must have the column `extra/index`"):
        seen.column("index")


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    extra = {"speaker": [0, 1, 2], "speaker_names": ["ann", "bob"], "files": ["a_1.wav", "b_2.wav", "c.wav"]}
    seen = Described(SpikeFile(write_spikes(tmp_path / "a.h5", SAMPLES, extra=extra)))
    with pytest.raises(DataError, match="the numbers of 2 speakers"):
        seen.column("speaker")
    with pytest.raises(DataError, match="whose names end in _NUMBER"):
        seen.column("index")


@pytest.mark.parametrize(
    ("note", "channels"),
    [('{"channels": 70}', 70), ("no JSON", None), ('{"channels": "many"}', None), ("[1]", None), (None, None)],
)
def test_the_note_of_encode_tells_the_channels(tmp_path: Path, note: str | None, channels: int | None) -> None:
    import h5py

    path = write_spikes(tmp_path / "a.h5", SAMPLES)
    if note is not None:
        with h5py.File(path, "a") as file:
            file.attrs["ranvier"] = note
    assert SpikeFile(path).channels == channels
