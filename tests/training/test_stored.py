"""Training from a file is training from memory."""

from itertools import pairwise

import pytest
import torch

from ranvier.data import LabelledSpikes, SpikeFile, Splits, StoredSpikes
from ranvier.training import FitConfig, evaluate, fit
from tests.data.spike_files import write_spikes
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> StoredSpikes:
    """Yin-Yang points of a grid in a file."""
    data = tiny_data(90, 0)
    bounds = data.inputs.offsets.tolist()
    spans = [slice(first, last) for first, last in pairwise(bounds)]
    samples = [(data.inputs.times[span].tolist(), data.inputs.units[span].tolist()) for span in spans]
    path = write_spikes(tmp_path_factory.mktemp("spikes") / "yinyang.h5", samples, data.labels.tolist())
    return StoredSpikes(SpikeFile(path), torch.arange(90), 3, 5, 60e-3).on_grid(1e-3, coincident="sum")


def test_fit_and_evaluate_give_the_same_bits_from_a_file_as_from_memory(stored):
    train, validation = stored.select(slice(60)), stored.select(slice(60, None))
    ends = []
    for parts in ((train, validation), (train[:], validation[:])):
        network = tiny_network()
        told = fit(network, LOSS, *parts, FitConfig(epochs=2, batch_size=16), progress=False)
        tested = evaluate(network, LOSS, parts[1], batch_size=7)
        assert told.metrics["rates"]["hidden"] > 0
        ends.append((weights(network), told.best_validation, told.metrics["train_loss"], tested.loss))
    assert isinstance(train[:], LabelledSpikes)
    assert not equal(ends[0][0], weights(tiny_network()))
    assert equal(ends[0][0], ends[1][0])
    assert ends[0][1:] == ends[1][1:]


@pytest.mark.parametrize("name", ["train", "validation"])
def test_fit_refuses_a_test_set_and_evaluate_takes_it(stored, name):
    for source in (stored, stored[:]):
        splits = Splits(source.select(slice(60)), source.select(slice(60, 75)), source.select(slice(75, None)))
        data = {"train": splits.train, "validation": splits.validation} | {name: splits.test}
        with pytest.raises(ValueError, match=rf"`{name}` of fit must not be a test set"):
            fit(tiny_network(), LOSS, **data, progress=False)
        assert evaluate(tiny_network(), LOSS, splits.test).loss > 0
