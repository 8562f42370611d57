"""Whatever a killed process leaves is either whole or cut off."""

import shutil

import pytest

from ranvier.data.audio.journal import Journal
from ranvier.errors import RunError

SETTINGS = {"channels": 700, "seed": 0}
RECORDS = {"a": b"first", "b": b"", "c": bytes(range(200))}


@pytest.fixture
def path(tmp_path):
    with Journal(tmp_path / "part", SETTINGS) as journal:
        for name, payload in RECORDS.items():
            journal.add(name, {"size": len(payload)}, payload)
    return tmp_path / "part"


def content(journal):
    return {name: journal.payload(name) for name in RECORDS if name in journal}


def test_records_come_back(path):
    with Journal(path, SETTINGS) as journal:
        assert content(journal) == RECORDS
        assert journal.about("c") == {"size": 200}


def test_wherever_the_file_ends_what_was_whole_stays_and_writing_goes_on(path, tmp_path):
    whole, seen = path.read_bytes(), set()
    for length in range(len(whole) + 1):
        torn = tmp_path / "torn"
        torn.write_bytes(whole[:length])
        with Journal(torn, SETTINGS) as journal:
            kept = content(journal)
            assert kept == {name: RECORDS[name] for name in list(RECORDS)[: len(kept)]}
            seen.add(len(kept))
            for name in RECORDS:
                if name not in journal:
                    journal.add(name, {"size": len(RECORDS[name])}, RECORDS[name])
        assert torn.read_bytes() == whole
    assert seen == {0, 1, 2, 3}


def test_a_damaged_record_ends_it(path):
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with Journal(path, SETTINGS) as journal:
        assert set(content(journal)) == {"a", "b"}


def test_a_later_record_replaces(path):
    with Journal(path, SETTINGS) as journal:
        journal.add("a", {}, b"new")
        assert journal.payload("a") == b"new"
    with Journal(path, SETTINGS) as journal:
        assert journal.payload("a") == b"new"


def test_other_settings_are_refused_and_nothing_is_lost(path):
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"begun with the same settings, or be deleted. Got channels 700 in place of 70"):
        Journal(path, SETTINGS | {"channels": 70})
    assert path.read_bytes() == before


def test_one_process_at_a_time(path):
    with Journal(path, SETTINGS), pytest.raises(RunError, match="must not be in use"):
        Journal(path, SETTINGS)
    Journal(path, SETTINGS).__exit__(None, None, None)


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(RunError, match="must be writable"):
        Journal(tmp_path / "missing" / "part", SETTINGS)


def test_another_kind_of_file_is_not_overwritten(tmp_path):
    mine = tmp_path / "mine.part"
    shutil.copy(__file__, mine)
    before = mine.read_bytes()
    with pytest.raises(RunError, match="must be a file that an interrupted conversion left"):
        Journal(mine, SETTINGS)
    assert mine.read_bytes() == before
