"""How fast the cochlea turns sound into spikes: each stage, against real time, on one thread.

    python -m benchmarks.cochlea [--seconds S] [--channels N] [--repeats N] [--sound FILE]

Seconds are those of the thread's own processor time, the least of the repeats, so that other processes on the machine
disturb little; without a file the sound is noise that comes and goes eight times per second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ranvier.data.audio import Cochlea, reference, transfer
from ranvier.data.audio.cochlea import stream
from ranvier.data.audio.recordings import decode
from ranvier.data.audio.sound import fingerprint


def least(work: Callable[[], object], repeats: int) -> float:
    """Processor seconds of this thread."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.98)
    parser.add_argument("--channels", type=int, default=700)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--sound", type=Path)
    given = parser.parse_args()
    if given.sound is None:
        rate, n = 16_000, round(given.seconds * 16_000)
        sound = np.random.default_rng(0).standard_normal(n) * np.sin(2 * np.pi * 4 * np.arange(n) / rate) ** 2
    else:
        sound, rate, _ = decode(given.sound.read_bytes())
    cochlea, seconds = Cochlea(given.channels), len(sound) / rate

    ready = cochlea.prepare(sound, rate)
    spectrum, n_steps, key = cochlea.spectrum(ready), len(ready) // 2 + 1, fingerprint(sound, rate, 0)
    blocks = range(len(transfer.blocks(cochlea.channels)))
    start = time.thread_time()
    velocity = [cochlea.velocity(spectrum, block, n_steps) for block in blocks]
    once = time.thread_time() - start
    release = [cochlea.release(one) for one in velocity]
    exact = reference.release(velocity[0][:, :2000].astype(np.float64), cochlea.dt, cochlea.hair_cell)
    assert np.allclose(release[0][:, :2000], exact, rtol=1e-9)
    heard = cochlea.hear(sound, rate)

    stages: dict[str, Callable[[], object]] = {
        "resampling, scaling, fading, spectrum": lambda: cochlea.spectrum(cochlea.prepare(sound, rate)),
        "basilar membrane (inverse transforms)": lambda: [cochlea.velocity(spectrum, b, n_steps) for b in blocks],
        "hair cells": lambda: [cochlea.release(one) for one in velocity],
        "fibres and bushy cells": lambda: [cochlea.bushy(release[b], stream(key, b)) for b in blocks],
        "all": lambda: cochlea.hear(sound, rate),
    }
    print(f"{seconds:.2f} s of sound, padded to {len(spectrum)} steps of {cochlea.dt * 1e6:.1f} µs, ", end="")
    print(f"{cochlea.channels} channels, {len(heard.steps)} spikes, one thread, least of {given.repeats}")
    print("| stage | s per second of sound | times real time |\n|---|---|---|")
    for name, work in stages.items():
        taken = least(work, given.repeats) / seconds
        print(f"| {name} | {taken:.3f} | {1 / taken:.1f} |")
    kept = sum(transfer.response(key).nbytes for key in list(transfer._kept))
    print(f"transfer function, once per padded length: {once:.1f} s, {kept / 1e6:.0f} MB kept")


if __name__ == "__main__":
    main()
