"""Tables of finished runs, one row a seed.

python -m benchmarks.results RUN.json ...      # what `ranvier train --json` printed
"""

from __future__ import annotations

import json
import statistics
import sys
from itertools import groupby
from pathlib import Path
from typing import Any


def table(runs: list[dict[str, Any]]) -> str:
    """A Markdown table of runs that differ only in their seed, with mean and standard deviation."""
    lines = [
        "| seed | test | best validation (epoch) | training | loss | spikes per sample | minutes |",
        "|--:|--:|--:|--:|--:|---|--:|",
    ]
    for run in sorted(runs, key=lambda run: run["seed"]):
        spikes = ", ".join(f"{name} {value:.1f}" for name, value in run["spikes_per_sample"].items())
        lines.append(
            f"| {run['seed']} | {run['test_accuracy']:.2%} | {run['best_validation']:.2%} ({run['best_epoch']}) | "
            f"{run['train_accuracy']:.2%} | {run['loss']:.4f} | {spikes} | {run['seconds'] / 60:.1f} |"
        )
    tests = [run["test_accuracy"] for run in runs]
    if len(tests) > 1:
        lines.append(f"| mean ± std | **{statistics.mean(tests):.2%} ± {statistics.stdev(tests):.2%}** | | | | | |")
    return "\n".join(lines)


def main() -> None:
    """Print one table per data set, gradient and number of epochs."""

    def kind(run: dict[str, Any]) -> tuple[str, str, int]:
        return run["dataset"], run["gradient"], run["epochs"]

    runs = sorted((json.loads(Path(name).read_text()) for name in sys.argv[1:]), key=kind)
    for (dataset, gradient, epochs), group in groupby(runs, key=kind):
        print(f"\n{dataset}, {gradient}, {epochs} epochs\n\n{table(list(group))}")


if __name__ == "__main__":
    main()
