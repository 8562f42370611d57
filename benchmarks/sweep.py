"""One number of W1 varied, our ways beside plain PyTorch loops: `python -m benchmarks sweep`.

| over | what varies | what stays |
|---|---|---|
| density | of the hidden spikes, 0.1 to 30 % | |
| steps | 50 to 1600 of them in one second: dt shrinks | the spikes of a sample, in the input and hidden |
| batch | 1 to 256 samples | density |
| hidden | 64 to 2048 units | density |
| layers | 1 to 6, all recurrent, the input into the first | the density of each |

At each point the weights of what a layer receives are scaled until it fires as aimed, judged by the plain loop; then
all ways train the same network in turn, as in `run.py`, behind the same gate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks.competitors import WAYS
from benchmarks.peers import torch_loop
from benchmarks.run import header, measure
from benchmarks.tables import number, statements, sweep_table
from benchmarks.works import WORKS, GridWork

NEAR, MOST_TRIALS = 0.02, 40  # relative, of the density aimed at


@dataclass(frozen=True)
class Axis:
    """What a sweep goes over: its name on a plot, its values, and W1 with one of them."""

    label: str
    values: tuple[float, ...]
    work: Callable[[GridWork, Any], GridWork]


def _steps(base: GridWork, steps: int) -> GridWork:
    share = base.steps / steps
    return replace(
        base,
        steps=steps,
        dt=base.dt * share,
        input_density=base.input_density * share,
        density=base.density * share,
    )


AXES = {
    "density": Axis(
        "hidden density", (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.2, 0.3), lambda base, value: replace(base, density=value)
    ),
    "steps": Axis("steps in one second", (50, 100, 200, 400, 800, 1600), _steps),
    "batch": Axis("samples in a batch", (1, 4, 16, 64, 256), lambda base, value: replace(base, batch=value)),
    "hidden": Axis("hidden units", (64, 128, 256, 512, 1024, 2048), lambda base, value: replace(base, n_hidden=value)),
    "layers": Axis("hidden layers", (1, 2, 3, 4, 6), lambda base, value: replace(base, gains=base.gains * value)),
}


def firing(work: GridWork) -> GridWork:
    """The workload with the gains with which each hidden layer fires as aimed."""
    gains: tuple[float, ...] = ()
    for _ in work.gains:
        low, high, gain = 0.0, 0.0, work.gains[0]
        for _ in range(MOST_TRIALS):
            found = torch_loop.build(replace(work, gains=(*gains, gain)).problem(), "dense")[1]()
            if abs(found / work.density - 1) < NEAR:
                break
            low, high = (gain, high) if found < work.density else (low, gain)
            gain = (sqrt(low * high) if low else high / 2) if high else 2 * gain
        else:
            raise RuntimeError(
                f"{work.name}: no gain gives a density of {work.density}; the last, {gain}, gave {found}."
            )
        gains += (gain,)
    return replace(work, gains=gains)


def sweep(over: str, *, rounds: int, json_file: Path | None) -> None:
    """Measure along one axis and print the table.

    Args:
        over: of `AXES`.
        rounds: turns of each way at each point.
        json_file: where everything found is written, after each point.
    """
    axis, points = AXES[over], []
    ways = [name for name, way in WAYS.items() if "grid" in way.kinds and not way.needs and way.variant != "tutorial"]
    results = header(rounds) | {"over": over, "label": axis.label, "points": points}
    print(f"{results['machine']}; {rounds} rounds\n")
    for value in axis.values:
        work = firing(replace(axis.work(WORKS["W1"], value), name=f"W1, {axis.label} {number(results, value)}"))
        cells = work.steps * work.batch * work.n_hidden * len(work.gains)
        found = measure(work, ways, rounds)
        points.append({"at": value, "gains": work.gains, "spikes": found[ways[0]]["density"] * cells, "ways": found})
        if json_file is not None:
            json_file.write_text(json.dumps(results, indent=1))
    print(f"{sweep_table(results)}\n\n{statements(results)}")
