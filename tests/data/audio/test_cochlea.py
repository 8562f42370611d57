"""The whole ear: kernels against the reference, and what a cochlea does."""

import math

import numpy as np
import pytest
import torch

import ranvier as rv
from ranvier.data.audio import BasilarMembrane, Cochlea, reference, transfer
from ranvier.data.audio.ears import EARS, ear
from ranvier.data.audio.sound import prepare
from ranvier.errors import DataError
from ranvier.studies.config import EAR_NAMES
from tests.data.audio.sounds import noise, syllables, tone

SMALL = Cochlea(channels=20, fade_in=2e-3, fade_out=2e-3)  # one whole block, and one of four channels


def events(heard):
    return heard.steps.tolist(), heard.channels.tolist()


def test_the_fast_path_is_the_reference():
    sound = tone(600, 0.05) + 0.5 * tone(200, 0.05)
    fast, slow = (SMALL.hear(sound, 48_000, backend=backend) for backend in ("numba", "reference"))
    assert len(slow.steps) > 20
    assert len(set(slow.channels)) > 3
    assert events(fast) == events(slow)
    assert fast.n_steps == slow.n_steps == 1201


@pytest.mark.parametrize("channels", [3, 35])
@pytest.mark.parametrize("causal", [False, True])
def test_velocities_are_the_references(channels, causal):
    cochlea = Cochlea(channels=channels, membrane=BasilarMembrane(causal=causal))
    ready = cochlea.prepare(noise(0.1), 48_000)
    spectrum = cochlea.spectrum(ready)
    sound = np.pad(ready, (0, 2 * (len(spectrum) - 1) - len(ready)))
    places = cochlea.membrane.places(channels)
    for index, block in enumerate(transfer.blocks(channels)):
        truth = reference.velocity(sound, 48_000, cochlea.membrane, places[block])
        assert np.abs(truth).max(1).min() > 0.5
        got = cochlea.velocity(spectrum, index, len(spectrum))
        error = np.abs(got - truth).max(1) / np.abs(truth).max(1)
        assert error.max() < 2e-6


def test_padding_changes_little():
    """Of n bins the last stands for a step too early by 1 / n, which only high tones feel; faded ends wrap around."""
    faded = Cochlea(channels=20)
    ready = faded.prepare(noise(0.4), 48_000)
    places = faded.membrane.places(20)
    own = reference.velocity(ready, 48_000, faded.membrane, places)[:, :9600]
    padded = reference.velocity(np.pad(ready, (0, 2 * len(ready))), 48_000, faded.membrane, places)[:, :9600]
    low = faded.resonances() < 300
    assert np.abs(own - padded)[low].max() < 0.1 * np.abs(own[low]).max()
    assert (own**2).sum(1) == pytest.approx((padded**2).sum(1), rel=0.05)


@pytest.mark.parametrize(
    ("steps", "bins"), [(1, 1024), (256, 1024), (257, 1536), (769, 2048), (24_001, 32_768), (23_808, 24_576)]
)
def test_few_lengths(steps, bins):
    assert transfer.padded(steps) == bins


def test_the_transfer_function_is_computed_once_per_length(monkeypatch):
    calls = []
    compute = transfer._compute
    monkeypatch.setattr(transfer, "_compute", lambda key: calls.append(key) or compute(key))
    transfer.forget()
    cochlea = Cochlea(channels=17)
    for seconds in (0.02, 0.021, 0.03):
        cochlea.hear(noise(seconds), 48_000)
    assert [(key.block, key.bins) for key in calls] == [(0, 1536), (1, 1536)]


def test_the_cache_forgets_the_oldest(monkeypatch):
    transfer.forget()
    monkeypatch.setattr(transfer, "BUDGET", 1)
    Cochlea(channels=40).hear(noise(0.02), 48_000)
    assert len(transfer._kept) == len(transfer._turns) == 1
    transfer.forget()


def test_spikes_depend_on_sound_and_seed_alone():
    sound = tone(250, 0.1)
    first = events(SMALL.hear(sound, 48_000, seed=3))
    assert len(first[0]) > 20
    SMALL.hear(noise(), 48_000)
    assert events(SMALL.hear(sound, 48_000, seed=3)) == first
    assert events(SMALL.hear(sound, 48_000, seed=3, threads=3)) == first
    assert events(SMALL.hear(sound.copy()[::1], 48_000, seed=4)) != first
    assert events(SMALL.hear(np.append(sound, 0.0), 48_000, seed=3)) != first


def test_blocks_have_streams_of_their_own():
    """Equal cells on equal sound spike differently in different blocks."""
    from ranvier.data.audio.cochlea import stream
    from ranvier.data.audio.sound import fingerprint

    key = fingerprint(tone(100), 48_000, 0)
    draws = [stream(key, block).random(5).tolist() for block in (0, 1, 0)]
    assert draws[0] == draws[2]
    assert not set(draws[0]) & set(draws[1])


def test_a_call_gives_spikes():
    spikes = rv.Cochlea(channels=20, fade_in=2e-3, fade_out=2e-3)(tone(250, 0.1), 48_000, seed=3)
    heard = SMALL.hear(tone(250, 0.1), 48_000, seed=3)
    assert isinstance(spikes, rv.Spikes)
    assert spikes.n_units == 20
    assert spikes.dt is None
    assert spikes.duration == pytest.approx(0.1, abs=1e-4)
    assert len(spikes.times) == len(heard.steps) > 20
    assert spikes.times.dtype == torch.float32
    assert spikes.times.numpy() == pytest.approx(heard.steps / 24_000)


@pytest.mark.parametrize("frequency", [250, 1000, 4000])
def test_a_tone_excites_the_channels_that_answer_to_it(frequency):
    cochlea = Cochlea(channels=48, fade_in=2e-3, fade_out=2e-3)
    counts = np.bincount(cochlea.hear(syllables(tone(frequency)), 48_000).channels, minlength=48)
    assert counts.max() > 10
    own = np.abs(np.log(cochlea.resonances() / frequency)) < 0.25
    assert counts[own].max() > 0.6 * counts.max()
    assert counts[cochlea.resonances() < frequency / 2].max(initial=0) <= 2, "the wave dies beyond its place"
    assert counts[cochlea.resonances() > 8 * frequency].max(initial=0) <= 2


def test_a_sweep_excites_channels_in_order():
    cochlea = Cochlea(channels=48, membrane=BasilarMembrane(causal=True), fade_in=0.01, fade_out=0.01)
    t = np.arange(48_000) / 48_000
    rising = np.sin(2 * np.pi * 150 / math.log(40) * 40**t)  # 150 to 6000 Hz in a second
    heard = cochlea.hear(rising, 48_000)
    inside = np.nonzero((cochlea.resonances() > 250) & (cochlea.resonances() < 4500))[0][:24].reshape(4, 6)
    spikes = [heard.steps[np.isin(heard.channels, six)] for six in inside]
    assert min(map(len, spikes)) > 15
    middle = np.array([np.median(steps) for steps in spikes])
    assert (np.diff(middle) < 0).all()
    assert middle[0] - middle[-1] > 10_000  # of 24,000 steps


def test_low_channels_lock_to_the_phase():
    cochlea, frequency = Cochlea(channels=48), 300.0
    heard = cochlea.hear(syllables(tone(frequency, 0.8)), 48_000)
    counts = np.bincount(heard.channels, minlength=48)
    own = [c for c in np.nonzero(counts > 15)[0] if 1 < cochlea.resonances()[c] / frequency < 1.4]
    assert len(own) >= 2
    for channel in own:
        phases = 2 * np.pi * frequency * heard.steps[heard.channels == channel] * cochlea.dt
        assert abs(np.exp(1j * phases).mean()) > 0.5, channel


def test_channels_above_half_the_sampling_rate_are_not_covered():
    cochlea = Cochlea()
    covered = cochlea.covered_channels(8000)
    assert covered.sum() == pytest.approx(470, abs=3)  # two thirds
    assert not covered[:229].any()
    assert covered[240:].all()
    assert cochlea.covered_channels(48_000).all()
    assert cochlea.covered_channels(96_000).all()


def test_an_8_khz_recording_does_not_reach_its_uncovered_channels():
    cochlea = Cochlea(channels=48)
    uncovered = ~cochlea.covered_channels(8000)

    def moves(sound, sample_rate):
        ready = cochlea.prepare(sound, sample_rate)
        velocity = [cochlea.velocity(cochlea.spectrum(ready), block, 2400) for block in range(3)]
        return np.sqrt((np.concatenate(velocity) ** 2).mean(1))

    full, low = moves(noise(0.1), 48_000), moves(noise(0.1, 8000), 8000)
    assert (low[uncovered][:7] < 0.4 * full[uncovered][:7]).all(), "half an octave above, or more"
    middle = (cochlea.resonances() > 500) & (cochlea.resonances() < 3000)
    assert low[middle].mean() > 1.5 * full[middle].mean(), "the same loudness on fewer channels"


@pytest.mark.parametrize("sample_rate", [8000, 44_100, 48_000, 96_000, 11_025.5])
def test_one_sample_is_heard_as_near_silence(sample_rate):
    heard = SMALL.hear(np.ones(1), sample_rate)
    assert 1 <= heard.n_steps <= 4
    assert len(heard.steps) == 0


def test_silence_has_spontaneous_fibres_and_few_spikes():
    spikes = SMALL(np.zeros(4800), 48_000)
    assert (spikes.counts() / spikes.duration).mean() < 5
    assert torch.isfinite(spikes.times).all()


def test_whole_numbers_and_any_scale_are_the_same_sound():
    sound = np.round(1000 * tone(250, 0.1)).astype(np.int16)
    assert events(SMALL.hear(sound, 48_000)) == events(SMALL.hear(sound.astype(np.float32), 48_000))
    a, b = SMALL.prepare(sound * 1.0, 48_000), SMALL.prepare(sound / 7000, 48_000)
    assert a == pytest.approx(b, abs=1e-12)


class TestPrepare:
    def test_loudness_before_fading(self):
        flat = prepare(np.full(1000, 5.0), 48_000, 48_000, 0.3, 1e-9, 1e-9)
        assert np.sqrt(np.mean(flat**2)) == pytest.approx(0.3)

    @pytest.mark.parametrize("n", [1, 2, 9, 1000])
    def test_half_hann_windows_over_the_whole_length(self, n):
        faded = prepare(np.full(n, 1.0), 48_000, 48_000, 0.3, None, None)
        k = np.arange(n // 2)
        assert faded[: n // 2] == pytest.approx(0.3 * (1 - np.cos(np.pi * k / max(n // 2, 1))) / 2)
        assert faded[-1] == 0
        assert faded.max() > 0.25 or n < 9

    def test_chosen_ramps(self):
        faded = prepare(np.full(1000, 1.0), 48_000, 48_000, 0.3, 1e-3, 2e-3)
        assert faded[48:904] == pytest.approx(0.3)
        assert faded[24] == pytest.approx(0.15)
        assert faded[951] == pytest.approx(0.15, rel=0.05)

    def test_resampling_keeps_a_tone(self):
        up = prepare(tone(440, 0.5, 8000), 8000, 48_000, 0.3, 1e-6, 1e-6)
        assert len(up) == 24_000
        assert up[5000:19_000] == pytest.approx(0.3 * math.sqrt(2) * tone(440, 0.5)[5000:19_000], abs=2e-3)

    def test_the_given_array_is_left_alone(self):
        given = np.ones(100)
        prepare(given, 48_000, 48_000, 0.3, None, None)
        assert (given == 1).all()


WRONG = {
    "channels": (lambda: Cochlea(channels=0), "`channels` of Cochlea must be at least 1. Got 0"),
    "odd": (lambda: Cochlea(sample_rate=48_001), "`sample_rate` of Cochlea must be even. Got 48001"),
    "rms": (lambda: Cochlea(rms=-0.3), "`rms` of Cochlea must be finite and > 0. Got -0.3"),
    "high pass": (lambda: Cochlea(high_pass=24_000.0), "`high_pass` of Cochlea must be below half of"),
    "no high pass": (lambda: Cochlea(high_pass=0.0), "`high_pass` of Cochlea must be finite and > 0. Got 0.0"),
    "fade": (lambda: Cochlea(fade_in=-1.0), "`fade_in` of Cochlea must be finite and > 0. Got -1.0"),
    "empty": (lambda: SMALL.hear(np.zeros(0), 8000), "`waveform` must hold at least one sample. Got none"),
    "nan": (lambda: SMALL.hear(np.array([0, np.nan]), 8000), "`waveform` must be finite. Got 1 samples"),
    "stereo": (lambda: SMALL.hear(np.zeros((5, 2)), 8000), r"one axis .* Got float64 \[5, 2\]"),
    "text": (lambda: SMALL.hear(np.array(["a"]), 8000), "`waveform` must be real numbers"),
    "rate": (lambda: SMALL.hear(np.zeros(5), 0), "`sample_rate` must be a finite number of Hz > 0. Got 0"),
    "rate nan": (lambda: SMALL.covered_channels(math.nan), "`sample_rate` must be a finite number"),
    "seed": (lambda: SMALL.hear(np.zeros(5), 8000, seed=-1), "`seed` must be at least 0. Got -1"),
    "threads": (lambda: SMALL.hear(np.zeros(5), 8000, threads=0), "`threads` must be at least 1. Got 0"),
    "backend": (lambda: SMALL.hear(np.zeros(5), 8000, backend="cuda"), "`backend` must be auto, numba or reference"),
}


@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments_are_one_sentence(as_users_run_it, make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(DataError, match=r"extra `audio`.*no package named soxr"):
        SMALL.hear(np.ones(50), 8000)


def test_high_pass_takes_six_decibels_an_octave():
    loud = {f: prepare(tone(f, 0.5), 48_000, 48_000, 0.3, 1e-6, 1e-6, 4000.0) for f in (250, 500)}
    both = prepare(tone(250, 0.5) + tone(500, 0.5), 48_000, 48_000, 0.3, 1e-6, 1e-6, 4000.0)
    low, high = (abs(np.fft.rfft(both[4800:19_200]))[round(f * 0.3)] for f in (250, 500))
    assert high / low == pytest.approx(2.0, rel=0.01)  # f / sqrt(f^2 + 4000^2)
    assert all(np.sqrt(np.mean(sound**2)) == pytest.approx(0.3, rel=1e-3) for sound in loud.values())


class TestEars:
    def test_that_of_the_data_sets_is_the_plain_cochlea(self):
        assert ear("heidelberg") == Cochlea()
        assert ear("heidelberg", 20, causal=True) == Cochlea(20, membrane=BasilarMembrane(causal=True))

    def test_that_of_speech_hears_high_tones_behind_low_ones(self):
        sound = tone(200, 0.3) + 0.2 * tone(2500, 0.3)
        heard = {name: ear(name, 48).hear(sound, 48_000) for name in ("heidelberg", "speech")}
        place = abs(ear("speech", 48).resonances() - 2500).argmin()
        high = {name: np.isin(one.channels, range(place - 1, place + 2)).sum() for name, one in heard.items()}
        assert high["speech"] > 10 + 2 * high["heidelberg"]

    def test_an_unknown_one_is_one_sentence(self):
        with pytest.raises(ValueError, match=r"`ear` must be one of heidelberg, speech\. Got 'cat'"):
            ear("cat")

    def test_names_are_those_of_a_study(self):
        assert tuple(EARS) == EAR_NAMES
