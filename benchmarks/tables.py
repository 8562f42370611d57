"""Tables and statements about measurements, in Markdown, from what `run.py`, `sweep.py` and `floor.py` write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp, log
from typing import Any

import numpy as np

from benchmarks.competitors import OURS

AIMS = {  # times faster than the fastest peer
    "W1": {"EventProp": 10, "Esser": 8, "SuperSpike": 4},
    "W2": {"EventProp": 30, "Esser": 18, "SuperSpike": 6},
    "W3": {"EventProp": 8, "Esser": 8, "SuperSpike": 4},
    "W4": {"exact": 12},
}
KERNELS = ("hidden, forward", "readout, forward", "readout, backward", "hidden, backward")  # as a step calls them
LINEAR = 0.1  # relative: the most that a measured time may be off a line that is called one


def short(way: str) -> str:
    """One of our ways without the library's name."""
    return way.removeprefix(f"{OURS}, ")


def split(ways: Iterable[str]) -> tuple[list[str], list[str]]:
    """Our ways and the others."""
    ours = [name for name in ways if name.startswith(OURS)]
    return ours, [name for name in ways if not name.startswith(OURS)]


def table(work: dict[str, Any]) -> str:
    """One workload, our ways first, then the peers from the fastest on."""
    ways = work["ways"]
    ours, peers = split(ways)
    peers.sort(key=lambda name: ways[name]["median_ms"])
    heads = ["way", "min ms", "median ms", "CPU ms", "first step s", "peak MB", "rise MB", "counted MB"]
    heads += ["hidden density" if work["kind"] == "grid" else "spikes a neuron", "loss 1, 20"]
    heads += [f"x {short(name)}" for name in ours] if peers else []
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
    for name in (*ours, *peers):
        row = ways[name]
        cells = [
            name,
            f"{row['min_ms']:.2f}",
            f"{row['median_ms']:.2f}",
            f"{row['processor_ms']:.1f}",
            f"{row['first_seconds']:.1f}",
            f"{row['peak_mb']:.0f}",
            *("" if row[what] is None else f"{row[what]:.1f}" for what in ("rise_mb", "counted_mb")),
            f"{100 * row['density']:.2f} %" if work["kind"] == "grid" else f"{row['density']:.2f}",
            f"{row['losses'][0]:.4f}, {row['losses'][-1]:.4f}",
        ]
        cells += [f"{ways[our]['ratios'][name]:.1f}" for our in ours] if peers else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fastest(ways: dict[str, Any], our: str) -> tuple[str, float]:
    """The other way that is nearest to one of ours, and how many times longer it takes."""
    ratios = ways[our]["ratios"]
    name = min(split(ways)[1], key=lambda name: ratios[name])
    return name, ratios[name]


def aims_table(works: dict[str, Any]) -> str:
    """What was aimed at against the fastest peer, and what was measured; empty without peers."""
    lines = ["| workload | Ranvier | fastest peer | times longer | aim | |", "|---|---|---|--:|--:|---|"]
    for name, way, aim in ((name, way, aim) for name, aims in AIMS.items() for way, aim in aims.items()):
        ways, our = works.get(name, {"ways": {}})["ways"], f"{OURS}, {way}"
        if our in ways and split(ways)[1]:
            peer, ratio = fastest(ways, our)
            lines.append(f"| {name} | {way} | {peer} | {ratio:.1f} | {aim} | {'met' if ratio >= aim else 'missed'} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def sweep_table(sweep: dict[str, Any]) -> str:
    """Median milliseconds and counted megabytes of each way at each point."""
    ways = list(sweep["points"][0]["ways"])
    heads = [f"{name}, ms (MB)" for name in ways]
    lines = [f"| {sweep['label']} | {' | '.join(heads)} |", "|--:|" + "--:|" * len(ways)]
    for point in sweep["points"]:
        cells = [f"{row['median_ms']:.2f} ({row['counted_mb']:.1f})" for row in point["ways"].values()]
        lines.append(f"| {number(sweep, point['at'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(sweep: dict[str, Any], value: float) -> str:
    """A value of the axis that a sweep goes over."""
    return f"{100 * value:g} %" if sweep["over"] == "density" else f"{value:g}"


def crossing(sweep: dict[str, Any], our: str) -> float | None:
    """Where the fastest other way begins to be faster than ours: on a line in logarithms between points, or None."""
    before = None
    for point in sweep["points"]:
        here = log(point["at"]), log(fastest(point["ways"], our)[1])
        if here[1] < 0:
            if before is None:
                return point["at"]
            share = before[1] / (before[1] - here[1])
            return exp(before[0] + share * (here[0] - before[0]))
        before = here
    return None


def statements(sweep: dict[str, Any]) -> str:
    """What a sweep shows, in words: of density the crossing, and where spikes vary, whether time is linear in them."""
    said = [crossings(sweep)] if sweep["over"] == "density" else []
    said += [lines(sweep)] if sweep["over"] in ("density", "batch") else []
    return "\n\n".join(said)


def crossings(sweep: dict[str, Any]) -> str:
    """`crossing` of each of our ways, in words."""
    said = []
    for our in split(sweep["points"][0]["ways"])[0]:
        at = crossing(sweep, our)
        last = f"none up to {number(sweep, sweep['points'][-1]['at'])}"
        said.append(f"{short(our)} {last if at is None else f'at {100 * at:.1f} %'}")
    return f"The fastest plain loop overtakes Ranvier: {'; '.join(said)}."


def line(spikes: Iterable[float], ms: Iterable[float]) -> tuple[float, float, float]:
    """The line through times over spikes with the least relative error.

    Returns:
        ms without a spike, ms of a spike, and the largest relative distance of a time from the line.
    """
    spikes, ms = np.array(list(spikes)), np.array(list(ms))
    rows = np.stack([1 / ms, spikes / ms], 1)
    fixed, each = np.linalg.lstsq(rows, np.ones(len(ms)), rcond=None)[0]
    return float(fixed), float(each), float(np.abs(rows @ [fixed, each] - 1).max())


def lines(sweep: dict[str, Any]) -> str:
    """Of which of our ways the time is linear in hidden spikes, in words."""
    said = []
    for our in split(sweep["points"][0]["ways"])[0]:
        spikes = [point["spikes"] for point in sweep["points"]]
        fixed, each, off = line(spikes, (point["ways"][our]["median_ms"] for point in sweep["points"]))
        if off <= LINEAR and fixed > 0:
            said.append(
                f"{short(our)} {fixed:.1f} ms and {1e6 * each:.0f} ns a hidden spike (off by {off:.0%} at most)"
            )
    return f"Linear in spikes: {'; '.join(said)}." if said else f"No time is within {LINEAR:.0%} of linear in spikes."


def floor_table(floors: dict[str, Any]) -> str:
    """The parts of a step by workload: the floor of each kernel, what it takes, and the rest of the step, in ms."""
    lines = [f"| EventProp, ms | {' | '.join(floors)} |", "|---|" + "--:|" * len(floors)]

    def row(title: str, value: Callable[[dict[str, Any]], str]) -> None:
        lines.append(f"| {title} | {' | '.join(value(found) for found in floors.values())} |")

    row("input events, hidden spikes", lambda found: f"{found['events']:,}, {found['spikes']:,}")
    for kernel in KERNELS:
        row(
            f"{kernel}: floor, taken",
            lambda found, kernel=kernel: f"{found['floor'][kernel]:.2f}, {found['taken'][kernel]:.2f}",
        )

    def kernels(found: dict[str, Any]) -> tuple[float, float]:
        return sum(found["floor"].values()), sum(found["taken"][kernel] for kernel in KERNELS)

    row("all kernels: floor, taken", lambda found: "{:.2f}, {:.2f}".format(*kernels(found)))
    row("taken / floor", lambda found: f"{kernels(found)[1] / kernels(found)[0]:.2f}")
    titles = {
        "layers": "layers' Python, autograd, arrays",
        "loss": "loss, forward and backward",
        "optimiser": "zeroing, Adam, reading the loss",
        "step": "the step",
    }
    for part, title in titles.items():
        row(title, lambda found, part=part: f"{found['taken'][part]:.2f}")
    return "\n".join(lines)
