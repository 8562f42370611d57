"""From files to one file: its layout, and that nothing but content decides it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ranvier.data.audio import Cochlea, conversion, convert
from ranvier.data.audio.recordings import decode
from ranvier.errors import DataError, RunError
from tests.data.audio.files import folder_of_digits, strange_files

EAR = Cochlea(channels=20)


@pytest.fixture
def digits(tmp_path):
    return folder_of_digits(tmp_path / "digits")


def test_the_layout_is_that_of_the_heidelberg_data_sets(digits, tmp_path):
    out = tmp_path / "spikes.h5"
    converted = convert([digits], out, EAR, seed=5)
    assert converted.recordings == 8
    assert converted.spikes > 100
    with h5py.File(out) as file:
        assert set(file) == {"spikes", "labels", "extra"}
        assert set(file["spikes"]) == {"times", "units"}
        assert h5py.check_vlen_dtype(file["spikes/times"].dtype) == np.float32
        assert h5py.check_vlen_dtype(file["spikes/units"].dtype) == np.uint16
        assert file["spikes/times"].shape == file["spikes/units"].shape == file["labels"].shape == (8,)
        assert file["labels"][:].tolist() == [0] * 4 + [1] * 4
        assert [key.decode() for key in file["extra/keys"]] == ["0", "1"]
        assert file["extra/speaker"][:].tolist() == [0, 0, 1, 1] * 2
        assert [name.decode() for name in file["extra/speaker_names"]] == ["ann", "bob"]
        names = [name.decode() for name in file["extra/files"]]
        assert names == sorted(path.name for path in digits.glob("*.wav"))
        assert file["extra/sample_rate"][:].tolist() == [8000] * 8
        assert file["extra/duration"][:].sum() == pytest.approx(converted.seconds_of_sound)
        assert json.loads(file.attrs["ranvier"])["seed"] == 5
        for index, name in enumerate(names):
            sound = decode((digits / name).read_bytes())
            heard = EAR.hear(sound.waveform, sound.sample_rate, seed=5)
            assert len(heard.steps) > 3
            assert file["spikes/units"][index].tolist() == heard.channels.tolist()
            assert file["spikes/times"][index] == pytest.approx(heard.steps / 24_000, rel=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits", "spikes.h5"]


def test_neither_threads_nor_interruptions_nor_order_change_a_byte(digits, tmp_path, monkeypatch):
    whole, threads, stopped = (tmp_path / f"{name}.h5" for name in ("whole", "threads", "stopped"))
    convert([digits], whole, EAR)
    assert convert([digits], threads, EAR, jobs=3).resumed == 0
    assert threads.read_bytes() == whole.read_bytes()

    encode, seen = conversion._encode, []

    def dies_at_each_third(*arguments):
        seen.append(arguments)
        if len(seen) % 3 == 0:
            raise KeyboardInterrupt
        return encode(*arguments)

    monkeypatch.setattr(conversion, "_encode", dies_at_each_third)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            convert([digits], stopped, EAR)
        assert not stopped.exists()
        assert stopped.with_name("stopped.h5.part").exists()
    monkeypatch.setattr(conversion, "_encode", encode)
    assert 0 < convert([digits], stopped, EAR).resumed < 8
    assert stopped.read_bytes() == whole.read_bytes()


def test_dying_between_output_and_clean_up_is_harmless(digits, tmp_path, monkeypatch):
    out, unlink = tmp_path / "spikes.h5", Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        convert([digits], out, EAR)
    monkeypatch.setattr(Path, "unlink", unlink)
    first = out.read_bytes()
    assert convert([digits], out, EAR).resumed == 8
    assert out.read_bytes() == first


def test_a_recording_that_changed_is_encoded_anew(digits, tmp_path, monkeypatch):
    out, write = tmp_path / "spikes.h5", conversion.layout.write
    monkeypatch.setattr(conversion.layout, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        convert([digits], out, EAR)
    monkeypatch.setattr(conversion.layout, "write", write)
    (digits / "0_ann_0.wav").write_bytes((digits / "1_bob_1.wav").read_bytes())
    assert convert([digits], out, EAR).resumed == 7
    with h5py.File(out) as file:
        assert file["spikes/units"][0].tolist() == file["spikes/units"][7].tolist()


def test_strange_files_are_converted_or_left_out_with_a_reason(tmp_path):
    unreadable = strange_files(tmp_path / "strange")
    told = []
    converted = convert([tmp_path / "strange"], tmp_path / "s.h5", EAR, progress=lambda *line: told.append(line))
    assert {name for name, _ in converted.skipped} == unreadable
    reasons = dict(converted.skipped)
    assert reasons["none_a_0.wav"] == "no samples"
    assert reasons["nan_a_0.wav"] == "samples that are not finite"
    assert reasons["text_a_0.wav"].startswith("no sound that can be read (")
    assert converted.recordings == 8
    assert converted.silent == ("silence_a_0.wav",)
    assert set(converted.clipped) == {"clipped_a_0.wav", "float_a_0.wav"}
    assert converted.sample_rates == {8000: 6, 44_100: 1, 96_000: 1}
    assert [done for done, *_ in told] == list(range(1, 13))
    assert sum(bool(line) for *_, line in told) == 4
    with h5py.File(tmp_path / "s.h5") as file:
        names = [name.decode() for name in file["extra/files"]]
        spikes = dict(zip(names, map(len, file["spikes/units"]), strict=True))
        assert all(np.isfinite(times).all() and (np.diff(times) >= 0).all() for times in file["spikes/times"])
    loud = [spikes[f"{name}_a_0.wav"] for name in ("clipped", "stereo", "eight", "float")]
    assert min(loud) > max(3, spikes["silence_a_0.wav"])
    assert spikes["one_a_0.wav"] == 0


def test_speakers_are_stored_only_where_all_are_known(digits, tmp_path):
    (digits / "0_0.wav").write_bytes((digits / "0_ann_0.wav").read_bytes())
    assert convert([digits], tmp_path / "s.h5", EAR).speakers is None
    with h5py.File(tmp_path / "s.h5") as file:
        assert "speaker" not in file["extra"]


def test_an_output_that_exists_is_left_alone(digits, tmp_path):
    (tmp_path / "s.h5").write_text("mine")
    with pytest.raises(RunError, match="--out must name a new file"):
        convert([digits], tmp_path / "s.h5", EAR)
    assert (tmp_path / "s.h5").read_text() == "mine"


def test_other_settings_do_not_continue_a_conversion(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "_assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        convert([digits], tmp_path / "s.h5", EAR)
    for other in ({"cochlea": Cochlea(channels=10)}, {"cochlea": EAR, "seed": 1}):
        with pytest.raises(RunError, match="begun with the same settings, or be deleted"):
            convert([digits], tmp_path / "s.h5", **other)


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a_b_1.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"At least one of 1 files must be readable. Got none: a_b_1.wav"):
        convert([tmp_path], tmp_path / "s.h5", EAR)
    assert not (tmp_path / "s.h5").exists()


def test_an_unwritable_output_is_named(digits, tmp_path):
    with pytest.raises(RunError, match="must be writable"):
        convert([digits], tmp_path / "missing" / "s.h5", EAR)


def test_channels_must_fit_the_file(digits, tmp_path):
    with pytest.raises(ValueError, match=r"`channels` of Cochlea must be at most 65536 for a file. Got 65537"):
        convert([digits], tmp_path / "s.h5", Cochlea(channels=65_537))
