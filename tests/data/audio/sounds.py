"""Sounds that several tests hear."""

import numpy as np


def tone(frequency, seconds=0.2, sample_rate=48_000):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * sample_rate)) / sample_rate)


def noise(seconds=0.1, sample_rate=48_000, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * sample_rate))


def vowel(seconds=0.3, sample_rate=48_000, pitch=120):
    """Clicks in a row: all harmonics of the pitch."""
    sound = np.zeros(round(seconds * sample_rate))
    sound[:: round(sample_rate / pitch)] = 1.0
    return sound


def syllables(sound, sample_rate=48_000):
    """Loud and silent in turn, 20 times per second: hair cells adapt, and answer to what changes."""
    return sound * (np.sin(2 * np.pi * 20 * np.arange(len(sound)) / sample_rate) > 0)
