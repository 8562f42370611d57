import pickle
import sys

import h5py
import numpy as np
import pytest

from ranvier.data import SpikeFile
from ranvier.errors import DataError
from tests.data.spike_files import random_samples, write_spikes

SAMPLES = [([0.1, 0.2], [3, 4]), ([], []), ([0.5], [0])]


@pytest.fixture
def path(tmp_path):
    extra = {"keys": ["no", "yes"], "speaker": [7, 2, 7], "name": ["a", "ü", "c"], "other": [1.0, 2.0]}
    return write_spikes(tmp_path / "some.h5", SAMPLES, [1, 0, 1], extra=extra)


def test_labels_names_and_columns_are_those_of_the_file(path):
    with h5py.File(path, "a") as file:
        file.create_group("extra/meta_info")["age"] = [30, 40, 50]  # per speaker, in a group: no column
    file = SpikeFile(path)
    assert (len(file), str(file), repr(file)) == (3, str(path), f"SpikeFile('{path}')")
    assert file.labels.tolist() == [1, 0, 1]
    assert file.label_names == ("no", "yes")
    assert sorted(file.columns) == ["name", "speaker"]  # one entry per sample; `other` has two
    assert file.column("speaker").tolist() == [7, 2, 7]
    assert file.column("name").tolist() == ["a", "ü", "c"]
    with pytest.raises(DataError, match=r"must have the column `extra/other`. Got .* columns: name, speaker."):
        file.column("other")


def test_numbers_that_stand_for_names_are_given_as_names(path):
    with h5py.File(path, "a") as file:
        del file["extra/speaker"]
        file["extra/speaker"], file["extra/speaker_names"] = [1, 2, 1], np.array([b"ann", b"ben", b"cy"])
    file = SpikeFile(path)
    assert sorted(file.columns) == ["name", "speaker"]
    assert file.column("speaker").tolist() == ["ben", "cy", "ben"]
    del file
    with h5py.File(path, "a") as file:
        file["extra/speaker"][0] = 3
    with pytest.raises(DataError, match=r"numbers in `extra/speaker` that `extra/speaker_names` names. Got others."):
        SpikeFile(path).column("speaker")


def test_a_file_without_extra_is_whole(tmp_path):
    file = SpikeFile(write_spikes(tmp_path / "bare.h5", SAMPLES))
    assert (file.label_names, file.columns) == ((), ())


@pytest.mark.parametrize("times_dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("units_dtype", [np.uint8, np.int64])
def test_samples_come_in_the_order_asked_for_and_as_stored(tmp_path, times_dtype, units_dtype):
    samples = random_samples(20, 9)
    path = write_spikes(tmp_path / "some.h5", samples, times_dtype=times_dtype, units_dtype=units_dtype)
    order = np.array([7, 3, 3, 19, 0, 7])
    events = SpikeFile(path).read(order)
    assert events.times.size > 20
    assert events.lengths.tolist() == [len(samples[i][0]) for i in order]
    assert events.samples.tolist() == order.tolist()
    assert events.times.tolist() == [time for i in order for time in samples[i][0].tolist()]
    assert events.units.tolist() == [unit for i in order for unit in samples[i][1].tolist()]
    assert events.times.dtype.itemsize == np.dtype(times_dtype).itemsize


def test_nothing_asked_for_is_nothing_read(path):
    events = SpikeFile(path).read(np.zeros(0, dtype=np.int64))
    assert (events.times.size, events.units.size, events.lengths.size) == (0, 0, 0)


def test_a_pickled_file_reads_on(path):
    file = SpikeFile(path)
    copied = pickle.loads(pickle.dumps(file))
    assert copied.read(np.array([0])).units.tolist() == [3, 4]
    assert copied.labels.tolist() == file.labels.tolist()


def test_absent_folder_foreign_and_truncated_files_are_one_sentence_each(path, tmp_path):
    whole = path.read_bytes()
    cases = {
        "absent.h5": (None, "no such file"),
        "text.h5": (b"times, units", "file signature not found"),
        "empty.h5": (b"", "file signature not found"),
        "half.h5": (whole[: len(whole) // 2], "truncated file"),
    }
    for name, (content, reason) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            SpikeFile(tmp_path / name)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name} must be a whole HDF5 file. Got: {reason}")
        assert message.endswith(".")
        assert message.count("\n") == 0
    with pytest.raises(DataError, match=r"must be a whole HDF5 file. Got: a folder"):
        SpikeFile(tmp_path)


def test_damaged_events_are_one_sentence(tmp_path):
    samples = [(np.linspace(0, 1, 5000), np.arange(5000)) for _ in range(4)]
    path = write_spikes(tmp_path / "some.h5", samples, units_dtype=np.uint16)
    content = bytearray(path.read_bytes())
    while (place := content.find(b"GCOL")) >= 0:  # the heaps in which HDF5 keeps lists
        content[place : place + 4] = b"!!!!"
    path.write_bytes(content)
    file = SpikeFile(path)
    with pytest.raises(DataError, match=r"must be a whole HDF5 file. Got: .*\.$"):
        file.read(np.arange(4))


def _without_labels(file):
    del file["labels"]


def _group_for_times(file):
    del file["spikes/times"]
    file.create_group("spikes/times")


def _few_labels(file):
    del file["labels"]
    file["labels"] = np.zeros(2, dtype=np.int64)


def _float_labels(file):
    del file["labels"]
    file["labels"] = np.zeros(3)


def _negative_labels(file):
    del file["labels"]
    file["labels"] = np.array([0, -3, 1])


def _integer_times(file):
    del file["spikes/times"]
    file.create_dataset("spikes/times", (3,), dtype=h5py.vlen_dtype(np.int32))


def _big_endian_times(file):
    del file["spikes/times"]
    file.create_dataset("spikes/times", (3,), dtype=h5py.vlen_dtype(np.dtype(np.float32).newbyteorder()))


def _dense_units(file):
    del file["spikes/units"]
    file["spikes/units"] = np.zeros(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_labels, r"must hold `labels`, as files of the Heidelberg layout do. Got a file with extra, spikes."),
        (_group_for_times, r"must hold `spikes/times`"),
        (_few_labels, r"one entry per sample everywhere. Got the shapes: .*labels \(2,\)."),
        (_float_labels, r"must have whole numbers as `labels`. Got float64."),
        (_negative_labels, r"must have `labels` >= 0. Got -3."),
        (_integer_times, r"must have lists of floats as `spikes/times`. Got int32."),
        (_big_endian_times, r"must have `spikes/times` in this machine's byte order. Got >f4."),
        (_dense_units, r"must have lists of whole numbers as `spikes/units`. Got float64."),
    ],
)
def test_another_layout_is_refused(path, change, message):
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(DataError, match=message):
        SpikeFile(path)


def test_a_sample_with_more_units_than_times_is_named(path):
    with h5py.File(path, "a") as file:
        file["spikes/units"][2] = np.array([1, 2], dtype=np.uint16)
    file = SpikeFile(path)
    assert file.read(np.array([0, 1])).times.size == 2
    with pytest.raises(DataError, match=r"as many `spikes/units` as `spikes/times`, 1 in sample 2. Got 2."):
        file.read(np.array([0, 2]))


def test_a_missing_h5py_names_the_extra(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"`audio` \(pip install 'ranvier\[audio\]'\). Got none named h5py."):
        SpikeFile(path)
