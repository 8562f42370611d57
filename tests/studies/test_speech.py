"""The study of spoken words, on words that are easy to tell apart."""

import io
import math
import wave
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ranvier.data import SpikeFile
from ranvier.data.fsdd import FSDD_ZIP
from ranvier.errors import DataError
from ranvier.gradients import EventProp, SuperSpike, Surrogate
from ranvier.layers import DelayLine, Readout, Spiking
from ranvier.losses import IntegralCrossEntropy, LowerActivity, MaxOverTimeCrossEntropy, TargetActivity
from ranvier.studies import documented, speech, study
from ranvier.training import EaseIn, Plateau, WakeAfterEpoch, evaluate, fit
from tests.data.audio.files import folder_of_digits
from tests.data.spike_files import write_spikes
from tests.studies.speech_data import CHANNELS, DURATION, easy_words

SMALL: dict[str, Any] = {
    "channels": CHANNELS,
    "duration": DURATION,
    "dt": 2e-3,
    "hidden": 16,
    "batch_size": 8,
    "epochs": 4,
    "learning_rate": 2e-2,
    "ease_in": None,
    "threads": 1,
}
STRONG: dict[str, Any] = {"hidden_weights": (CHANNELS / 700, 0.3 * CHANNELS / 700), "output_weights": (0.0, 0.3)}


def small(dataset: str, gradient: str = "eventprop", **changes: Any):
    """The published settings, but for what makes them small."""
    strong = STRONG if gradient == "eventprop" else {}
    return replace(documented("shd", gradient), dataset=dataset, **(SMALL | strong | changes))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return easy_words(tmp_path_factory.mktemp("words") / "easy.h5")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ranvier.data.audio.cached.cache", lambda: tmp_path / "encoded")
    return tmp_path / "encoded"


def test_shd_has_the_published_settings(tmp_path: Path) -> None:
    for part in ("train", "test"):
        easy_words(tmp_path / f"shd_{part}.h5", 16)
    parts = study(documented("shd", data_dir=str(tmp_path)))
    hidden, output = parts.network.layers["hidden"], parts.network.layers["output"]
    assert isinstance(hidden, Spiking)
    assert isinstance(output, Readout)
    assert hidden.w_rec is not None
    assert (hidden.w_in.shape, hidden.w_rec.shape, output.w_in.shape) == ((700, 256), (256, 256), (256, 20))
    for drawn, mean, std in ((hidden.w_in, 0.03, 0.01), (hidden.w_rec, 0.0, 0.02), (output.w_in, 0.0, 0.03)):
        assert drawn.mean().item() == pytest.approx(mean, abs=4 * std / math.sqrt(drawn.numel()))
        assert drawn.std().item() == pytest.approx(std, rel=0.05)
    assert hidden.gradient == EventProp(min_slope=2.0)  # the one departure
    assert parts.loss == IntegralCrossEntropy("exponential")
    assert parts.regularisers == {"hidden": [TargetActivity.published(5e-10, 14.0, tau_mem=20e-3)]}
    assert parts.regularisers["hidden"][0].upper == pytest.approx(1e-7)
    assert parts.fit.ease_in == EaseIn(1e-3, 1.05)
    assert parts.fit.plateau == Plateau()
    assert parts.fit.wake_after == WakeAfterEpoch("hidden", 2e-3)
    assert (parts.fit.learning_rate, parts.fit.decay, parts.fit.batch_size) == (1e-3, 1.0, 32)
    inputs = parts.splits.train[:2].inputs
    assert (inputs.dt, inputs.n_steps, inputs.n_units) == (1e-3, 1000, 700)
    assert parts.augment is not None


def test_a_surrogate_fluctuates_and_counts_the_maximum(words: Path) -> None:
    parts = study(small(f"spikes:{words}", "surrogate", hidden=400))
    hidden = parts.network.layers["hidden"]
    assert isinstance(hidden, Spiking)
    assert hidden.w_rec is not None
    assert hidden.gradient == Surrogate(SuperSpike(scale=10.0))
    assert parts.loss == MaxOverTimeCrossEntropy()
    assert isinstance(parts.regularisers["hidden"][0], LowerActivity)
    # 24 spikes on 16 channels in 0.1 s are 15 Hz; the variance is shared 9 to 1 between 16 inputs and 400 neurons
    ratio = (hidden.w_in.var() / hidden.w_rec.var()).item()
    assert ratio == pytest.approx(9 * 400 / CHANNELS, rel=0.1)
    twice = study(small(f"spikes:{words}", "surrogate", hidden=400, xi=2.0)).network.layers["hidden"]
    assert torch.allclose(hidden.w_in, 2 * twice.w_in)


@pytest.mark.parametrize("gradient", ["eventprop", "surrogate"])
def test_easy_words_are_learned(words: Path, gradient: str) -> None:
    parts = study(small(f"spikes:{words}", gradient))
    assert [len(part) for part in parts.splits] == [64, 8, 8]
    before = evaluate(parts.network, parts.loss, parts.splits.validation)
    assert before.spikes_per_sample["hidden"] > 0
    result = fit(
        parts.network,
        parts.loss,
        parts.splits.train,
        parts.splits.validation,
        parts.fit,
        regularisers=parts.regularisers,
        augment=parts.augment,
        progress=False,
    )
    tested = evaluate(parts.network, parts.loss, parts.splits.test)
    assert tested.spikes_per_sample["hidden"] > 0
    assert result.metrics["train_accuracy"] > 0.8
    assert tested.accuracy > 0.8


def test_a_delay_line_divides_the_weights(words: Path) -> None:
    plain, ten = (study(small(f"spikes:{words}", hidden=200, delay_line=copies)).network.layers for copies in (1, 10))
    assert set(plain) == {"hidden", "output"}
    assert isinstance(ten["delay_line"], DelayLine)
    assert (ten["delay_line"].copies, ten["delay_line"].spacing) == (10, 30e-3)
    assert ten["hidden"].w_in.shape == (10 * CHANNELS, 200)
    assert ten["hidden"].w_in.mean().item() == pytest.approx(0.1, abs=0.01)


def test_hidden_units_have_time_constants_of_their_own(words: Path) -> None:
    """Drawn around the means, learned within bounds, for both ways to draw weights; the readout keeps the means."""
    for gradient in ("eventprop", "surrogate"):
        given = small(f"spikes:{words}", gradient, drawn_times=True, learned_times=True, hidden=300)
        parts, again, plain = study(given), study(given), study(replace(given, drawn_times=False, learned_times=False))
        hidden = parts.network.layers["hidden"]
        drawn = hidden.learned.values()
        for name, lowest in (("tau_mem", 3e-3), ("tau_syn", 1e-3)):
            mean = getattr(given, name)
            assert drawn[name].shape == (300,)
            assert drawn[name].mean().item() == pytest.approx(mean, rel=0.15)
            assert drawn[name].std().item() > 0.3 * mean
            assert hidden.learned.bounds[name] == (lowest, 3 * mean)
            assert torch.equal(drawn[name], again.network.layers["hidden"].learned.values()[name])
            assert getattr(parts.network.layers["output"].neuron, name) == mean
            assert getattr(plain.network.layers["hidden"].neuron, name) == mean
        assert not plain.network.layers["hidden"].learned.values()
        batch = parts.splits.train[:8]
        run = parts.network(batch.inputs)
        assert run.activity["hidden"].n_events > 0
        parts.loss(run.output, batch.labels).backward()
        assert all(bool(value.grad.any()) for value in hidden.learned.parameters())


def test_blends_join_the_training_part_alone(words: Path) -> None:
    plain, blended = (study(small(f"spikes:{words}", blend=blend)).splits for blend in (False, True))
    assert len(blended.train) == 2 * len(plain.train)
    assert [len(part) for part in blended][1:] == [len(part) for part in plain][1:]
    assert torch.equal(blended.train[:64].inputs.units, plain.train[:].inputs.units)
    assert blended.train[64:].inputs.n_events > 0
    assert blended.train.inputs.amplitudes.max() == 1


def test_the_shift_is_in_proportion_to_the_channels(words: Path) -> None:
    assert study(small(f"spikes:{words}", shift=100)).augment.each[0].most == 2  # 100 of 700 are 2 of 16
    assert study(small(f"spikes:{words}", shift=0)).augment is None


def test_at_most_one_spike_per_channel_and_step(tmp_path: Path) -> None:
    path = write_spikes(tmp_path / "twice.h5", [([0.01, 0.0101], [3, 3])] * 20, [0, 1] * 10)
    inputs = study(small(f"spikes:{path}")).splits.train[:1].inputs
    assert inputs.amplitudes.tolist() == [1.0]


def test_a_trial_on_few_samples_has_all_classes(words: Path) -> None:
    train = study(small(f"spikes:{words}", n_train=20)).splits.train
    assert len(train) == 20
    assert 4 < int(train.labels.sum()) < 16


def test_a_speaker_is_left_out_and_the_next_one_validates(words: Path) -> None:
    splits = study(small(f"spikes:{words}", leave_out="dan")).splits
    assert [sorted(set(part.column("speaker").tolist())) for part in splits] == [["bob", "cy"], ["ann"], ["dan"]]
    with pytest.raises(DataError, match=r"`leave_out` must be a speaker of .*easy\.h5: ann, bob, cy, dan\. Got eve\."):
        study(small(f"spikes:{words}", leave_out="eve"))


def test_the_split_has_a_seed_of_its_own(words: Path) -> None:
    first, again, other = (
        study(small(f"spikes:{words}", seed=seed, split_seed=split)).splits.test.samples.tolist()
        for seed, split in ((0, 0), (1, 0), (0, 1))
    )
    assert first == again != other


def test_too_few_samples_are_one_sentence(tmp_path: Path) -> None:
    path = write_spikes(tmp_path / "two.h5", [([0.01], [0])] * 2, [0, 1])
    with pytest.raises(DataError, match="must have samples for training, validation and test"):
        study(small(f"spikes:{path}"))


def test_silent_files_have_no_fluctuations(tmp_path: Path) -> None:
    path = write_spikes(tmp_path / "silent.h5", [([], [])] * 20, [0, 1] * 10)
    with pytest.raises(DataError, match="must hold spikes"):
        study(small(f"spikes:{path}", "surrogate"))


def test_recordings_are_encoded_once(tmp_path: Path, cache: Path) -> None:
    folder = folder_of_digits(tmp_path / "digits", n=5, seconds=0.03)
    told: list[int] = []
    config = small(f"audio:{folder}")
    splits = study(config, lambda done, total, line: told.append(total)).splits
    assert told == [20] * 20
    assert [len(part) for part in splits] == [16, 2, 2]
    assert splits.train.n_units == CHANNELS
    assert splits.train[:].inputs.n_events > 0
    study(config, lambda *_: pytest.fail("encoded again"))
    (made,) = cache.iterdir()
    assert SpikeFile(made).channels == CHANNELS
    (folder / "0_ann_0.wav").unlink()
    study(config, lambda done, total, line: told.append(total))
    assert told[20:] == [19] * 19
    assert len(list(cache.iterdir())) == 2


def fsdd(folder: Path, speakers: tuple[str, ...] = ("ann", "bob", "cy"), n: int = 11) -> Path:
    random = np.random.default_rng(0)
    with zipfile.ZipFile(folder / FSDD_ZIP, "w") as archive:
        for digit in range(2):
            for speaker in speakers:
                for index in range(n):
                    kept = io.BytesIO()
                    with wave.open(kept, "wb") as sound:
                        sound.setnchannels(1)
                        sound.setsampwidth(2)
                        sound.setframerate(8000)
                        sound.writeframes((random.standard_normal(160) * 3000).astype("<i2").tobytes())
                    archive.writestr(f"fsdd/recordings/{digit}_{speaker}_{index}.wav", kept.getvalue())
    return folder


def test_fsdd_has_its_official_split(tmp_path: Path, cache: Path) -> None:
    folder = fsdd(tmp_path)
    config = small("fsdd", data_dir=str(folder))
    splits = study(config).splits
    numbers = [
        {int(str(name).rsplit("_", 1)[1].removesuffix(".wav")) for name in part.column("files")} for part in splits
    ]
    assert numbers == [{10}, {5, 6, 7, 8, 9}, {0, 1, 2, 3, 4}]
    left = study(small("fsdd", data_dir=str(folder), leave_out="cy")).splits
    names = [{str(name).split("_")[1] for name in part.column("files")} for part in left]
    assert names == [{"bob"}, {"ann"}, {"cy"}]
    assert len(list(cache.iterdir())) == 1
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [FSDD_ZIP]
    with pytest.raises(DataError, match="Got none"):
        speech.load(small("fsdd"))
