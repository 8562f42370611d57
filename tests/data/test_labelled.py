import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from ranvier.data import Labelled, LabelledSpikes, Splits, collate_labelled
from ranvier.data.labelled import choosable
from ranvier.spikes import Spikes


def ragged_spikes() -> Spikes:
    return Spikes(
        units=torch.tensor([0, 2, 1, 1, 0], dtype=torch.int32),
        times=torch.tensor([1e-3, 2e-3, 5e-3, 0.0, 9e-3]),
        amplitudes=torch.ones(5),
        offsets=torch.tensor([0, 2, 2, 3, 5]),
        unit_shape=(3,),
        duration=10e-3,
    )


@pytest.fixture
def data() -> LabelledSpikes:
    return LabelledSpikes(ragged_spikes(), torch.tensor([3, 1, 0, 2]), 4)


@pytest.mark.parametrize(
    ("indices", "rows"),
    [
        pytest.param(2, [2], id="int"),
        pytest.param(-1, [3], id="negative"),
        pytest.param(slice(1, 3), [1, 2], id="slice"),
        pytest.param(slice(None, None, 2), [0, 2], id="stride"),
        pytest.param([3, 0, 3], [3, 0, 3], id="list"),
        pytest.param([], [], id="empty"),
        pytest.param(torch.tensor([2, 1]), [2, 1], id="tensor"),
        pytest.param(torch.tensor([True, False, False, True]), [0, 3], id="mask"),
    ],
)
def test_selection_keeps_samples_and_labels_together(data, indices, rows):
    chosen = data[indices]
    assert chosen.labels.tolist() == data.labels[rows].tolist()
    assert len(chosen) == len(rows)
    assert chosen.n_classes == 4
    spans = [slice(data.inputs.offsets[row], data.inputs.offsets[row + 1]) for row in rows]
    assert chosen.inputs.times.tolist() == [t for span in spans for t in data.inputs.times[span].tolist()]
    assert chosen.inputs.units.tolist() == [u for span in spans for u in data.inputs.units[span].tolist()]


def test_an_index_out_of_range_raises_so_that_iteration_ends(data):
    with pytest.raises(IndexError, match=r"Got 4"):
        data[4]
    assert [part.labels.item() for part in data] == [3, 1, 0, 2]


def test_is_a_torch_data_set(data):
    assert isinstance(data, Dataset)
    batches = list(DataLoader(data, batch_size=3, collate_fn=collate_labelled))
    assert [batch.labels.tolist() for batch in batches] == [[3, 1, 0], [2]]
    assert batches[0].inputs.offsets.tolist() == [0, 2, 2, 3]
    assert batches[1].inputs.units.tolist() == [1, 0]


def test_a_loader_can_ask_for_whole_batches(data):
    sampler = BatchSampler(SequentialSampler(data), batch_size=3, drop_last=False)
    batches = list(DataLoader(data, sampler=sampler, batch_size=None))
    assert [batch.labels.tolist() for batch in batches] == [[3, 1, 0], [2]]
    assert batches[0].inputs.offsets.tolist() == [0, 2, 2, 3]


def test_on_grid_moves_the_events_and_keeps_the_labels(data):
    gridded = data.on_grid(1e-3, coincident="sum")
    assert gridded.inputs.steps is not None
    assert gridded.inputs.steps.tolist() == [1, 2, 5, 0, 9]
    assert gridded.labels is data.labels


def test_to_moves_inputs_and_labels(data, monkeypatch):
    asked = []
    monkeypatch.setattr(Spikes, "to", lambda spikes, device: asked.append(device) or spikes)
    moved = data.to("cpu")
    assert asked == ["cpu"]
    assert moved.labels.tolist() == data.labels.tolist()


def test_collate_restores_what_was_taken_apart(data):
    joined = collate_labelled([data[[0, 1]], data[2], data[3]])
    assert joined.labels.tolist() == data.labels.tolist()
    assert joined.inputs.offsets.tolist() == data.inputs.offsets.tolist()
    assert joined.inputs.times.tolist() == data.inputs.times.tolist()


def test_what_is_in_memory_is_what_training_takes(data):
    assert isinstance(data, Labelled)
    assert data.select([3, 0]).labels.tolist() == data[[3, 0]].labels.tolist()


def test_the_test_part_is_held_out_and_so_is_all_that_is_taken_from_it(data):
    splits = Splits(data[[0, 1]], data[2], data[3])
    assert [len(part) for part in splits] == [2, 1, 1]
    assert [part.held_out for part in splits] == [False, False, True]
    test = splits.test
    taken = (test[0], test.select([0]), test.on_grid(1e-3, coincident="sum"), test.to("cpu"))
    assert all(part.held_out for part in taken)
    assert collate_labelled([data[0], test]).held_out
    assert not collate_labelled([data[0], splits.train]).held_out
    again = Splits(*(part.on_grid(1e-3, coincident="sum") for part in splits))
    assert [part.held_out for part in again] == [False, False, True]


def test_nothing_is_chosen_on_what_is_held_out(data):
    splits = Splits(data[[0, 1]], data[2], data[3])
    choosable("`train` of fit", splits.train)
    with pytest.raises(ValueError, match=r"`train` of fit must not be a test set: .* Got data that is held out."):
        choosable("`train` of fit", splits.test)
    with pytest.raises(ValueError, match=r"`train` of fit must hold at least one sample. Got none."):
        choosable("`train` of fit", data[[]])


def test_collate_refuses_nothing_and_mixtures(data):
    with pytest.raises(ValueError, match=r"at least one LabelledSpikes. Got none"):
        collate_labelled([])
    with pytest.raises(ValueError, match=r"share one `n_classes`. Got 4 and, at 1, 5"):
        collate_labelled([data, LabelledSpikes(data.inputs, data.labels, 5)])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"inputs": [1]}, TypeError, "`inputs` of LabelledSpikes must be Spikes. Got list."),
        ({"labels": [3, 1, 0, 2]}, TypeError, "`labels` of LabelledSpikes must be a tensor. Got list."),
        (
            {"labels": torch.zeros(4, dtype=torch.int32)},
            TypeError,
            "`labels` of LabelledSpikes must be int64. Got int32.",
        ),
        (
            {"labels": torch.zeros(3, dtype=torch.int64)},
            ValueError,
            r"shape \(4,\), one per sample. Got \(3,\).",
        ),
        ({"labels": torch.arange(4, device="meta")}, ValueError, "must be on the device of `inputs`, cpu. Got meta."),
        ({"labels": torch.tensor([0, 1, 2, 4])}, ValueError, "must be in 0 to 3. Got 4."),
        ({"labels": torch.tensor([0, -1, 2, 3])}, ValueError, "must be in 0 to 3. Got -1."),
        ({"n_classes": 0}, ValueError, "`n_classes` of LabelledSpikes must be a whole number >= 1. Got 0."),
        (
            {"n_classes": 4.0},
            ValueError,
            "`n_classes` of LabelledSpikes must be a whole number >= 1. Got 4.0.",
        ),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_arguments_are_named(data, change, error, message):
    arguments = {"inputs": data.inputs, "labels": data.labels, "n_classes": 4} | change
    with pytest.raises(error, match=message):
        LabelledSpikes(**arguments)
