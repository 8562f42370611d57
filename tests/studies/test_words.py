"""The settings of our own for some thousand words, and that they learn real ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from ranvier.gradients import Esser, EventProp, Surrogate
from ranvier.layers import Network
from ranvier.studies import documented, study
from ranvier.training import evaluate, fit
from tests.data.audio.files import folder_of_digits

FSDD = Path(__file__).parents[2].parent / "shared" / "data" / "fsdd"
GRADIENTS = ("eventprop", "surrogate")


def test_both_gradients_train_the_same_network_under_the_same_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranvier.data.audio.cached.cache", lambda: tmp_path / "encoded")
    dataset = f"audio:{folder_of_digits(tmp_path / 'digits', n=5, seconds=0.03)}"
    exact, surrogate = (study(documented(dataset, name, channels=16, threads=1)) for name in GRADIENTS)
    assert hidden(exact.network).gradient == EventProp(min_slope=2.0)
    assert hidden(surrogate.network).gradient == Surrogate(Esser(scale=5.0))
    assert hidden(exact.network).neuron == hidden(surrogate.network).neuron
    assert exact.loss == surrogate.loss
    assert exact.augment == surrogate.augment
    assert exact.network.layers["output"].w_in.std().item() == pytest.approx(1.0, rel=0.1)
    for one, other in zip(exact.network.parameters(), surrogate.network.parameters(), strict=True):
        assert one.equal(other)
    assert exact.fit.rates == surrogate.fit.rates == {"output": 2e-2}


def test_words_are_trained_on_alike_wherever_they_are() -> None:
    for gradient in GRADIENTS:
        fsdd, folder, file = (documented(name, gradient) for name in ("fsdd", "audio:a", "spikes:a.h5"))
        assert fsdd.ear == folder.ear == "speech"
        assert fsdd == replace(folder, dataset="fsdd") == replace(file, dataset="fsdd", ear="speech")


@pytest.mark.slow
@pytest.mark.skipif(not FSDD.exists(), reason="needs the Free Spoken Digit Dataset beside the repository")
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_spoken_digits_are_learned(gradient: str) -> None:
    """Ten of 100 epochs, after which docs/results.md has 96 %."""
    parts = study(documented("fsdd", gradient, data_dir=str(FSDD), epochs=10))
    before = evaluate(parts.network, parts.loss, parts.splits.validation)
    assert before.spikes_per_sample["hidden"] > 100
    assert before.accuracy < 0.3
    done = fit(
        parts.network,
        parts.loss,
        parts.splits.train,
        parts.splits.validation,
        parts.fit,
        regularisers=parts.regularisers,
        augment=parts.augment,
        progress=False,
    )
    assert done.best_validation > 0.6


def hidden(network: Network):
    return network.layers["hidden"]
