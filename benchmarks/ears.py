"""How much of a spoken word ears leave in its spikes: the table of docs/cochlea.md, "For speech".

    python -m benchmarks.ears --data-dir D [--threads 1]

A logistic regression (`benchmarks.speech`) names 300 words of the Free Spoken Digit Dataset (recordings 5 to 9) after
600 others (10 to 19), from logarithms of counts of spikes in 70 bands of channels, and from log spectra. The better of
two penalties is shown for each ear, so that numbers compare ears; none is the accuracy of a method.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.speech import features, regression
from ranvier.data.audio import Cochlea
from ranvier.data.audio.ears import ear
from ranvier.data.fsdd import Recordings, fsdd_recordings

BANDS, STRETCHES, BINS, BIN = 70, 20, 40, 20e-3  # number, number, number, s
PENALTIES = (1e-2, 1e-1)
SHORT = {"fade_in": 30e-3, "fade_out": 30e-3}
EARS = {
    "as published (`--ear heidelberg`)": ear("heidelberg", 140),
    "fades of 30 ms": Cochlea(140, **SHORT),
    "the same, RMS 1": Cochlea(140, **SHORT, rms=1.0),
    "the same, RMS 0.1": Cochlea(140, **SHORT, rms=0.1),
    "fades of 30 ms, RMS 1, high-pass at 1 kHz": Cochlea(140, **SHORT, rms=1.0, high_pass=1000.0),
    "fades of 30 ms, RMS 1, high-pass at 4 kHz (`--ear speech`)": ear("speech", 140),
    "`--ear speech`, 700 channels": ear("speech"),
}


def counts(cochlea: Cochlea, words: Recordings) -> tuple[Tensor, Tensor, float]:
    """Counts in equal stretches of a word and in bins of time, [B, BANDS, n] each, and spikes per word."""
    stretched, binned = torch.zeros(len(words), BANDS, STRETCHES), torch.zeros(len(words), BANDS, BINS)
    for index in range(len(words)):
        word = words[index]
        heard = cochlea.hear(word.waveform.double().numpy(), word.sample_rate)
        band = torch.from_numpy(heard.channels).long() * BANDS // cochlea.channels
        step = torch.from_numpy(heard.steps).long()
        at = (step * STRETCHES // heard.n_steps, (step * cochlea.dt / BIN).long().clamp(max=BINS - 1))
        for into, place in zip((stretched, binned), at, strict=True):
            into[index].index_put_((band, place), torch.ones(len(band)), accumulate=True)
    return stretched, binned, float(stretched.sum()) / len(words)


def named(inputs: Tensor, labels: Tensor, shown: Tensor) -> str:
    """The share of the words not `shown` that are named after those that are."""
    values = inputs.flatten(1)
    values = (values - values[shown].mean(0)) / (values[shown].std(0) + 0.1)
    models = [regression(values[shown], labels[shown], penalty) for penalty in PENALTIES]
    return f"{max(float((m(values[~shown]).argmax(1) == labels[~shown]).float().mean()) for m in models):.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    every = fsdd_recordings(given.data_dir)
    number = torch.from_numpy(every.column("index"))
    words = every.select(((number >= 5) & (number < 20)).nonzero().flatten())
    shown = torch.from_numpy(words.column("index")) >= 10
    print(f"log spectra: {named(features(words), words.labels, shown)}\n")
    print("| sound | spikes a word | stretches | bins |\n|---|--:|--:|--:|")
    for name, cochlea in EARS.items():
        *found, spikes = counts(cochlea, words)
        shares = " | ".join(named(count.log1p(), words.labels, shown) for count in found)
        print(f"| {name} | {spikes:.0f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
