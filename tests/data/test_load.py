import pytest

from ranvier.data import (
    FSDD_OFFICIAL,
    ByColumn,
    SpikeFile,
    StoredSpikes,
    leave_one_out,
    load_spikes,
)
from ranvier.errors import DataError
from tests.data.spike_files import random_samples, write_spikes

SPEAKERS = [f"s{number % 4}" for number in range(40)]


@pytest.fixture
def path(tmp_path):
    extra = {"speaker": SPEAKERS, "index": [number // 4 for number in range(40)], "keys": ["no", "yes", "never"]}
    return write_spikes(
        tmp_path / "some.h5", random_samples(40, 7), [number // 20 for number in range(40)], extra=extra
    )


@pytest.fixture
def other(tmp_path):
    return write_spikes(tmp_path / "other.h5", random_samples(6, 7, seed=1), [1, 1, 0, 0, 1, 0])


def test_a_tenth_of_each_class_validates_and_a_tenth_is_tested_by_default(path):
    splits = load_spikes(path, duration=1.0)
    assert all(isinstance(part, StoredSpikes) for part in splits)
    assert [part.labels.bincount().tolist() for part in splits] == [[16, 16], [2, 2], [2, 2]]
    assert [part.held_out for part in splits] == [False, False, True]
    assert splits.train.n_classes == 3  # `never` does not occur
    assert splits.train.label_names == ("no", "yes", "never")
    batch = splits.train[:].inputs
    assert (batch.unit_shape, batch.duration, batch.dt) == ((700,), 1.0, None)
    assert batch.n_events > 100


def test_a_column_divides_the_file(path):
    splits = load_spikes(path, duration=1.0, split=ByColumn("index", validation=[2], test=range(2)), n_units=7)
    assert [len(part) for part in splits] == [28, 4, 8]
    assert sorted(set(splits.test.column("index").tolist())) == [0, 1]
    assert splits.train[0].inputs.unit_shape == (7,)
    for speaker, rule in leave_one_out(SpikeFile(path)).items():
        fold = load_spikes(path, duration=1.0, split=rule)
        assert set(fold.test.column("speaker").tolist()) == {speaker}
        assert speaker not in fold.train.column("speaker")


def test_the_official_rule_of_recordings_divides_the_spikes_made_of_them(tmp_path):
    files = [f"{digit}_ann_{index}.wav" for digit in range(2) for index in range(12)]
    path = write_spikes(tmp_path / "fsdd.h5", random_samples(24, 7), [0] * 12 + [1] * 12, extra={"files": files})
    splits = load_spikes(path, duration=1.0, split=FSDD_OFFICIAL)
    assert [len(part) for part in splits] == [4, 10, 10]
    assert splits.test.column("files")[:5].tolist() == files[:5]


def test_another_file_is_the_whole_test_set(path, other):
    splits = load_spikes(path, duration=1.0, test=other)
    assert [len(part) for part in splits] == [36, 4, 6]
    assert splits.test.labels.tolist() == [1, 1, 0, 0, 1, 0]
    assert splits.test.n_classes == 3
    assert splits.test[2].inputs.units.tolist() == random_samples(6, 7, seed=1)[2][1].tolist()
    with pytest.raises(ValueError, match=r"must leave no sample for test, because `test` is given. Got 4."):
        load_spikes(path, duration=1.0, test=other, split=ByColumn("index", test=[0]))


def test_a_file_without_samples_is_refused(path, tmp_path):
    with pytest.raises(DataError, match=r"none.h5 must hold at least one sample. Got none."):
        load_spikes(path, duration=1.0, test=write_spikes(tmp_path / "none.h5", []))


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan")])
def test_a_duration_must_be_one(path, duration):
    with pytest.raises(ValueError, match=r"`duration` of Spikes must be a positive number of seconds"):
        load_spikes(path, duration=duration)


@pytest.mark.parametrize("n_units", [0, 2.5])
@pytest.mark.usefixtures("as_users_run_it")
def test_a_number_of_channels_must_be_one(path, n_units):
    with pytest.raises(ValueError, match=r"`unit_shape` of Spikes must be positive whole numbers"):
        load_spikes(path, duration=1.0, n_units=n_units)
