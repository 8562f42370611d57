"""Cost of the exact engine against input events, neurons and batch.

    python -m benchmarks.exact_scaling [--figure docs/figures/exact_scaling.png] [--json FILE]

One layer of CubaLIF, tau_mem 20 ms, tau_syn 10 ms, threshold 1, 50 ms; input of 32 units at random times. Forward is
the layer's call, backward the gradients of the weights and of the input's times for a random weighting of the spike
times. One number varies, the others are `BASE`. Weights shrink with the number of what they sum over, so that a neuron
spikes about as often everywhere (the columns "spikes" say how often). Exponents are fitted over the last factor of 8.
Each time is the least of several repetitions.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ranvier as rv

N_IN = 32
DURATION = 50e-3


@dataclass(frozen=True)
class Size:
    """Of one point: samples, input events per sample, neurons."""

    batch: int = 64
    events: int = 128
    neurons: int = 128


BASE = Size()
AXES = {
    "events": tuple(2**power for power in range(4, 15)),
    "neurons": tuple(2**power for power in range(3, 13)),
    "batch": tuple(2**power for power in range(2, 12)),
}
LARGEST_RECURRENT = 1024  # neurons
LABELS = {"events": "input events per sample", "neurons": "neurons", "batch": "samples in the batch"}
KINDS = {  # refractory time and recurrence
    "one spike": (math.inf, False),
    "free": (0.0, False),
    "free, recurrent": (0.0, True),
}


def layer_and_input(size: Size, kind: str) -> tuple[rv.Spiking, rv.Spikes]:
    """A layer whose neurons spike about as often at every size, and a batch."""
    generator = torch.Generator().manual_seed(0)
    refractory, recurrent = KINDS[kind]
    neuron = rv.CubaLIF(20e-3, 10e-3, refractory=refractory)
    layer = rv.Spiking(N_IN, size.neurons, neuron, recurrent=recurrent)
    with torch.no_grad():
        # the first 40 ms of input sum to a mean drive of 10 thresholds, and a spread of 4 between neurons
        noise = torch.randn(N_IN, size.neurons, generator=generator)
        layer.w_in.copy_((10 + 4 * math.sqrt(N_IN) * noise) / size.events)
        if layer.w_rec is not None:
            layer.w_rec.copy_(torch.randn(size.neurons, size.neurons, generator=generator) / size.neurons)
    number = size.batch * size.events
    times = (40e-3 * torch.rand(size.batch, size.events, generator=generator)).sort(1).values.flatten()
    units = torch.randint(N_IN, (number,), generator=generator, dtype=torch.int32)
    samples = torch.arange(size.batch).repeat_interleave(size.events)
    spikes = rv.Spikes.from_events(
        samples, times.requires_grad_(), units, n_samples=size.batch, unit_shape=N_IN, duration=DURATION
    )
    return layer, spikes


@dataclass(frozen=True)
class Point:
    """What one size cost: seconds, and spikes per neuron and sample."""

    size: Size
    forward: float
    backward: float
    spikes: float


def measure(size: Size, kind: str, seconds: float) -> Point:
    """The least times of repetitions for about that long."""
    layer, spikes = layer_and_input(size, kind)
    weights = [weight for weight in (layer.w_in, layer.w_rec) if weight is not None]
    generator = torch.Generator().manual_seed(1)

    def forward() -> rv.Spikes:
        return layer(spikes)

    emitted = forward()
    assert emitted.n_events
    cotangent = torch.randn(emitted.n_events, generator=generator)

    def backward(given: rv.Spikes) -> None:
        torch.autograd.grad(given.times, (*weights, spikes.times), cotangent)

    backward(emitted)
    least, end = [math.inf, math.inf], time.perf_counter() + seconds
    repetitions = 0
    while repetitions < 3 or time.perf_counter() < end:
        took, emitted = clocked(forward)
        least[0] = min(least[0], took)
        least[1] = min(least[1], clocked(lambda given=emitted: backward(given))[0])
        repetitions += 1
    return Point(size, *least, emitted.n_events / (size.batch * size.neurons))


def clocked(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it returned."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def exponent(sizes: np.ndarray, seconds: np.ndarray) -> float:
    """Of size in the cost, over the last factor of 8."""
    return float(np.polyfit(np.log(sizes[-4:]), np.log(seconds[-4:]), 1)[0])


def columns(axis: str, points: list[Point]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes along the axis, seconds forward, seconds backward."""
    return (
        np.array([getattr(point.size, axis) for point in points], float),
        np.array([point.forward for point in points]),
        np.array([point.backward for point in points]),
    )


def table(axis: str, found: dict[str, list[Point]]) -> dict[str, tuple[float, float]]:
    """Print one axis and return the exponents, forward and backward."""
    print(f"\n| {LABELS[axis]} | " + " | ".join(f"{kind}: forward, backward, ms | spikes" for kind in found) + " |")
    print("|--:|" + "--:|--:|" * len(found))
    for row in zip_longest(*found.values()):
        cells = (
            f"{point.forward * 1e3:.2f}, {point.backward * 1e3:.2f} | {point.spikes:.2f}" if point else " | "
            for point in row
        )
        print(f"| {getattr(row[0].size, axis)} | " + " | ".join(cells) + " |")
    exponents = {}
    for kind, points in found.items():
        sizes, forward, backward = columns(axis, points)
        exponents[kind] = (exponent(sizes, forward), exponent(sizes, backward))
    print("| exponent | " + " ".join(f"**{ahead:.2f}, {back:.2f}** | |" for ahead, back in exponents.values()))
    return exponents


def draw(path: Path, found: dict[str, dict[str, list[Point]]], exponents: dict[str, Any]) -> None:
    """The figure of docs/exact.md."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    panels, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True, constrained_layout=True)
    for panel, (axis, kinds) in zip(axes, found.items(), strict=True):
        for color, (kind, points) in zip(("C0", "C1", "C2"), kinds.items(), strict=True):
            sizes, forward, backward = columns(axis, points)
            ahead, back = exponents[axis][kind]
            label = f"{kind}: exponents {ahead:.2f}, {back:.2f}"
            panel.plot(sizes, forward * 1e3, "o-", color=color, ms=3, lw=1.2, label=label)
            panel.plot(sizes, backward * 1e3, "s--", color=color, ms=3, lw=1, mfc="white")
        others = ", ".join(f"{name} {value}" for name, value in asdict(BASE).items() if name != axis)
        panel.set(xscale="log", yscale="log", xlabel=LABELS[axis], title=others)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        lowest = columns(axis, kinds["one spike"])
        guide = lowest[2][-1] * 1e3 / 3 * lowest[0] / lowest[0][-1]
        panel.plot(lowest[0][2:], guide[2:], ":", color="grey", lw=1, label="linear")
        panel.grid(alpha=0.25, lw=0.5)
        panel.legend(frameon=False, fontsize=7, loc="upper left")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high * 10)  # room for the legends
    axes[0].set_ylabel("ms per call (forward solid, backward dashed)")
    panels.savefig(path, dpi=96)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.25, help="of repetitions per point")
    parser.add_argument("--figure", type=Path, help="where to save the figure; needs matplotlib")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(
        f"{BASE} where not varied; torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, "
        f"Python {platform.python_version()}"
    )
    found: dict[str, dict[str, list[Point]]] = {}
    exponents: dict[str, dict[str, tuple[float, float]]] = {}
    for axis, values in AXES.items():
        sizes = [replace(BASE, **{axis: value}) for value in values]
        found[axis] = {
            kind: [
                measure(size, kind, options.seconds)
                for size in sizes
                if not (recurrent and size.neurons > LARGEST_RECURRENT)
            ]
            for kind, (_, recurrent) in KINDS.items()
        }
        exponents[axis] = table(axis, found[axis])
    if options.figure:
        draw(options.figure, found, exponents)
    if options.json:
        points = {
            axis: {kind: [asdict(point) for point in of] for kind, of in kinds.items()} for axis, kinds in found.items()
        }
        options.json.write_text(json.dumps({"points": points, "exponents": exponents}, indent=1))


if __name__ == "__main__":
    main()
