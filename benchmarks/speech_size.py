"""Seconds per epoch and memory of a data set as large as SHD, made from spoken digits.

    python -m benchmarks.speech_size --data-dir D --out FOLDER [--epochs 2] [--threads 2]

D holds the Free Spoken Digit Dataset. Each of its words, as spikes of 700 channels (`--ear speech`), is varied: played
faster or slower by up to a quarter (times), and higher or lower by up to 40 channels (pitch). Words that were raised
are the second ten of twenty classes. 10,195 of them, so that the 80 % that train are SHD's 8,156; the layout is that of
SHD.

Trained on as `ranvier train spikes:FILE --dt 1e-3` does: 256 recurrent units, batches of 32. Each method in a process
of its own; seconds are those of training, without the first epoch, in which kernels are compiled; memory is the
process's highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

SAMPLES, CHANNELS = 10_195, 700
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "EventProp": ("eventprop", {}),
    "surrogate of bounded width (Esser)": ("surrogate", {}),
    "SuperSpike": ("surrogate", {"surrogate": "superspike", "surrogate_scale": 10.0}),
}


def make(data_dir: Path, path: Path) -> None:
    """Write the file, the same for every machine."""
    import h5py

    from ranvier.data.audio import layout
    from ranvier.data.audio.cached import encoded_fsdd
    from ranvier.data.audio.ears import ear

    random = np.random.default_rng(0)
    with h5py.File(encoded_fsdd(data_dir, ear("speech")), "r") as source:
        times, units = source["spikes/times"][:], source["spikes/units"][:]
        digits, keys = source["labels"][:], [key.decode() for key in source["extra/keys"]]

    def varied(index: int) -> layout.Row:
        word = index % len(times)
        speed, shift = random.uniform(0.8, 1.25), int(random.integers(-40, 41))
        moved = units[word].astype(np.int64) - shift  # low numbers are high tones
        inside = (moved >= 0) & (moved < CHANNELS)
        label = int(digits[word]) + len(keys) * (shift > 0)
        return layout.Row(times[word][inside] / speed, moved[inside], label, None, f"{index}", 8000, 1.0)

    layout.write(path, SAMPLES, varied, [*keys, *(f"{key}, raised" for key in keys)], None, {"channels": CHANNELS})


def run(name: str, path: Path, epochs: int, threads: int) -> None:
    """Train, and print what it took as JSON."""
    import resource

    import torch

    from ranvier.studies import documented, study
    from ranvier.training import fit

    torch.set_num_threads(threads)
    gradient, changes = METHODS[name]
    config = documented(f"spikes:{path}", gradient, epochs=epochs + 1, threads=threads, dt=1e-3, **changes)
    parts = study(config)
    with TemporaryDirectory() as folder:
        fit(
            parts.network,
            parts.loss,
            parts.splits.train,
            parts.splits.validation[:32],
            parts.fit,
            regularisers=parts.regularisers,
            augment=parts.augment,
            run_dir=Path(folder) / "run",
        )
        epochs_seen = [json.loads(line) for line in (Path(folder) / "run/metrics.jsonl").read_text().splitlines()]
    found = {
        "seconds": [epoch["seconds"] for epoch in epochs_seen][1:],
        "rate": epochs_seen[-1]["rates"]["hidden"],
        "accuracy": 100 * epochs_seen[-1]["train_accuracy"],
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


def main() -> None:
    """Make the file if it is not there, time every method, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--method", choices=list(METHODS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    path = given.out / "shd_size.h5"
    if given.method:
        return run(given.method, path, given.epochs, given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        make(given.data_dir, path)
    print("| method | s per epoch | spikes of a hidden unit, Hz | training accuracy, % | highest memory, MB |")
    print("|---|--:|--:|--:|--:|")
    for name in METHODS:
        command = [sys.executable, "-m", "benchmarks.speech_size", *sys.argv[1:], "--method", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        each = ", ".join(f"{seconds:.1f}" for seconds in found["seconds"])
        rest = f"{found['rate']:.1f} | {found['accuracy']:.0f} | {found['megabytes']:.0f}"
        print(f"| {name} | {each} | {rest} |", flush=True)
    return None


if __name__ == "__main__":
    main()
