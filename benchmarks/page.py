"""The tables and figures of docs/benchmarks.md, from docs/benchmarks/*.json: `python -m benchmarks page`.

The page's words stand in the page. What is measured stands between `<!-- NAME -->` and `<!-- end -->`: NAME is a
workload, an axis of `sweep.py`, or one of `aims`, `peers`, `floor`, `memory` and `measured`. What has no measurement
yet is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.figures import draw
from benchmarks.sweep import AXES
from benchmarks.tables import aims_table, floor_table, statements, sweep_table, table
from benchmarks.works import WORKS

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"<!-- (?!end)(\S+) -->\n.*?<!-- end -->", re.DOTALL)


def page(*, check: bool) -> None:
    """Write the page and its figures, or with `check` fail where the page is not what would be written."""
    path, files = DOCS / "benchmarks.md", load(DOCS / "benchmarks")
    before = path.read_text()
    after = filled(before, files)
    if check:
        if before != after:
            raise SystemExit(f"{path.name} is not what `python -m benchmarks page` makes of the measurements.")
        return
    path.write_text(after)
    draw(*gathered(files), DOCS / "figures")


def load(folder: Path) -> dict[str, Any]:
    """What was measured, by file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def gathered(files: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Workloads and sweeps of all files, each of one file only."""
    works: dict[str, Any] = {}
    sweeps: dict[str, Any] = {}
    for stem, results in files.items():
        if "floors" in results:
            continue
        found = {results["over"]: results} if "over" in results else results["works"]
        into = sweeps if "over" in results else works
        for name in found:
            if name in into:
                raise SystemExit(
                    f"Each workload and sweep must be measured in one file. Got {name} again in {stem}.json."
                )
        into |= found
    return _in_order(works, WORKS), _in_order(sweeps, AXES)


def _in_order(found: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


def filled(text: str, files: dict[str, Any]) -> str:
    """The page with what is measured in its blocks."""
    works, sweeps = gathered(files)
    known = dict.fromkeys((*WORKS, *AXES, "aims", "peers", "floor", "memory", "measured"), "")
    known |= {name: table(work) for name, work in works.items()}
    known |= {name: _sweep(sweep) for name, sweep in sweeps.items()}
    if aims := aims_table(works):
        known |= {"aims": aims, "peers": _image("peers", "Steps of peers relative to Ranvier's.")}
    if {"steps", "batch"} <= set(sweeps):
        known["memory"] = _image("memory", "Memory over time steps and samples.")
    for results in files.values():
        if "floors" in results:
            known["floor"] = floor_table(results["floors"])
    if files:
        known["measured"] = _measured(files)

    def block(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in known:
            raise SystemExit(f"A block of the page must be of {', '.join(known)}. Got {name}.")
        return f"<!-- {name} -->\n\n{known[name]}\n\n<!-- end -->" if known[name] else found.group()

    return BLOCK.sub(block, text)


def _sweep(sweep: dict[str, Any]) -> str:
    parts = (_image(sweep["over"], f"Step time over {sweep['label']}."), sweep_table(sweep), statements(sweep))
    return "\n\n".join(part for part in parts if part)


def _image(name: str, alternative: str) -> str:
    return f"![{alternative}](figures/bench_{name}.png)"


def _measured(files: dict[str, Any]) -> str:
    """Where, when and how."""
    lines = ["| file | command | rounds | date | machine |", "|---|---|--:|---|---|"]
    lines += [
        f"| [{stem}](benchmarks/{stem}.json) | `{found['command']}` | "
        f"{found['rounds']} | {found['date']} | {found['machine']} |"
        for stem, found in files.items()
    ]
    needs = {
        need
        for found in files.values()
        for work in found.get("works", {}).values()
        for row in work["ways"].values()
        for need in row["needs"]
        if "==" in need
    }
    return "\n".join(lines) + (f"\n\nPeers: {', '.join(sorted(needs))}." if needs else "")
