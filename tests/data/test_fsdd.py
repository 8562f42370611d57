import io
import pickle
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ranvier.data import ByColumn, Recordings, fsdd_recordings, leave_one_out, load_fsdd
from ranvier.data.fsdd import FSDD_ZIP, Recording
from ranvier.data.split import Divisible
from ranvier.errors import DataError

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "fsdd"
SPEAKERS = ("ann", "ben", "cy")


def wav(values, channels: int = 1, width: int = 2, rate: int = 8000) -> bytes:
    kept = io.BytesIO()
    with wave.open(kept, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(np.asarray(values, dtype="<i2").tobytes())
    return kept.getvalue()


def sound_of(digit: int, speaker: int, index: int) -> list[int]:
    return [digit * 1000, -speaker * 1000, index, -32768, 32767][: 2 + digit % 4]


@pytest.fixture
def write(tmp_path):
    def write(**changed: bytes) -> Path:
        with zipfile.ZipFile(tmp_path / FSDD_ZIP, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("free-spoken-digit-dataset/README.md", "no recording")
            archive.writestr("free-spoken-digit-dataset/acquire_data/1_ann_1.wav", "no recording either")
            for index in (11, *range(11)):
                for place, speaker in enumerate(SPEAKERS):
                    for digit in range(2):
                        name = f"{digit}_{speaker}_{index}"
                        content = changed.get(f"n{name}", wav(sound_of(digit, place, index)))
                        archive.writestr(f"free-spoken-digit-dataset/recordings/{name}.wav", content)
        return tmp_path

    return write


def test_the_official_split_tests_the_first_five_of_each_speaker_and_digit(write):
    splits = load_fsdd(write())
    assert [len(part) for part in splits] == [2 * 3 * 2, 2 * 3 * 5, 2 * 3 * 5]
    indices = [sorted(set(part.column("index").tolist())) for part in splits]
    assert indices == [[10, 11], [5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]
    assert [part.held_out for part in splits] == [False, False, True]
    assert splits.test.select([0]).held_out
    for part in splits:
        assert isinstance(part, Recordings)
        assert isinstance(part, Divisible)
        assert set(part.column("speaker").tolist()) == set(SPEAKERS)
        assert part.labels.bincount().tolist() == [len(part) // 2] * 2


def test_a_recording_is_what_its_file_holds(write):
    recordings = fsdd_recordings(write())
    seen = 0
    for recording, label in zip(recordings, recordings.labels.tolist(), strict=True):
        assert isinstance(recording, Recording)
        assert recording.name == f"{recording.label}_{recording.speaker}_{recording.index}"
        expected = sound_of(recording.label, SPEAKERS.index(recording.speaker), recording.index)
        assert recording.waveform.dtype == torch.float32
        assert (recording.waveform * 32768).tolist() == expected
        assert (recording.sample_rate, recording.label) == (8000, label)
        seen += 1
    assert seen == len(recordings) == 72
    order = [(int(digit), speaker, int(index)) for digit, speaker, index in (n.split("_") for n in recordings.names)]
    assert order == sorted(order)  # recording 11 was first in the file, and "11" sorts before "2"
    assert recordings[-1].name == recordings.column("files")[-1].removesuffix(".wav") == "1_cy_11"
    with pytest.raises(IndexError, match=r"Got 72"):
        recordings[72]
    with pytest.raises(DataError, match=r"must have the column age. Got recordings with speaker, index, files."):
        recordings.column("age")


@pytest.mark.usefixtures("as_users_run_it")
def test_several_recordings_are_for_select(write):
    with pytest.raises(TypeError, match=r"must be chosen by a whole number. Got slice\(1, 2, None\)."):
        fsdd_recordings(write())[1:2]


def test_one_speaker_can_be_left_out(write):
    folder = write()
    for speaker, rule in leave_one_out(fsdd_recordings(folder)).items():
        splits = load_fsdd(folder, split=rule)
        assert [len(part) for part in splits] == [24, 24, 24]
        assert {recording.speaker for recording in splits.test} == {speaker}
        assert speaker not in splits.train.column("speaker")
        assert not set(splits.validation.column("speaker")) & set(splits.train.column("speaker"))
    with pytest.raises(DataError, match=r"samples whose speaker is dee. Got only ann, ben, cy."):
        load_fsdd(folder, split=ByColumn("speaker", test=["dee"]))


def test_recordings_can_be_pickled_open_or_not(write):
    recordings = fsdd_recordings(write())
    assert recordings[3].name == pickle.loads(pickle.dumps(recordings))[3].name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"words", r"must be a whole wav file. Got: "),
        (b"", r"must be a whole wav file. Got: "),
        (wav(range(50))[:60], r"must have the 50 samples of its header. Got 8."),
        (wav(range(50))[:20], r"must be a whole wav file. Got: "),
        (wav(range(50), channels=2), r"must be mono, of 2 bytes. Got 2 channels of 2 bytes."),
        (wav(range(50), width=1), r"must be mono, of 2 bytes. Got 1 channels of 1 bytes."),
    ],
)
def test_a_damaged_recording_is_named(write, content, message):
    recordings = fsdd_recordings(write(n1_ben_4=content))
    assert len(recordings[0].waveform) == 2
    with pytest.raises(DataError, match=rf"1_ben_4.wav in .*{FSDD_ZIP} {message}"):
        recordings[recordings.names.index("1_ben_4")]


def test_a_recording_without_sound_is_read_as_such(write):
    recordings = fsdd_recordings(write(n0_ann_0=wav([])))
    assert recordings[0].waveform.tolist() == []


def test_a_missing_foreign_or_truncated_zip_is_one_sentence(write, tmp_path):
    with pytest.raises(DataError, match=rf"must be a folder with {FSDD_ZIP}. Got .* without it."):
        load_fsdd(tmp_path)
    path = write() / FSDD_ZIP
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no zip", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{FSDD_ZIP} must be a whole zip file. Got: .*\.$"):
            load_fsdd(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("recordings/one_ann_1.wav", "")
    with pytest.raises(DataError, match=r"must hold recordings/\{digit\}_\{speaker\}_\{index\}.wav. Got no such"):
        load_fsdd(tmp_path)


def test_flipped_bits_are_noticed(write):
    path = write() / FSDD_ZIP
    content = bytearray(path.read_bytes())
    place = content.find(b"recordings/0_ann_11.wav") + len("recordings/0_ann_11.wav")
    content[place + 30] ^= 0xFF
    path.write_bytes(content)
    recordings = fsdd_recordings(path.parent)
    with pytest.raises(DataError, match=r"0_ann_11.wav in .* must be a whole wav file"):
        recordings[recordings.names.index("0_ann_11")]


@pytest.mark.skipif(not (REAL / FSDD_ZIP).is_file(), reason="the Free Spoken Digit Dataset is not here")
def test_the_published_recordings_are_as_their_readme_says():
    splits = load_fsdd(REAL)
    assert [len(part) for part in splits] == [2400, 300, 300]
    for part in splits:
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
    recordings = fsdd_recordings(REAL)
    assert list(leave_one_out(recordings)) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    some = [recordings[place] for place in range(0, 3000, 30)]
    assert {recording.sample_rate for recording in some} == {8000}
    lengths = [len(recording.waveform) / 8000 for recording in some]
    assert 0.14 <= min(lengths) <= max(lengths) <= 2.29
    assert abs(np.mean(lengths) - 0.44) < 0.05
    assert all(0.01 < float(recording.waveform.abs().max()) <= 1 for recording in some)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / FSDD_ZIP).is_file(), reason="the Free Spoken Digit Dataset is not here")
def test_all_published_recordings_are_whole():
    assert sum(len(recording.waveform) for recording in fsdd_recordings(REAL)) / 8000 == pytest.approx(1312, abs=1)
