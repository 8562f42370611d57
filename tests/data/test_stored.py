import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from ranvier.data import EventRules, Labelled, LabelledSpikes, SpikeFile, StoredSpikes, collate_labelled
from ranvier.data.assemble import Grid, continuous, on_grid, samples_on_grid
from ranvier.data.events import clean
from ranvier.data.kept import Kept
from ranvier.errors import DataError
from ranvier.spikes import Spikes
from tests.data.spike_files import random_samples, write_spikes
from tests.data.test_events import stored as events_of

N_SAMPLES, N_UNITS, DURATION = 40, 7, 1.0
FIELDS = ("units", "times", "amplitudes", "offsets", "steps")


def same(one: Spikes, other: Spikes) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in FIELDS]
    alike = all(a is b is None or (a.dtype == b.dtype and torch.equal(a, b)) for a, b in pairs)
    rest = ("unit_shape", "duration", "dt")
    return alike and all(getattr(one, name) == getattr(other, name) for name in rest)


@pytest.fixture(scope="module")
def samples():
    return random_samples(N_SAMPLES, N_UNITS)


@pytest.fixture
def make(tmp_path, samples) -> Callable[..., StoredSpikes]:
    def make(**changed) -> StoredSpikes:
        labels = [number % 3 for number in range(N_SAMPLES)]
        path = tmp_path / "some.h5"
        if not path.exists():
            write_spikes(path, samples, labels, extra={"speaker": [f"s{number}" for number in range(N_SAMPLES)]})
        fields = {"samples": torch.arange(N_SAMPLES), "n_classes": 3, "n_units": N_UNITS, "duration": DURATION}
        return StoredSpikes(SpikeFile(path), **fields | changed)

    return make


@pytest.fixture
def in_memory(samples) -> LabelledSpikes:
    pairs = [(times.astype(np.float32), units) for times, units in samples]
    inputs = Spikes.from_samples(pairs, unit_shape=N_UNITS, duration=DURATION)
    return LabelledSpikes(inputs, torch.arange(N_SAMPLES) % 3, 3)


INDICES = [
    pytest.param(2, id="int"),
    pytest.param(-1, id="negative"),
    pytest.param(slice(1, 30, 2), id="slice"),
    pytest.param(slice(None), id="all"),
    pytest.param([3, 0, 3], id="list"),
    pytest.param([], id="empty"),
    pytest.param(torch.tensor([39, 1]), id="tensor"),
    pytest.param(torch.arange(N_SAMPLES) % 5 == 0, id="mask"),
]


@pytest.mark.parametrize("indices", INDICES)
@pytest.mark.parametrize("dt", [None, 0.01])
def test_batches_are_those_of_the_same_data_in_memory(make, in_memory, indices, dt):
    data = make()
    assert isinstance(data, Labelled)
    assert isinstance(in_memory, Labelled)
    if dt is not None:
        data, in_memory = data.on_grid(dt, coincident="sum"), in_memory.on_grid(dt, coincident="sum")
    expected = in_memory[indices]
    assert len(in_memory.inputs.units) > N_SAMPLES
    for batch in (data[indices], data.select(indices)[:]):
        assert same(batch.inputs, expected.inputs)
        assert batch.labels.tolist() == expected.labels.tolist()
        assert batch.n_classes == 3
    chosen = data.select(indices)
    assert (len(chosen), chosen.labels.tolist()) == (len(expected), expected.labels.tolist())
    assert chosen.column("speaker").tolist() == [f"s{i}" for i in torch.arange(N_SAMPLES)[_list(indices)].tolist()]


def _list(indices):
    return [indices] if isinstance(indices, int) else indices


def test_only_the_samples_of_a_batch_are_read(make, monkeypatch):
    rows, original = [], SpikeFile.read
    monkeypatch.setattr(SpikeFile, "read", lambda file, samples: rows.extend(samples) or original(file, samples))
    part = make().select([5, 4, 3]).on_grid(0.01, coincident="one").select(slice(2))
    assert rows == []
    assert len(part[torch.tensor([1])]) == 1
    assert rows == [4]


def test_an_index_out_of_range_raises_so_that_iteration_ends(make):
    data = make().select([4, 7])
    with pytest.raises(IndexError, match=r"Got 2"):
        data[2]
    assert [batch.labels.item() for batch in data] == [1, 1]


SAMPLES = st.lists(
    st.lists(st.tuples(st.floats(0, 1, width=16), st.integers(0, 2)), max_size=12).map(sorted), max_size=4
)


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([0.1, 0.25, 0.3, 0.7, 1.0, 1e-5]), st.sampled_from(["sum", "one"]))
def test_the_grid_is_that_of_spikes_on_grid(samples, dt, coincident):
    found = clean(events_of(samples), EventRules(), duration=1.0, n_units=3, where="FILE")
    expected = continuous(found, 3, 1.0).on_grid(dt, coincident=coincident)
    grid = Grid(dt, coincident, expected.n_steps)
    on_it = samples_on_grid(found, 3, grid)
    inputs = on_grid(on_it, 3, grid)
    assert same(inputs, expected)
    assert inputs.record == expected.record
    kept = {}
    for number, sample in enumerate(samples):
        for time, unit in sample:
            step = round(time / dt)
            if step < expected.n_steps:
                kept[number, step, unit] = kept.get((number, step, unit), 0) + 1
    assert [sample.dropped for sample in on_it] == [
        len(sample) - sum(times for (of, _, _), times in kept.items() if of == number)
        for number, sample in enumerate(samples)
    ]


@pytest.mark.parametrize("coincident", ["sum", "one"])
def test_the_grid_is_right_for_hundreds_of_events_in_a_step(coincident):
    random = np.random.default_rng(0)
    samples = [sorted(zip(random.random(900), random.integers(0, 500, 900), strict=True)) for _ in range(3)]
    found = clean(events_of(samples), EventRules(), duration=1.0, n_units=500, where="FILE")
    expected = continuous(found, 500, 1.0).on_grid(0.25, coincident=coincident)
    grid = Grid(0.25, coincident, expected.n_steps)
    assert same(on_grid(samples_on_grid(found, 500, grid), 500, grid), expected)


def test_the_grid_is_right_where_cells_are_more_than_32_bits_count():
    samples = [[(0.0, 0), (0.5, 2**20 - 1), (0.5, 2**20 - 1), (0.75, 2)], [(0.25, 2**20 - 1)]] * 2
    found = clean(events_of(samples, units_dtype=np.int64), EventRules(), duration=4.096, n_units=2**20, where="FILE")
    grid = Grid(1e-3, "sum", 2**12)
    expected = continuous(found, 2**20, 4.096).on_grid(1e-3, coincident="sum")
    assert samples_on_grid(found, 2**20, grid)[0].cells.dtype == np.int64
    assert same(on_grid(samples_on_grid(found, 2**20, grid), 2**20, grid), expected)
    assert expected.amplitudes.max() == 2


def test_a_second_grid_rounds_the_first_as_in_memory(make, in_memory):
    twice = [data.on_grid(0.01, coincident="sum").on_grid(0.04, coincident="sum") for data in (make(), in_memory)]
    once = in_memory.on_grid(0.04, coincident="sum")
    assert same(twice[0][:].inputs, twice[1].inputs)
    assert not same(twice[0][:].inputs, once.inputs)


@pytest.mark.parametrize(("dt", "coincident"), [(0.0, "sum"), (2.0, "sum"), (0.1, "both")])
@pytest.mark.usefixtures("as_users_run_it")
def test_a_wrong_grid_is_refused_at_once(make, in_memory, dt, coincident):
    messages = []
    for data in (make(), in_memory):
        with pytest.raises(ValueError, match="of on_grid must") as caught:
            data.on_grid(dt, coincident=coincident)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_what_is_dropped_is_counted_in_each_batch_and_of_all_samples(tmp_path):
    samples = [([0.5, np.nan, 0.25], [1, 1, 0]), ([-0.5, 2.0, 1.0], [0, 1, 0]), ([np.inf], [0]), ([0.5, 0.5], [1, 1])]
    file = SpikeFile(write_spikes(tmp_path / "some.h5", samples))
    data = StoredSpikes(file, torch.arange(4), 4, 2, 1.0)
    assert [data[number].inputs.record.dropped for number in range(4)] == [1, 2, 1, 0]
    assert data[:].inputs.times.tolist() == [0.25, 0.5, 1.0, 0.5, 0.5]
    counts = data.count_events()
    assert (counts.samples, counts.events, counts.dropped, counts.empty, counts.unsorted) == (4, 9, 4, 1, 1)
    assert (counts.past_grid, counts.coincident) == (0, 0)
    gridded = data.on_grid(0.5, coincident="one")
    assert [gridded[number].inputs.record.dropped for number in range(4)] == [1, 3, 1, 0]
    assert (gridded.count_events().past_grid, gridded.count_events().coincident) == (1, 1)
    strict = StoredSpikes(file, torch.arange(4), 4, 2, 1.0, EventRules(late="raise"))
    assert len(strict[0]) == 1
    with pytest.raises(DataError, match=r"some.h5 must have times of at most the duration, 1.0 s. Got 2.0 in sample 1"):
        strict[0:2]


def test_what_was_put_on_a_grid_once_is_not_read_again(make, monkeypatch):
    rows, original = [], SpikeFile.read
    monkeypatch.setattr(SpikeFile, "read", lambda file, samples: rows.extend(samples) or original(file, samples))
    data = make().on_grid(0.01, coincident="one")
    for again in (data, data.select([5, 4, 3]).select([1, 2]), data.on_grid(0.02, coincident="one")):
        again[:]
    assert rows == list(range(N_SAMPLES))
    assert same(data[[4, 3]].inputs, make().on_grid(0.01, coincident="one")[[4, 3]].inputs)
    make()[0], make()[0]  # in continuous time nothing is kept
    assert rows[-2:] == [0, 0]
    n_read = len(rows)
    other = replace(data, grids=(), duration=0.5).on_grid(0.01, coincident="one")
    assert other[3].inputs.duration == 0.5
    assert len(rows) == n_read + 1


def test_no_more_is_kept_than_there_is_room_for(make, monkeypatch):
    rows, original = [], SpikeFile.read
    monkeypatch.setattr(SpikeFile, "read", lambda file, samples: rows.extend(samples) or original(file, samples))
    whole = make().on_grid(0.01, coincident="one")
    expected = whole[:].inputs
    for most in (0, whole.kept.size // 3, whole.kept.size - 1, whole.kept.size):
        data = make(kept=Kept(most)).on_grid(0.01, coincident="one")
        data[:]
        rows.clear()
        assert same(data[:].inputs, expected)
        assert len(rows) == N_SAMPLES - len(data.kept)
        assert data.kept.size <= most
        assert (len(data.kept) > 0) == (most > 0)
        assert (rows == []) == (most == whole.kept.size)
    assert len(pickle.loads(pickle.dumps(whole)).kept) == 0
    assert len(whole.kept) == N_SAMPLES


@pytest.mark.parametrize("most", [-1, 1.5, True])
@pytest.mark.usefixtures("as_users_run_it")
def test_room_that_is_no_number_of_bytes_is_refused(most):
    with pytest.raises(ValueError, match=f"`most` of Kept must be a whole number of bytes >= 0. Got {most}"):
        Kept(most)


def test_many_samples_are_read_in_pieces(make, monkeypatch):
    data = make(kept=Kept(0)).on_grid(0.02, coincident="one")
    whole, counts = data[:].inputs, data.count_events()
    assert counts.events > whole.n_events > 0
    pieces, original = [], SpikeFile.read
    monkeypatch.setattr(SpikeFile, "read", lambda file, rows: pieces.append(len(rows)) or original(file, rows))
    monkeypatch.setattr("ranvier.data.stored._AT_ONCE", 7)
    assert same(data[:].inputs, whole)
    assert data[:].inputs.record == whole.record
    assert data.count_events() == counts
    assert pieces == [7, 7, 7, 7, 7, 5] * 3


def test_batches_go_to_the_device_asked_for(make, monkeypatch):
    asked = []
    monkeypatch.setattr(LabelledSpikes, "to", lambda batch, device: asked.append(device) or batch)
    data = make()
    data[0], data.to("cpu")[0]
    assert asked == []
    assert len(data.to("meta").select([0, 1])[0]) == 1
    assert asked == [torch.device("meta")]
    assert data.to("meta").labels.device.type == "meta"


def test_being_held_out_stays_with_what_is_taken(make):
    for held_out in (True, False):
        data = make(held_out=held_out)
        gridded = data.on_grid(0.1, coincident="sum")
        parts = (data, data.select([0]), gridded, data[0], gridded[0], data[0].on_grid(0.1, coincident="one"))
        assert {part.held_out for part in parts} == {held_out}


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")  # on one core
@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_loader_with_forked_workers_reads_what_the_parent_reads(make, n_workers):
    data = make().on_grid(0.01, coincident="sum")
    expected = data[:]  # the file is open here when the workers are forked
    sampler = BatchSampler(RandomSampler(data, generator=torch.Generator().manual_seed(1)), 8, drop_last=False)
    order = [list(batch) for batch in sampler]
    loader = DataLoader(data, batch_sampler=order, collate_fn=_only, num_workers=n_workers)
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == 5
        for chosen, batch in zip(order, batches, strict=True):
            assert same(batch.inputs, expected[chosen].inputs)
        assert same(data[:].inputs, expected.inputs)


def _only(batch):
    return collate_labelled(batch)


GROWTH = """
import os, sys, torch
from ranvier.data import Kept, SpikeFile, StoredSpikes

def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

file = SpikeFile(sys.argv[1])
whole = StoredSpikes(file, torch.arange(len(file)), 20, 700, 1.4, kept=Kept(int(sys.argv[2])))
data = whole.on_grid(1e-3, coincident="one")
batches = torch.randperm(len(data)).split(16)
seen = data[batches[0]].inputs.n_events  # what one batch needs is taken
before = peak()
for batch in batches[1:]:
    seen += data[batch].inputs.n_events
print(before, peak() - before, seen)
"""


def _grown(path: Path, kept: int) -> tuple[int, int]:
    command = [sys.executable, "-c", GROWTH, str(path), str(kept)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    _, grown, seen = map(int, ran.stdout.split())
    return grown, seen


def _big_file(path: Path, n_samples: int) -> Path:
    random = np.random.default_rng(0)
    times = np.sort(random.random(8000) * 1.2).astype(np.float16)
    units = random.integers(0, 700, 8000)
    return write_spikes(path, [(times, units)] * n_samples, np.arange(n_samples) % 20)


@pytest.mark.parametrize("kept", [0, 20_000_000])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_file_beyond_what_may_be_kept(tmp_path, kept):
    path = _big_file(tmp_path / "big.h5", 1500)
    assert path.stat().st_size > 45e6
    grown, seen = _grown(path, kept)
    assert seen > 1500 * 7000
    assert grown < 15e6 + kept


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_a_file_of_the_size_of_shd(tmp_path):
    path = _big_file(tmp_path / "big.h5", 8156)
    assert path.stat().st_size > 250e6
    grown, seen = _grown(path, 0)
    assert seen > 8156 * 7000
    assert grown < 20e6
