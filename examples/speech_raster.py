"""Draw what a trained network does with one word: input, hidden spikes, and the membranes of the classes.

    python examples/speech_raster.py RUN [--sample N] [--out raster.png]

RUN is the folder of a run of `ranvier train` on fsdd, shd, ssc, spikes:FILE.h5 or audio:FOLDER. The word is one of its
validation set. Needs the extra `plot`: pip install ".[audio,plot]".
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import torch

from ranvier.studies import SPEECH, RunConfig, study
from ranvier.training import checkpoint


def draw(run: Path, sample: int, out: Path) -> str:
    """Draw one validation sample of a run into a file; returns the title."""
    mpl.use("agg")
    from matplotlib import pyplot

    config = RunConfig.from_dict(json.loads((run / "config.json").read_text()))
    if config.form not in SPEECH:
        raise SystemExit(f"RUN must be a run on speech. Got one on {config.dataset}.")
    parts = study(config)
    parts.network.load_state_dict(checkpoint.load(run / "last.pt")["network"])
    validation = parts.splits.validation
    word = validation[sample]
    with torch.no_grad():
        traces, activity = parts.network(word.inputs)
    names = validation.label_names or tuple(str(label) for label in range(validation.n_classes))
    said, heard = int(word.labels[0]), int(parts.loss.predict(traces)[0])
    title = f"{names[said]}, heard as {names[heard] if heard >= 0 else 'a tie'}"

    figure, axes = pyplot.subplots(3, 1, figsize=(7, 7.5), sharex=True, height_ratios=(3, 2, 2), layout="constrained")
    for place, spikes, what in ((axes[0], word.inputs, "channel"), (axes[1], activity["hidden"], "hidden neuron")):
        place.plot(spikes.times, spikes.units, "|", color="black", markersize=2, markeredgewidth=0.5)
        place.set(ylabel=what, ylim=(-0.5, spikes.n_units - 0.5))
    axes[0].invert_yaxis()  # channel 0 answers to the highest tones
    seconds = torch.arange(traces.shape[0]) * config.dt
    for label, name in enumerate(names[: traces.shape[2]]):
        own = label in (said, heard)
        axes[2].plot(
            seconds,
            traces[:, 0, label],
            color=f"C{label % 10}",
            linewidth=2 if own else 0.7,
            label=name if own else None,
        )
    axes[2].set(xlabel="time, s", ylabel="membrane of each class", xlim=(0, config.duration))
    axes[2].legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)
    return title


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("raster.png"))
    given = parser.parse_args()
    print(draw(given.run, given.sample, given.out))
