"""Words that are easy to tell apart: a volley on the lower or on the upper channels, and files of them."""

from pathlib import Path

import numpy as np

from tests.data.spike_files import write_spikes

CHANNELS, DURATION = 16, 0.1
SPEAKERS = ("ann", "bob", "cy", "dan")


def easy_words(path: Path, n_samples: int = 80, seed: int = 0, **kinds) -> Path:
    """Two classes, four speakers; every sample has 24 spikes in the first 60 ms."""
    random = np.random.default_rng(seed)
    labels = [sample % 2 for sample in range(n_samples)]
    samples = [
        (np.sort(random.random(24) * 0.06), random.integers(0, CHANNELS // 2, 24) + label * CHANNELS // 2)
        for label in labels
    ]
    numbers = [sample // 2 % len(SPEAKERS) for sample in range(n_samples)]
    extra = {"speaker": numbers, "speaker_names": list(SPEAKERS), "keys": ["low", "high"]}
    return write_spikes(path, samples, labels, extra=extra, **kinds)
