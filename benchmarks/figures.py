"""The figures of docs/benchmarks.md, from what `run.py` and `sweep.py` write; needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.tables import AIMS, crossing, number, short, split

OURS_COLORS, OTHERS_COLORS = ("C0", "C2", "C1"), ("0.35", "0.65")
FIRST = {"grid": "Ranvier, EventProp", "one spike": "Ranvier, exact"}  # of our ways, what peers are compared with


def draw(works: dict[str, Any], sweeps: dict[str, Any], folder: Path) -> None:
    """Save each figure whose measurements are there."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figures = {f"bench_{over}": _sweep(plt, sweep) for over, sweep in sweeps.items()}
    shown = {name: work for name, work in works.items() if name in AIMS and split(work["ways"])[1]}
    if shown:
        figures["bench_peers"] = _peers(plt, shown)
    if {"steps", "batch"} <= set(sweeps):
        figures["bench_memory"] = _memory(plt, sweeps)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        plt.close(figure)


def _peers(plt: Any, works: dict[str, Any]) -> Any:
    """How many times longer than ours every way's step takes, a panel for each workload."""
    heights = [len(work["ways"]) for work in works.values()]
    figure, panels = plt.subplots(
        len(works),
        1,
        figsize=(6.5, 0.17 * sum(heights) + 0.65 * len(works)),
        sharex=True,
        squeeze=False,
        height_ratios=heights,
        constrained_layout=True,
    )
    for panel, (name, work) in zip(panels[:, 0], works.items(), strict=True):
        first, ways = FIRST[work["kind"]], work["ways"]
        ratios = ways[first]["ratios"]
        order = sorted(ratios, key=lambda way: ratios[way], reverse=True)
        colors = ["C0" if way in split(ways)[0] else "0.65" for way in order]
        bars = panel.barh(order, [ratios[way] for way in order], color=colors)
        readable = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        panel.bar_label(bars, [f"{ratios[way]:.1f}" for way in order], padding=3, bbox=readable)
        aim = AIMS[name][short(first)]
        panel.axvline(aim, color="C3", lw=1, ls=":")
        panel.annotate(f"aim {aim}", (aim, 1), (2, 0), ("data", "axes fraction"), "offset points", color="C3", va="top")
        panel.set_title(f"{name}: {first} takes {ways[first]['median_ms']:.1f} ms", loc="left")
        panel.tick_params("y", length=0)
        panel.margins(y=0.02)
    panels[-1, 0].set(xscale="log", xlim=(0.8, None))
    panels[-1, 0].set_xlabel("duration of a training step, relative to Ranvier's in the panel's title")
    panels[-1, 0].xaxis.set_major_formatter("{x:g}")
    return figure


def _sweep(plt: Any, sweep: dict[str, Any]) -> Any:
    """Milliseconds of a step along an axis; over density also where the fastest loop begins to be faster than ours."""
    figure, panel = plt.subplots(figsize=(5.5, 3.8), constrained_layout=True)
    _curves(panel, sweep, "median_ms")
    panel.set_ylabel("training step, median, ms")
    if sweep["over"] == "density":
        for curve, our, color in zip(panel.lines, split(sweep["points"][0]["ways"])[0], OURS_COLORS, strict=False):
            at = crossing(sweep, our)
            curve.set_label(f"{our}: {'not overtaken' if at is None else f'overtaken at {100 * at:.2g} %'}")
            if at is not None:
                panel.axvline(at, color=color, lw=0.8, ls=":")
    figure.legend(frameon=False, loc="outside upper left", ncols=2)
    return figure


def _memory(plt: Any, sweeps: dict[str, Any]) -> Any:
    """Counted megabytes of a step over steps and over the batch."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, constrained_layout=True)
    for panel, over in zip(panels, ("steps", "batch"), strict=True):
        _curves(panel, sweeps[over], "counted_mb")
    panels[0].set_ylabel("kept for the backward pass and worked on, MB")
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside upper left", ncols=3)
    return figure


def _curves(panel: Any, sweep: dict[str, Any], what: str) -> None:
    """One line a way in logarithms."""
    from matplotlib.ticker import LogLocator

    at = [point["at"] for point in sweep["points"]]
    ours, others = split(sweep["points"][0]["ways"])
    for ways, colors, mark in ((ours, OURS_COLORS, "o-"), (others, OTHERS_COLORS, "s--")):
        for name, color in zip(ways, colors, strict=True):
            values = [point["ways"][name][what] for point in sweep["points"]]
            panel.plot(at, values, mark, color=color, ms=3.5, lw=1.3, label=name)
    panel.set(xscale="log", yscale="log", xlabel=sweep["label"])
    panel.set_xticks(at, [number(sweep, value) for value in at])
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.minorticks_off()
    panel.grid(alpha=0.25, lw=0.5)
