"""Spoken digits (FSDD): EventProp and surrogate networks beside two that do not spike, in one script.

    python -m benchmarks.speech official --data-dir D --out RUNS [--seeds 0 1 2] [--methods ...] [--threads N]
    python -m benchmarks.speech speakers --data-dir D --out RUNS ...
    python -m benchmarks.speech ablation --data-dir D --out RUNS ... [--changes CHANGE ...]

`official`: the authors' split, test set touched once, after the last epoch. `speakers`: each of the six speakers left
out in turn, one seed; the next speaker in the alphabet validates.

| method | sees | is |
|---|---|---|
| eventprop, surrogate | spikes of the cochlea, 2 ms | `ranvier train fsdd --gradient ...` as documented |
| gru | counts of them in bins of 20 ms | a GRU of as many units, its mean over time read out |
| logistic | 24-band log spectra, 20 a word | multinomial logistic regression, its penalty chosen on validation |

Those that are trained in epochs get the same samples, order, batches, number of epochs, learning rate and shift of
channels. `--epochs` and `--hidden` change them for all; the learning rate then falls as far in fewer epochs. Every run
has a folder in `--out`, one `--out` for one choice of these; finished runs are read, stopped ones go on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ranvier.cli.train import train
from ranvier.data import load_fsdd
from ranvier.data.fsdd import FSDD_OFFICIAL, Recordings, fsdd_recordings
from ranvier.data.split import leave_one_out
from ranvier.layers.network import Run
from ranvier.losses import Verdict
from ranvier.spikes import Spikes
from ranvier.studies import RunConfig, Study, documented, study
from ranvier.training.files import write_whole

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SPIKING = ("eventprop", "surrogate")
METHODS = (*SPIKING, "gru", "logistic")
BIN = 20e-3  # s
BANDS, STRETCHES, LOWEST = 24, 20, 100.0  # of a log spectrum: number, number, Hz
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
CHANGES: dict[str, dict[str, Any]] = {
    "mean voltage, not weighted": {"loss": "constant"},
    "linear weight": {"loss": "linear"},
    "sigmoid weight": {"loss": "sigmoid"},
    "maximum": {"loss": "maximum"},
    "no shift of channels": {"shift": 0},
    "a fifth of the input dropped": {"drop": 0.2},
    "blends": {"blend": True},
    "delay line of three": {"delay_line": 3},
    "drawn time constants": {"drawn_times": True},
    "learned time constants": {"learned_times": True},
    "fluctuating membranes": {"xi": 1.0, "hidden_weights": None, "recurrent_weights": None},
    "pull to 14 spikes": {"target_activity": (5e-10, 14.0)},
    "the ear of SHD": {"ear": "heidelberg"},
}
T_95 = 2.571  # Student's t of the 95 % interval, of six speakers


class GRU(nn.Module):
    """Counts of spikes in bins, a gated recurrent layer, a linear readout of its mean over time: [B, n_classes]."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.cells = nn.GRU(n_in, hidden, batch_first=True)
        self.output = nn.Linear(hidden, n_out)

    def forward(self, spikes: Spikes) -> Run:
        """The scores of a batch on a grid."""
        counts = spikes.on_grid(BIN, coincident="sum").to_dense().movedim(1, 0)  # [B, T, N]
        return Run(self.output(self.cells(counts)[0].mean(1)), {})


class CrossEntropy:
    """Of scores [B, n_classes], as `fit` asks for a loss."""

    def judge(self, output: Tensor, labels: Tensor) -> Verdict:
        """The mean loss of a batch, the class of each sample, and how many have no single winner."""
        ties = ((output == output.amax(1, keepdim=True)).sum(1) > 1).sum()
        return Verdict(nn.functional.cross_entropy(output, labels), output.argmax(1), ties)


def settings(method: str, seed: int, leave_out: str | None, given: argparse.Namespace) -> RunConfig:
    """What a run depends on; the GRU's are those of the surrogate network, a change's those of EventProp."""
    gradient = "eventprop" if method in CHANGES else method if method in SPIKING else "surrogate"
    common: dict[str, Any] = {"seed": seed, "leave_out": leave_out, "data_dir": str(given.data_dir)}
    usual = documented("fsdd", gradient)
    epochs, hidden = given.epochs or usual.epochs, given.hidden or usual.hidden
    common |= {"epochs": epochs, "hidden": hidden, "decay": usual.decay ** (usual.epochs / epochs)}
    return documented("fsdd", gradient, threads=given.threads, **common | CHANGES.get(method, {}))


def spiking(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Train a spiking network, from its checkpoint if it has one."""
    return train(config, folder, study(config), 0.0)


def gated(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Train the GRU on the same data."""
    parts = study(config)
    torch.manual_seed(config.seed)
    network = GRU(parts.splits.train.n_units, config.hidden, parts.splits.train.n_classes)
    fit = replace(parts.fit, rates={})  # a rate of its own is for a readout of spikes
    return train(config, folder, Study(parts.splits, network, CrossEntropy(), fit, {}, parts.augment), 0.0)


def logistic(leave_out: str | None, given: argparse.Namespace) -> dict[str, Any]:
    """Fit the logistic regression; whatever the seed, for it is a convex problem."""
    rule = FSDD_OFFICIAL if leave_out is None else leave_one_out(fsdd_recordings(given.data_dir))[leave_out]
    started = time.monotonic()
    splits = load_fsdd(given.data_dir, split=rule)
    learned, chosen, tested = (features(part) for part in splits)
    mean, deviation = learned.mean(0), learned.std(0).clamp_min(1e-6)
    learned, chosen, tested = ((part - mean) / deviation for part in (learned, chosen, tested))
    solved = {penalty: regression(learned, splits.train.labels, penalty) for penalty in PENALTIES}

    def right(model: nn.Linear, inputs: Tensor, labels: Tensor) -> float:
        return float((model(inputs).argmax(1) == labels).float().mean())

    best = max(PENALTIES, key=lambda penalty: right(solved[penalty], chosen, splits.validation.labels))
    model = solved[best]
    return {
        "test_accuracy": right(model, tested, splits.test.labels),
        "best_validation": right(model, chosen, splits.validation.labels),
        "train_accuracy": right(model, learned, splits.train.labels),
        "penalty": best,
        "seconds": time.monotonic() - started,
    }


def features(recordings: Recordings) -> Tensor:
    """Log spectra of bands equally wide in mel, averaged in equal stretches of each word: [B, BANDS * STRETCHES]."""
    return torch.stack([_spectra(recordings[index]) for index in range(len(recordings))])


def _spectra(recording: Any) -> Tensor:
    size = 256
    waveform = nn.functional.pad(recording.waveform, (0, max(0, size - recording.waveform.numel())))
    frames = waveform.unfold(0, size, size // 4) * torch.hann_window(size)
    power = torch.fft.rfft(frames).abs() ** 2
    top = recording.sample_rate / 2
    mel = torch.linspace(*(2595 * torch.log10(1 + torch.tensor([LOWEST, top]) / 700)).tolist(), BANDS + 1)
    edges = 700 * (10 ** (mel / 2595) - 1)
    band = torch.bucketize(torch.linspace(0, top, power.shape[1]), edges[1:-1])
    bands = torch.zeros(power.shape[0], BANDS).index_add(1, band, power)
    logs = torch.log(bands + 1e-6)
    return nn.functional.interpolate(logs.T[None], STRETCHES, mode="linear", align_corners=False).flatten()


def regression(inputs: Tensor, labels: Tensor, penalty: float) -> nn.Linear:
    """Multinomial logistic regression with a penalty on squared weights, to convergence."""
    model = nn.Linear(inputs.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    solver = torch.optim.LBFGS(model.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        value = nn.functional.cross_entropy(model(inputs), labels) + penalty * model.weight.square().sum()
        value.backward()
        return value

    solver.step(objective)
    return model


def outcome(method: str, seed: int, leave_out: str | None, given: argparse.Namespace) -> dict[str, Any]:
    """The result of one run, read where it is there already."""
    folder = given.out / "-".join(filter(None, (method.replace(" ", "_"), leave_out, str(seed))))
    done = folder / "outcome.json"
    if done.exists():
        return json.loads(done.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    if method == "logistic":
        found = logistic(leave_out, given)
    else:
        found = (gated if method == "gru" else spiking)(settings(method, seed, leave_out, given), folder)
    found |= {"method": method, "seed": seed, "left_out": leave_out}
    write_whole(done, json.dumps(found).encode())
    return found


def official(given: argparse.Namespace) -> str:
    """One row per method: mean and standard deviation over seeds."""
    lines = [
        "| method | test, % | of the seeds | validation, best % | training, % | minutes each |",
        "|---|--:|---|--:|--:|--:|",
    ]
    for method in given.methods:
        seeds = given.seeds if method != "logistic" else given.seeds[:1]
        runs = [outcome(method, seed, None, given) for seed in seeds]
        lines.append(_row(method, runs))
    return "\n".join(lines)


def speakers(given: argparse.Namespace) -> str:
    """One column per speaker left out; the speaker is the replicate."""
    lines = ["| method | " + " | ".join(SPEAKERS) + " | mean ± std |", "|---|" + "--:|" * (len(SPEAKERS) + 1)]
    for method in given.methods:
        tests = [100 * outcome(method, given.seeds[0], who, given)["test_accuracy"] for who in SPEAKERS]
        lines.append(f"| {method} | " + " | ".join(f"{test:.1f}" for test in tests) + f" | {_spread(tests)} |")
    return "\n".join(lines)


def ablation(given: argparse.Namespace) -> str:
    """One row per change: its worth over the speakers, whatever its sign."""
    lines = ["| change | " + " | ".join(SPEAKERS) + " | mean difference | 95 % interval |"]
    lines.append("|---|" + "--:|" * len(SPEAKERS) + "--:|---|")

    def tests(method: str) -> list[float]:
        return [100 * outcome(method, given.seeds[0], who, given)["test_accuracy"] for who in SPEAKERS]

    plain = tests("eventprop")
    lines.append("| none | " + " | ".join(f"{test:.1f}" for test in plain) + " | | |")
    for change in given.changes or CHANGES:
        differences = [there - here for there, here in zip(tests(change), plain, strict=True)]
        mean = statistics.mean(differences)
        half = T_95 * statistics.stdev(differences) / len(differences) ** 0.5
        each = " | ".join(f"{difference:+.1f}" for difference in differences)
        lines.append(f"| {change} | {each} | {mean:+.1f} | {mean - half:+.1f} to {mean + half:+.1f} |")
    return "\n".join(lines)


def _row(method: str, runs: list[dict[str, Any]]) -> str:
    def percent(name: str) -> list[float]:
        return [100 * run[name] for run in runs]

    tests = percent("test_accuracy")
    each = ", ".join(f"{test:.1f}" for test in tests)
    minutes = statistics.mean(run["seconds"] for run in runs) / 60
    return (
        f"| {method} | {_spread(tests)} | {each} | {statistics.mean(percent('best_validation')):.1f} | "
        f"{statistics.mean(percent('train_accuracy')):.1f} | {minutes:.1f} |"
    )


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("official", "speakers", "ablation"))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), metavar="CHANGE", help="of an ablation")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    print({"official": official, "speakers": speakers, "ablation": ablation}[given.what](given))


if __name__ == "__main__":
    main()
