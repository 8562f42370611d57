"""One training step against the plain PyTorch loop: time and memory, side by side.

    python -m benchmarks.step [--rounds 12] [--json FILE]

All ways train the same batch from the same weights in one process. Rounds alternate between them; in a round each way
takes one step that is not counted (it finds the other's data in the caches) and then a few that are. A way is first
checked against the loop: equal outputs, equal spikes. The ratio "round by round" is the median over the rounds of the
ratio of their medians. Memory is measured in a process of its own per way.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import torch

import ranvier as rv
from benchmarks.workload import Problem, Work, loop_step, problem, ranvier_step

GAIN = 15.0  # hidden density 2.8 % per step and unit at the start
STEPS_PER_ROUND = 6
WAYS: dict[str, tuple[str, object]] = {
    "eventprop": ("ranvier", rv.EventProp()),
    "esser": ("ranvier", rv.Surrogate(rv.Esser())),
    "superspike": ("ranvier", rv.Surrogate(rv.SuperSpike())),
    "loop, esser": ("loop", rv.Esser()),
    "loop, superspike": ("loop", rv.SuperSpike()),
}


def stepper(name: str, given: Problem) -> Callable[[], float]:
    """The training step of one way."""
    kind, how = WAYS[name]
    return (ranvier_step if kind == "ranvier" else loop_step)(given, how)[0]


def gate(given: Problem) -> float:
    """Assert that every way computes the same network; the hidden density."""
    loop = loop_step(given, rv.SuperSpike())[1]
    with torch.no_grad():
        traces, fired = loop(given.raster)
        assert fired.sum() > 0
        for name, (kind, how) in WAYS.items():
            if kind == "ranvier":
                output, activity = ranvier_step(given, how)[1](rv.Spikes.from_dense(given.raster, dt=given.work.dt))
                apart = (activity["hidden"].to_dense() != fired).float().mean().item()
                assert apart < 1e-4, f"{name}: {apart:.1e} of the cells differ from the loop"
                scores = (output.amax(0), traces.amax(0))
                assert torch.allclose(*scores, atol=0.02), f"{name}: outputs differ from the loop"
    return fired.mean().item()


def times(given: Problem, rounds: int) -> dict[str, list[float]]:
    """Seconds of every counted step."""
    steps = {name: stepper(name, given) for name in WAYS}
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            for _ in range(STEPS_PER_ROUND):
                start = time.perf_counter()
                step()
                taken[name].append(time.perf_counter() - start)
    return taken


def by_round(values: list[float]) -> list[list[float]]:
    """The counted steps of each round."""
    return [values[start : start + STEPS_PER_ROUND] for start in range(0, len(values), STEPS_PER_ROUND)]


def memory(name: str) -> dict[str, float]:
    """MB held and worked on in a step (counted), and the rise of peak RSS over the warm process (measured)."""
    warm = problem(Work(batch=1), GAIN)
    stepper(name, warm)()
    given = problem(Work(), GAIN)
    step = stepper(name, given)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the warm step freed goes back, so that taking it again counts
    base = _rss("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    for _ in range(3):
        step()
    rise = _rss("VmHWM") - base
    held: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    tracemalloc.start()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"counted": (sum(held.values()) + arrays) / 2**20, "rise": rise / 2**20}


def _rss(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(memory(options.memory_of)))
        return
    given = problem(Work(), GAIN)
    density = gate(given)
    taken = times(given, options.rounds)
    rows = {}
    for name, values in taken.items():
        command = [sys.executable, "-m", "benchmarks.step", "--memory-of", name]
        used = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows[name] = {"name": name, "min_ms": min(values) * 1e3, "median_ms": statistics.median(values) * 1e3, **used}
    for name, row in rows.items():
        loop = rows["loop, esser" if name == "esser" else "loop, superspike"]
        row["ratio_min"], row["ratio_median"] = (
            loop["min_ms"] / row["min_ms"],
            loop["median_ms"] / row["median_ms"],
        )
    print(
        f"{given.work}, hidden density {density:.4f}; torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.machine()}, Python {platform.python_version()}"
    )
    print(
        "| way | min ms | median ms | loop / way, min | loop / way, round by round | MB counted | MB rise of peak RSS |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['min_ms']:.2f} | {row['median_ms']:.2f} | {row['ratio_min']:.1f} | "
            f"{row['ratio_median']:.1f} | {row['counted']:.1f} | {row['rise']:.1f} |"
        )
    if options.json:
        options.json.write_text(json.dumps({"density": density, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
