"""EventProp on a grid converges to the exact engine: errors of spike times and gradients against dt.

    python -m benchmarks.convergence [--networks 120] [--figure docs/figures/convergence.png] [--json FILE]

Networks in float64 with the same weights on both engines; the input lies in continuous time and is put on the grid by
`on_grid(dt, coincident="sum")`. Random networks: 10 inputs with one spike each in 30 ms -> 20 recurrent CubaLIF -> 3
CubaLIF, or 3 leaky integrators; tau_mem 20 ms, tau_syn 5 ms, threshold 1, 60 ms. Losses: a random weighting of all
output spike times, and of the outputs' largest membranes. E4 is a small example, 2 -> 2 recurrent -> 1 neurons, whose
loss is the first output spike; `KNOWN` is its gradient, computed with another simulator and finite differences.

Errors: mean |t_grid - t_exact| over the spikes of a network, and |g_grid - g_exact| / |g_exact| in the L2 norm of each
weight tensor. The k-th spike of a neuron is compared with its k-th; networks in which some neuron spikes more or less
often than in continuous time are left out at that dt, and counted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ranvier as rv

STEPS = (2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6)
FITTED = 1e-4  # slopes are fitted at and below this dt
SHOWN = 0.1  # the figure leaves out a dt at which fewer networks agree
TAU_MEM, TAU_SYN = 20e-3, 5e-3
KNOWN = ((-0.202303735594, -0.105060991421), (-0.113195447943, -0.0628202230232))  # of w_in in E4, ms
TENSORS = ("w_in", "w_rec", "w_out")


@dataclass(frozen=True)
class Net:
    """Weights, input, and the coefficients of the loss: [3] for membranes; drawn per spike for times."""

    weights: dict[str, Tensor]
    spikes: rv.Spikes
    seed: int
    n_out: int = 3

    def layers(self, output: str) -> tuple[rv.Spiking, rv.Spiking | rv.Readout]:
        """Fresh layers with these weights; `output` is "times" or "membranes"."""
        neuron = rv.CubaLIF(TAU_MEM, TAU_SYN)
        n_in, n_hidden = self.weights["w_in"].shape
        hidden = rv.Spiking(n_in, n_hidden, neuron, recurrent=True).double()
        last = (
            rv.Spiking(n_hidden, self.n_out, neuron)
            if output == "times"
            else rv.Readout(n_hidden, self.n_out, rv.LI(TAU_MEM, TAU_SYN))
        ).double()
        with torch.no_grad():
            hidden.w_in.copy_(self.weights["w_in"])
            hidden.w_rec.copy_(self.weights["w_rec"])
            last.w_in.copy_(self.weights["w_out"])
        return hidden, last


@dataclass(frozen=True)
class Result:
    """Spike counts and times of every neuron, neuron after neuron, and dL/dw by tensor."""

    counts: list[int]
    times: Tensor
    gradients: dict[str, Tensor]


def random_net(seed: int) -> Net:
    """A network whose neurons spike between not at all and a few times."""
    generator = torch.Generator().manual_seed(seed)

    def normal(mean: float, deviation: float, *shape: int) -> Tensor:
        return mean + deviation * torch.randn(shape, generator=generator, dtype=torch.float64)

    sample = (30e-3 * torch.rand(10, generator=generator, dtype=torch.float64)).sort()
    spikes = rv.Spikes.from_samples([tuple(sample)], unit_shape=10, duration=60e-3, dtype=torch.float64)
    weights = {"w_in": normal(1.2, 1.0, 10, 20), "w_rec": normal(0.0, 0.2, 20, 20), "w_out": normal(0.4, 0.3, 20, 3)}
    return Net(weights, spikes, seed)


def example() -> Net:
    """E4: inputs at 1 and 6 ms, and at 3 ms."""
    sample = (torch.tensor([1e-3, 3e-3, 6e-3], dtype=torch.float64), torch.tensor([0, 1, 0]))
    weights = {"w_in": [[9.0, 3.0], [4.0, 8.0]], "w_rec": [[0.0, 1.5], [-1.0, 0.0]], "w_out": [[5.0], [6.0]]}
    spikes = rv.Spikes.from_samples([sample], unit_shape=2, duration=60e-3, dtype=torch.float64)
    return Net({name: torch.tensor(value, dtype=torch.float64) for name, value in weights.items()}, spikes, 0, 1)


def solve(net: Net, output: str, dt: float | None, first_only: bool = False) -> Result:
    """Run one network on one engine (dt None: continuous time) and differentiate its loss."""
    hidden, last = net.layers(output)
    spikes = net.spikes if dt is None else net.spikes.on_grid(dt, coincident="sum")
    inner = hidden(spikes)
    outer = last(inner)
    generator = torch.Generator().manual_seed(net.seed + 1)
    layers = [inner]
    if output == "times":
        layers.append(outer)
        ordered = by_neuron(outer)[1]
        chosen = torch.zeros_like(ordered) if first_only else torch.randn(len(ordered), generator=generator).double()
        if first_only:
            chosen[:1] = 1.0
        loss = (chosen * ordered).sum()
    else:
        largest = outer.maximum() if dt is None else outer.amax(0)
        loss = (torch.randn(net.n_out, generator=generator).double() * largest).sum()
    gradients = dict(zip(TENSORS, torch.autograd.grad(loss, (hidden.w_in, hidden.w_rec, last.w_in)), strict=True))
    pairs = [by_neuron(layer) for layer in layers]
    counts = [count for own, _ in pairs for count in own]
    return Result(counts, torch.cat([times.detach() for _, times in pairs]), gradients)


def by_neuron(spikes: rv.Spikes) -> tuple[list[int], Tensor]:
    """Spike counts, and times sorted by neuron, then time."""
    counts = spikes.counts().detach().flatten().int().tolist()
    return counts, spikes.times[torch.sort(spikes.units.long(), stable=True).indices]


def errors(net: Net, output: str, **options: Any) -> list[dict[str, float] | None]:
    """At each dt the errors by name, or None where spike counts differ."""
    exact = solve(net, output, None, **options)
    assert alive(exact)
    found: list[dict[str, float] | None] = []
    for dt in STEPS:
        grid = solve(net, output, dt, **options)
        if grid.counts != exact.counts:
            found.append(None)
            continue
        off = {
            name: ((grid.gradients[name] - true).norm() / true.norm()).item() for name, true in exact.gradients.items()
        }
        found.append({"times": (grid.times - exact.times).abs().mean().item() * 1e3} | off)
    return found


def alive(result: Result) -> bool:
    """Whether every tensor has a gradient."""
    return all(bool(gradient.any()) for gradient in result.gradients.values())


def living_nets(number: int) -> list[Net]:
    """The first random networks whose output spikes and depends on all weights."""
    nets: list[Net] = []
    seed = 0
    while len(nets) < number:
        net, seed = random_net(seed), seed + 1
        if alive(solve(net, "times", None)) and alive(solve(net, "membranes", None)):
            nets.append(net)
    return nets


def check_example() -> None:
    """Assert that the exact engine finds E4's gradient."""
    found = solve(example(), "times", None, first_only=True).gradients["w_in"] * 1e3
    assert torch.allclose(found, torch.tensor(KNOWN, dtype=torch.float64), rtol=1e-9), found


def quartiles(runs: list[list[dict[str, float] | None]], name: str) -> np.ndarray:
    """Lower quartile, median, upper quartile [3, dt] over the networks that agree."""
    columns = [[run[index][name] for run in runs if run[index] is not None] for index in range(len(STEPS))]
    return np.array([np.percentile(column, (25, 50, 75)) if column else [np.nan] * 3 for column in columns]).T


def slope(values: np.ndarray) -> float:
    """Of log(error) over log(dt), at and below FITTED."""
    small = np.array(STEPS) <= FITTED * 1.001
    return float(np.polyfit(np.log(np.array(STEPS)[small]), np.log(values[small]), 1)[0])


def table(title: str, runs: list[list[dict[str, float] | None]], names: tuple[str, ...]) -> dict[str, Any]:
    """Print medians and quartiles of one family of runs, and return them with the slopes."""
    found = {name: quartiles(runs, name) for name in names}
    agree = [sum(run[index] is not None for run in runs) / len(runs) for index in range(len(STEPS))]
    heads = {"times": "spike times, ms", **{name: f"dL/d{name}" for name in TENSORS}}
    print(f"\n{title}{': median (quartiles)' if len(runs) > 1 else ''}\n")
    print(
        "| dt, ms | same counts | " + " | ".join(heads[name] for name in names) + " |\n|--:|--:|" + "--:|" * len(names)
    )
    for index, dt in enumerate(STEPS):
        cells = []
        for name in names:
            low, middle, high = found[name][:, index]
            spread = f" ({low:.1e} to {high:.1e})" if len(runs) > 1 else ""
            cells.append(f"{middle:.1e}{spread}" if agree[index] else "")
        print(f"| {dt * 1e3:g} | {agree[index]:.0%} | " + " | ".join(cells) + " |")
    slopes = {name: slope(values[1]) for name, values in found.items()}
    print("| slope | | " + " | ".join(f"**{slopes[name]:.2f}**" for name in names) + " |")
    return {"same_counts": agree, "slopes": slopes, "quartiles": {name: found[name].tolist() for name in names}}


def draw(path: Path, families: dict[str, dict[str, Any]]) -> None:
    """The figure of docs/exact.md."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    panels, axes = plt.subplots(1, 3, figsize=(9, 3), sharex=True, constrained_layout=True)
    dt = np.array(STEPS) * 1e3
    looks = {
        "times": ("black", "spikes", "o-"),
        "w_in": ("C0", "w_in", "o-"),
        "w_rec": ("C1", "w_rec", "s--"),
        "w_out": ("C2", "w_out", "o-"),
    }
    times, membranes, small = (families[name] for name in ("times", "membranes", "E4"))
    shown = (
        ("Spike times", "mean |difference|, ms", times, ("times",)),
        ("Loss on spike times", "relative error of dL/dw", times, TENSORS),
        ("Loss on largest membranes", "relative error of dL/dw", membranes, TENSORS),
    )
    for axis, (title, error, family, names) in zip(axes, shown, strict=True):
        many = np.array(family["same_counts"]) >= SHOWN
        for name in names:
            low, middle, high = np.array(family["quartiles"][name])[:, many]
            color, text, line = looks[name]
            axis.fill_between(dt[many], low, high, color=color, alpha=0.15, linewidth=0)
            label = f"{text}, slope {family['slopes'][name]:.2f}"
            axis.plot(dt[many], middle, line, color=color, ms=3, lw=1.2, label=label)
        if family is times:
            key, text = ("times", "E4") if names == ("times",) else ("w_in", "w_in of E4")
            axis.plot(dt, np.array(small["quartiles"][key])[1], "x:", color="grey", ms=4, lw=0.8, label=text)
        start = min(np.array(family["quartiles"][name])[1][-1] for name in names) / 3
        axis.plot(dt, start * dt / dt[-1], "--", color="grey", lw=0.8, label="proportional to dt")
        axis.set(xscale="log", yscale="log", title=title, xlabel="dt, ms", ylabel=error)
        axis.grid(alpha=0.25, lw=0.5)
        axis.legend(frameon=False, fontsize=7)
    panels.savefig(path, dpi=96)


def main() -> None:
    """Measure, print tables, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=120)
    parser.add_argument("--figure", type=Path, help="where to save the figure; needs matplotlib")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    check_example()
    nets = living_nets(options.networks)
    families = {
        "times": table(
            f"{len(nets)} networks, loss on spike times", [errors(net, "times") for net in nets], ("times", *TENSORS)
        ),
        "membranes": table(
            f"{len(nets)} networks, loss on largest membranes", [errors(net, "membranes") for net in nets], TENSORS
        ),
        "E4": table("E4", [errors(example(), "times", first_only=True)], ("times", *TENSORS)),
    }
    if options.figure:
        draw(options.figure, families)
    if options.json:
        options.json.write_text(json.dumps({"dt": STEPS, **families}, indent=1))


if __name__ == "__main__":
    main()
