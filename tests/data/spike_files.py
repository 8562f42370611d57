"""Small files in the layout of the Heidelberg data sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np


def write_spikes(
    path: Path,
    samples: Sequence[tuple[Sequence[float], Sequence[int]]],
    labels: Sequence[int] | None = None,
    *,
    extra: Mapping[str, Sequence] | None = None,
    times_dtype: type = np.float16,
    units_dtype: type = np.uint16,
) -> Path:
    """Write `(times, units)` pairs, as the authors' files have them."""
    with h5py.File(path, "w") as file:
        for name, place, dtype in (("times", 0, times_dtype), ("units", 1, units_dtype)):
            stored = file.create_dataset(f"spikes/{name}", (len(samples),), dtype=h5py.vlen_dtype(dtype))
            for sample, pair in enumerate(samples):
                stored[sample] = np.array(pair[place], dtype=dtype)
        file["labels"] = np.array(range(len(samples)) if labels is None else labels, dtype=np.uint16)
        for name, values in (extra or {}).items():
            file[f"extra/{name}"] = np.array(values, dtype=h5py.string_dtype() if isinstance(values[0], str) else None)
    return path


def random_samples(
    n_samples: int, n_units: int, *, duration: float = 1.0, most: int = 60, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sorted, many of them on the same channel at about the same time; some samples are empty."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, most, n_samples) * (random.random(n_samples) > 0.1)
    return [
        (np.sort(random.random(count) * duration).astype(np.float16), random.integers(0, n_units, count))
        for count in counts
    ]
