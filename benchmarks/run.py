"""One training step of each workload, ours and the peers', in turn in one run: `python -m benchmarks run`.

Each way runs in a process of its own, in an environment of its own where it needs one (`competitors.py`), and is
stopped while others run. A round is one turn of each: a step that is not counted, then as many as fit half a second,
the same time for all. Ratios are medians over the rounds of the ratio of medians within a round, so that they survive a
machine whose speed changes. Before anything is timed, ways of the same model must find the same loss and fire alike,
with the same gradient the loss must fall alike over the first twenty steps, and every way must be alive and learn.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.competitors import OURS, WAYS, python_of
from benchmarks.tables import table
from benchmarks.works import WORKS, Work

TURN_SECONDS = 0.5
SAME_LOSS, SAME_DENSITY = 1e-3, 1e-2  # relative, between ways of one model
SAME_DESCENT = 2e-2  # relative, of the loss over the first steps, between ways of one model and gradient


@dataclass
class Competitor:
    """A way's process, stopped between turns."""

    name: str
    process: subprocess.Popen[str]
    log: IO[str]
    told: dict[str, Any]

    @classmethod
    def start(cls, name: str, given: Path, log: Path) -> Competitor:
        """Build and compile; the process is stopped when this returns."""
        way = WAYS[name]
        serve = Path(__file__).parent / "peers" / "serve.py"
        command = [str(python_of(way)), str(serve), way.peer, str(given), way.variant]
        file = log.open("w+")
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True)
        found = cls(name, process, file, {})
        found.told = found._answer()
        process.send_signal(signal.SIGSTOP)
        return found

    def turn(self, steps: int) -> list[tuple[float, float]]:
        """Wall and processor seconds of so many steps."""
        return [tuple(each) for each in self._ask(str(steps))]

    def memory(self) -> dict[str, float | None]:
        """MB, see `serve.memory`."""
        return self._ask("memory")

    def close(self) -> None:
        """End the process."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _ask(self, line: str) -> Any:
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"The process of {self.name} ended:\n{self.log.read()[-2000:]}")
        return json.loads(line)


def gate(competitors: Sequence[Competitor], work: Work) -> None:
    """Assert that what will be timed is the work that was meant."""
    ours = [each for each in competitors if each.name.startswith(OURS)]
    descents = {WAYS[each.name].gradient: _descent(each) for each in ours}
    for each in competitors:
        density, losses, gradient = each.told["density"], each.told["losses"], WAYS[each.name].gradient
        assert np.isfinite(losses).all(), f"{each.name}: losses {losses}"
        assert len(set(losses)) > 1, f"{each.name} does not learn: losses {losses}"
        assert abs(density / work.density - 1) < 0.11, f"{each.name}: hidden density {density}"
        if each.told["same_model"]:
            same = ours[0].told
            assert abs(density / same["density"] - 1) < SAME_DENSITY, f"{each.name}: hidden density {density}"
            assert abs(losses[0] / same["losses"][0] - 1) < SAME_LOSS, f"{each.name}: loss {losses[0]}"
        if gradient and gradient in descents:
            apart = abs(_descent(each) / descents[gradient] - 1)
            assert apart < SAME_DESCENT, f"{each.name}: descent apart by {apart}, losses {losses}"


def _descent(competitor: Competitor) -> float:
    """How far the loss falls over the first steps."""
    return competitor.told["losses"][0] - competitor.told["losses"][-1]


def measure(work: Work, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Time some ways of a workload; what was found, by way."""
    competitors: list[Competitor] = []
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "problem.npz"
        np.savez(given, **work.problem())
        try:
            for name in names:
                print(f"{work.name}: {name} ...", file=sys.stderr, flush=True)
                log = Path(folder) / f"{len(competitors)}.log"
                competitors.append(Competitor.start(name, given, log))
            gate(competitors, work)
            taken: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in names}
            n_steps = {each.name: _steps_of_a_turn(each.turn(2)[1][0]) for each in competitors}
            for _ in range(rounds):
                for each in competitors:
                    taken[each.name].append(each.turn(n_steps[each.name] + 1)[1:])
            found = {each.name: _facts(each, taken[each.name]) for each in competitors}
        finally:
            for each in competitors:
                each.close()
    for name, row in found.items():
        row["ratios"] = {
            other: statistics.median(
                statistics.median(wall for wall, _ in theirs) / statistics.median(wall for wall, _ in own)
                for theirs, own in zip(taken[other], taken[name], strict=True)
            )
            for other in names
        }
    return found


def _steps_of_a_turn(seconds: float) -> int:
    return max(1, int(TURN_SECONDS / seconds))


def _facts(competitor: Competitor, rounds: list[list[tuple[float, float]]]) -> dict[str, Any]:
    wall, processor = zip(*(each for one in rounds for each in one), strict=True)
    used = competitor.memory()
    return {
        "min_ms": min(wall) * 1e3,
        "median_ms": statistics.median(wall) * 1e3,
        "processor_ms": statistics.fmean(processor) * 1e3,  # told in ticks that are longer than some steps
        "first_seconds": competitor.told["first_seconds"],
        "peak_mb": used["peak"],
        "rise_mb": used["rise"],
        "counted_mb": used["counted"],
        "density": competitor.told["density"],
        "gain": competitor.told["gain"],
        "needs": WAYS[competitor.name].needs,
        "losses": competitor.told["losses"],
    }


def machine() -> str:
    """What it ran on, in a line."""
    import torch

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


def header(rounds: int) -> dict[str, Any]:
    """What a file of results begins with."""
    return {
        "machine": machine(),
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}",
        "date": date.today().isoformat(),
        "rounds": rounds,
    }


def run(works: Sequence[str], *, peers: bool, only: Sequence[str] | None, rounds: int, json_file: Path | None) -> None:
    """Measure the workloads and print their tables.

    Args:
        works: names of `WORKS`.
        peers: whether the peers that must be installed take part.
        only: parts of the names of ways; None for all.
        rounds: turns of each way.
        json_file: where everything found is written, after each workload.
    """
    results = header(rounds) | {"works": {}}
    print(f"{results['machine']}; {rounds} rounds\n")
    for name in works:
        work = WORKS[name]
        ways = measure(work, ways_of(work, peers=peers, only=only), rounds)
        results["works"][name] = found = {"kind": work.kind, "ways": ways}
        print(f"{name}\n\n{table(found)}\n", flush=True)
        if json_file is not None:
            json_file.write_text(json.dumps(results, indent=1))


def ways_of(work: Work, *, peers: bool, only: Sequence[str] | None) -> list[str]:
    """Names of the ways that take part in a workload."""
    return [
        name
        for name, way in WAYS.items()
        if work.kind in way.kinds
        and (peers or not way.needs)
        and (only is None or any(part.lower() in name.lower() for part in only))
    ]
