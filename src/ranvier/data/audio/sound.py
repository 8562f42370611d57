"""A recording made ready for the ear: one rate, one loudness, silent ends."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio.extra import need

Array = NDArray[Any]


def prepare(
    sound: Array,
    sample_rate: float | int,
    to_rate: int,
    rms: float,
    fade_in: float | None,
    fade_out: float | None,
    high_pass: float | None = None,
) -> Array:
    """Resample, then filter, then scale to `rms`, then fade in and out with half Hann windows.

    Args:
        sound: float64 [n].
        sample_rate: of `sound`, Hz.
        to_rate: Hz.
        rms: root mean square before fading; silence stays silent.
        fade_in: s, None for the first half of the sound.
        fade_out: s, None for the last half.
        high_pass: Hz below which a first-order (Butterworth) filter weakens the sound by 6 dB an octave; None for none.

    Returns:
        float64 [n · to_rate / sample_rate], at least one sample.
    """
    if sample_rate != to_rate:
        resampled = need("soxr").resample(sound, sample_rate, to_rate)
        sound = resampled if len(resampled) else np.zeros(1)
    if high_pass is not None:
        signal = need("scipy.signal")
        sound = signal.lfilter(*signal.butter(1, high_pass, "highpass", fs=to_rate), sound)
    size = np.sqrt(np.mean(sound**2))
    if size > 0:
        sound = sound * (rms / size)
    n = len(sound)
    rise = n // 2 if fade_in is None else min(round(fade_in * to_rate), n)
    fall = n - n // 2 if fade_out is None else min(round(fade_out * to_rate), n)
    sound = sound.copy()
    sound[:rise] *= _half_hann(rise)
    sound[n - fall :] *= _half_hann(fall)[::-1]
    return sound


def _half_hann(n: int) -> Array:
    return np.sin(np.pi / 2 * np.arange(n) / max(n, 1)) ** 2


def fingerprint(sound: Array, sample_rate: float | int, seed: int) -> Array:
    """Key of the random fibres, uint64 [2]: of the seed and of what is heard, nothing else."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{seed} {sample_rate}\n".encode())
    digest.update(np.ascontiguousarray(sound, dtype="<f8").tobytes())
    return np.frombuffer(digest.digest(), dtype="<u8")
