"""What the cochlea does with sound: the figures and numbers of docs/cochlea.md.

    python -m benchmarks.cochlea_figures FSDD.zip [--out docs/figures] [--recordings 300] [--tones]

Needs the extras `audio` and `plot`. FSDD.zip is the Free Spoken Digit Dataset; its official test split is used.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from ranvier.data.audio import BasilarMembrane, Cochlea, reference, transfer
from ranvier.data.audio.recordings import decode

mpl.use("Agg")
import matplotlib.pyplot as plt

PUBLISHED, CAUSAL = Cochlea(), Cochlea(membrane=BasilarMembrane(causal=True))
LABELS = {PUBLISHED: "as published", CAUSAL: "causal"}
COLOURS = {PUBLISHED: "tab:blue", CAUSAL: "tab:orange"}
Array = np.ndarray


def recordings(path: Path, n: int) -> dict[str, tuple[Array, int]]:
    """The official test split (index 0 to 4), or every so many of it."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(tuple(f"_{i}.wav" for i in range(5))))
        return {Path(name).stem: decode(archive.read(name))[:2] for name in names[:: max(1, len(names) // n)]}


def rates(sounds: dict[str, tuple[Array, int]], axes: Any) -> dict[Cochlea, list[Any]]:
    """Mean rate per channel on speech and in silence; returns what was heard."""
    heard = {}
    for ear in LABELS:
        heard[ear] = [ear.hear(*sound) for sound in sounds.values()]
        transfer.forget()
    seconds = sum(one.n_steps for one in heard[PUBLISHED]) * PUBLISHED.dt
    covered = PUBLISHED.covered_channels(8000)
    for ear in LABELS:
        rate = sum(np.bincount(one.channels, minlength=700) for one in heard[ear]) / seconds
        axes.plot(rate, color=COLOURS[ear], lw=0.8, label=f"speech, {LABELS[ear]}")
        count = np.mean([len(one.steps) for one in heard[ear]])
        print(f"{LABELS[ear]}: {count:.0f} spikes per recording of {seconds / len(sounds):.2f} s; ", end="")
        print(
            f"covered {rate[covered].mean():.2f} Hz, uncovered {rate[~covered].mean():.2f} Hz, most {rate.max():.1f} Hz"
        )
    rest = np.full((700, 24_000), PUBLISHED.hair_cell.rest().c * PUBLISHED.hair_cell.firing * PUBLISHED.dt)
    _, silent = PUBLISHED.bushy(rest, np.random.default_rng(0))
    rate = np.bincount(silent, minlength=700)
    print(f"silence: {rate.mean():.2f} Hz per channel")
    axes.axhline(rate.mean(), color="k", ls=":", lw=1, label="silence")
    axes.axvspan(0, np.nonzero(covered)[0][0], color="0.9", label="beyond 4 kHz: not covered")
    axes.set(xlabel="channel (base to apex)", ylabel="rate (Hz)", xlim=(0, 700), title="FSDD, test split")
    axes.legend(fontsize=7)
    return heard


def latencies(heard: dict[Cochlea, list[Any]], click_axes: Any, speech_axes: Any) -> None:
    """When each place moves after a click, and when it first spikes in a spoken digit."""
    click = np.zeros(48_000)
    click[24_000] = 1.0
    places = np.arange(100, 700, 10)
    for ear in LABELS:
        moved = np.abs(reference.velocity(click, 48_000, ear.membrane, ear.membrane.places(700)[places]))
        delay = (moved.argmax(1) - 12_000) / 24
        click_axes.plot(delay, ear.resonances()[places], color=COLOURS[ear], label=LABELS[ear])
        print(f"{LABELS[ear]}: a click moves {ear.resonances()[690]:.0f} Hz {delay[-1]:+.1f} ms after it")
        first = np.full((len(heard[ear]), 700), np.nan)
        for row, one in zip(first, heard[ear], strict=True):
            channels, index = np.unique(one.channels, return_index=True)
            row[channels] = one.steps[index] * ear.dt
        spiking = np.isfinite(first).mean(0) > 0.5
        middle = np.nanmedian(first[:, spiking], 0) * 1e3
        speech_axes.plot(middle, ear.resonances()[spiking], ".", ms=2, color=COLOURS[ear], label=LABELS[ear])
        low = ear.resonances()[spiking] < 250
        high = ear.resonances()[spiking] > 800
        below, above = middle[low].mean(), middle[high].mean()
        print(f"{LABELS[ear]}: first spikes below 250 Hz at {below:.0f} ms, above 800 Hz at {above:.0f} ms")
    click_axes.set(xlabel="greatest velocity after a click (ms)", ylabel="resonance (Hz)", yscale="log", title="click")
    speech_axes.set(xlabel="median first spike (ms)", ylabel="resonance (Hz)", yscale="log", title="FSDD, test split")
    click_axes.legend(fontsize=7)


def tonotopy(sounds: dict[str, tuple[Array, int]], sweep_axes: Any, digit_axes: Any) -> None:
    """A rising tone, and a spoken digit."""
    ear = Cochlea(membrane=CAUSAL.membrane, fade_in=0.02, fade_out=0.02)
    time = np.arange(45_600) / 48_000
    frequency = 100 * 80 ** (time / time[-1])
    heard = ear.hear(np.sin(2 * np.pi * np.cumsum(frequency) / 48_000), 48_000)
    sweep_axes.plot(heard.steps * ear.dt, heard.channels, ".", ms=1, color="k")
    own = np.interp(-np.log(frequency), -np.log(ear.resonances()), np.arange(700))
    sweep_axes.plot(time, own, color="tab:red", lw=0.8, label="channel of this resonance")
    middle = np.array([np.median(heard.steps[heard.channels // 10 == ten]) for ten in range(15, 65)]) * ear.dt
    print(
        f"sweep: correlation of a channel's median spike time with its place {np.corrcoef(middle, range(50))[0, 1]:.3f}"
    )
    sweep_axes.set(xlabel="time (s)", ylabel="channel", ylim=(700, 0), title="sweep, 100 Hz to 8 kHz")
    sweep_axes.legend(fontsize=7, loc="lower left")
    name = next(name for name in sounds if name.startswith("7_"))
    heard = CAUSAL.hear(*sounds[name])
    digit_axes.plot(heard.steps * CAUSAL.dt, heard.channels, ".", ms=1, color="k")
    digit_axes.axhspan(0, np.nonzero(PUBLISHED.covered_channels(8000))[0][0], color="0.9")
    digit_axes.set(
        xlabel="time (s)", ylabel="channel", ylim=(700, 0), title=f"{name} at 8 kHz, {len(heard.steps)} spikes"
    )


def locking(axes: Any) -> None:
    """Vector strength of the spikes at the places a tone moves most."""
    ear = Cochlea(membrane=CAUSAL.membrane, fade_in=0.02, fade_out=0.02)
    frequencies = np.geomspace(120, 4000, 11)
    strengths = []
    for frequency in frequencies:
        time = np.arange(45_600) / 48_000
        heard = ear.hear(np.sin(2 * np.pi * frequency * time) * (np.sin(2 * np.pi * 10 * time) > 0), 48_000)
        ratio = ear.resonances() / frequency
        own = [
            np.exp(2j * np.pi * frequency * heard.steps[heard.channels == channel] * ear.dt)
            for channel in np.nonzero((ratio > 1.0) & (ratio < 1.3))[0]
        ]
        own = [phases for phases in own if len(phases) >= 10]
        strengths.append(np.sqrt(np.mean([max(abs(p.mean()) ** 2 - 1 / len(p), 0) for p in own])) if own else np.nan)
    print("vector strength:", ", ".join(f"{f:.0f} Hz {s:.2f}" for f, s in zip(frequencies, strengths, strict=True)))
    axes.plot(frequencies, strengths, "o-")
    axes.set(
        xlabel="tone (Hz)",
        ylabel="vector strength",
        xscale="log",
        ylim=(0, 1),
        title="phase locking at the tone's place",
    )
    shown = (125, 250, 500, 1000, 2000, 4000)
    axes.set_xticks(shown, [str(tone) for tone in shown])
    axes.set_xticks([], minor=True)


def main() -> None:
    """Draw all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fsdd", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument("--recordings", type=int, default=300)
    parser.add_argument("--tones", action="store_true", help="only what needs few recordings: tonotopy and locking")
    given = parser.parse_args()
    sounds = recordings(given.fsdd, given.recordings)
    print(f"{len(sounds)} recordings")

    def save(figure: Any, name: str) -> None:
        figure.tight_layout()
        figure.savefig(given.out / f"cochlea_{name}.png", dpi=110)

    if not given.tones:
        figure, axes = plt.subplots(figsize=(6, 3))
        heard = rates(sounds, axes)
        save(figure, "rates")
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
        latencies(heard, left, right)
        save(figure, "latency")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    tonotopy(sounds, left, right)
    save(figure, "tonotopy")
    figure, axes = plt.subplots(figsize=(5, 3))
    locking(axes)
    save(figure, "locking")


if __name__ == "__main__":
    main()
