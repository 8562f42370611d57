"""One training step in continuous time against jaxsnn, and where the time of a step goes.

    python -m benchmarks.exact_step [--rounds 8] [--jaxsnn PYTHON | --no-jaxsnn] [--json FILE]

Workload W4: Yin-Yang, batch 150, 5 -> 120 -> 3 CubaLIF, tau_mem 20 ms, tau_syn 10 ms, threshold 1; 5 input spikes a
sample up to 2 tau_syn, run to 4 tau_syn; cross-entropy of the first spikes; Adam. One full training step is zeroing the
gradients, forward, loss, backward, Adam, reading the loss. Two ways to fire: one spike per neuron, and freely.

jaxsnn (Electronic Visions, arXiv 2401.16841) runs in a process and a virtual environment of its own, which is made in
the user's cache folder on the first run, and reused. Both libraries are timed in turn in one run: a round is one step
that is not counted and `STEPS_PER_ROUND` that are, of each way; compilation comes before. First they are checked to
emit as many spikes and to find the same loss and gradients.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ranvier as rv
from ranvier.data.encode import linear_latency
from ranvier.data.yinyang import yinyang_points
from ranvier.ops.compile import cache_folder

STEPS_PER_ROUND = 20
LEARNING_RATE = 1e-5  # so small that the network keeps firing as aimed while one batch is trained over and over
WAYS = {"one spike": math.inf, "free": 0.0}  # refractory time, s
PEER = "jaxsnn==0.3.*"


@dataclass(frozen=True)
class Work:
    """W4; the weights are normal with these means and standard deviations."""

    batch: int = 150
    n_hidden: int = 120
    tau_mem: float = 20e-3
    tau_syn: float = 10e-3
    hidden_weights: tuple[float, float] = (1.5, 0.78)
    output_weights: tuple[float, float] = (0.05, 0.05)
    seed: int = 0

    @property
    def duration(self) -> float:
        """Seconds of a sample."""
        return 4 * self.tau_syn


@dataclass(frozen=True)
class Problem:
    """One batch and initial weights, the same for every competitor."""

    work: Work
    spikes: rv.Spikes
    labels: Tensor
    w_hidden: Tensor
    w_output: Tensor

    def save(self, path: Path) -> None:
        """Write it for the other process: the input as [B, 5] times and units, sorted by time."""
        shape = (self.work.batch, -1)
        np.savez(
            path,
            times=self.spikes.times.reshape(shape).numpy(),
            units=self.spikes.units.reshape(shape).numpy(),
            labels=self.labels.numpy(),
            w_hidden=self.w_hidden.numpy(),
            w_output=self.w_output.numpy(),
        )


def problem(work: Work) -> Problem:
    """Draw the batch and the weights."""
    values, labels = yinyang_points(work.batch, 42)
    spikes = linear_latency(values, 0.0, 2 * work.tau_syn, duration=work.duration, bias_time=0.0)
    generator = torch.Generator().manual_seed(work.seed)

    def normal(n_in: int, n_out: int, mean: float, deviation: float) -> Tensor:
        return torch.randn(n_in, n_out, generator=generator) * deviation + mean

    w_hidden = normal(5, work.n_hidden, *work.hidden_weights)
    return Problem(work, spikes, labels, w_hidden, normal(work.n_hidden, 3, *work.output_weights))


class Ranvier:
    """The training step of this library."""

    def __init__(self, given: Problem, refractory: float) -> None:
        neuron = rv.CubaLIF(given.work.tau_mem, given.work.tau_syn, refractory=refractory)
        self.hidden = rv.Spiking(5, given.work.n_hidden, neuron)
        self.output = rv.Spiking(given.work.n_hidden, 3, neuron)
        with torch.no_grad():
            self.hidden.w_in.copy_(given.w_hidden)
            self.output.w_in.copy_(given.w_output)
        self.given, self.network = given, rv.Network(hidden=self.hidden, output=self.output)
        self.loss = rv.FirstSpikeCrossEntropy()
        self.optimiser = torch.optim.Adam(self.network.parameters(), LEARNING_RATE, fused=True)

    def step(self) -> float:
        """One training step; the loss."""
        self.optimiser.zero_grad()
        value = self.loss(self.network(self.given.spikes).output, self.given.labels)
        value.backward()
        self.optimiser.step()
        return value.item()

    def parts(self) -> dict[str, float]:
        """Seconds of each part of one training step, taken apart at the borders of the layers."""
        clock, taken = time.perf_counter, {}
        since = clock()

        def lap(name: str) -> None:
            nonlocal since
            now = clock()
            taken[name], since = now - since, now

        self.optimiser.zero_grad()
        lap("zero the gradients")
        hidden = self.hidden(self.given.spikes)
        lap("hidden, forward")
        output = self.output(hidden)
        lap("output, forward")
        value = self.loss(output, self.given.labels)
        lap("loss, forward")
        (to_output,) = torch.autograd.grad(value, output.times)
        lap("loss, backward")
        to_hidden, self.output.w_in.grad = torch.autograd.grad(
            output.times, (hidden.times, self.output.w_in), to_output
        )
        lap("output, backward")
        (self.hidden.w_in.grad,) = torch.autograd.grad(hidden.times, self.hidden.w_in, to_hidden)
        lap("hidden, backward")
        self.optimiser.step()
        lap("Adam")
        value.item()
        lap("read the loss")
        return taken


class Jaxsnn:
    """jaxsnn's training step, in a process of its own (`jaxsnn_worker.py`)."""

    def __init__(self, python: Path, given: Problem, refractory: float, folder: Path, events: tuple[int, int]) -> None:
        given.save(folder / "problem.npz")
        loss = rv.FirstSpikeCrossEntropy()
        settings = {
            "problem": str(folder / "problem.npz"),
            "gradients": str(folder / "gradients.npz"),
            "v_reset": -1000.0 if refractory else 0.0,
            "tau_mem": given.work.tau_mem,
            "tau_syn": given.work.tau_syn,
            "duration": given.work.duration,
            "hidden_events": events[0],
            "output_events": events[1],
            "loss": {name: getattr(loss, name) for name in ("tau_0", "tau_1", "alpha")},
            "learning_rate": LEARNING_RATE,
        }
        self.log = (folder / "worker.log").open("w+")
        worker = Path(__file__).with_name("jaxsnn_worker.py")
        command = [str(python), str(worker), json.dumps(settings)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.told: dict[str, Any] = self._answer()
        gradients = np.load(folder / "gradients.npz")
        self.gradients = [gradients[name] for name in ("w_hidden", "w_output")]

    def steps(self, number: int) -> list[float]:
        """Seconds of each of `number` training steps."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.log.close()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"The process of jaxsnn ended:\n{self.log.read()[-2000:]}")
        return json.loads(line)


def peer_python() -> Path:
    """The interpreter of an environment with jaxsnn, made in the cache folder where there is none yet."""
    folder = cache_folder().parent / "jaxsnn-0.3"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = folder / "made"
    if not made.exists():
        print(f"Installing {PEER} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
        made.touch()
    return python


def gate(ours: Ranvier, peer: Jaxsnn | None, free: bool) -> dict[str, Any]:
    """Spikes per neuron; assert that the peer trains the same network, and tell how closely."""
    run = ours.network(ours.given.spikes)
    loss = ours.loss(run.output, ours.given.labels)
    gradients = torch.autograd.grad(loss, (ours.hidden.w_in, ours.output.w_in))
    assert all(bool(gradient.any()) for gradient in gradients)
    facts: dict[str, Any] = {"clipped": sum(spikes.record.clipped for spikes in run.activity.values())}
    for name, spikes in run.activity.items():
        counts = spikes.counts()
        facts[name] = {"fired": (counts > 0).float().mean().item(), "spikes": counts.mean().item()}
    if peer is not None:
        emitted = {name: spikes.n_events for name, spikes in run.activity.items()}
        off = max(abs(peer.told["spikes"][name] / number - 1) for name, number in emitted.items())
        apart = [
            float(np.linalg.norm(a - b.numpy()) / b.norm()) for a, b in zip(peer.gradients, gradients, strict=True)
        ]
        facts |= {"gradients_apart": apart, "loss_apart": abs(peer.told["loss"] / loss.item() - 1), "count_apart": off}
        limit = 3e-2 if free else 1e-3  # jaxsnn computes in float32; spikes that graze the threshold amplify that
        assert max(*apart, facts["loss_apart"], off) < limit, facts
    return facts


def events_needed(ours: Ranvier) -> tuple[int, int]:
    """The most events, in and out, that a sample has in each layer: what jaxsnn must know beforehand."""
    with torch.no_grad():
        activity = ours.network(ours.given.spikes).activity
    hidden, output = (activity[name].counts().sum(1).int() for name in ("hidden", "output"))
    return int(hidden.max()) + 5, int((hidden + output).max())


def measure(steppers: dict[str, Callable[[int], list[float]]], rounds: int) -> dict[str, list[list[float]]]:
    """Seconds of the counted steps, by way and round."""
    taken: dict[str, list[list[float]]] = {name: [] for name in steppers}
    for _ in range(rounds):
        for name, steps in steppers.items():
            taken[name].append(steps(STEPS_PER_ROUND + 1)[1:])
    return taken


def timed(step: Callable[[], float]) -> Callable[[int], list[float]]:
    """Seconds of each of some calls."""

    def steps(number: int) -> list[float]:
        taken = []
        for _ in range(number):
            begin = time.perf_counter()
            step()
            taken.append(time.perf_counter() - begin)
        return taken

    return steps


def parts_table(ways: dict[str, Ranvier]) -> dict[str, dict[str, float]]:
    """Print and return the least milliseconds of each part of our step."""
    least: dict[str, dict[str, float]] = {}
    for way, ours in ways.items():
        runs = [ours.parts() for _ in range(100)][10:]
        least[way] = {part: min(run[part] for run in runs) * 1e3 for part in runs[0]}
    print("\n| part of Ranvier's step, min ms | " + " | ".join(ways) + " |\n|---|" + "--:|" * len(ways))
    for part in next(iter(least.values())):
        print(f"| {part} | " + " | ".join(f"{least[way][part]:.2f}" for way in ways) + " |")
    return least


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--jaxsnn", type=Path, metavar="PYTHON", help="interpreter of an environment that has jaxsnn")
    which.add_argument("--no-jaxsnn", action="store_true", help="time this library alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    given = problem(Work())
    ways = {way: Ranvier(given, refractory) for way, refractory in WAYS.items()}
    steppers, peers, facts = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        python = None if options.no_jaxsnn else options.jaxsnn or peer_python()
        for way, ours in ways.items():
            steppers[f"Ranvier, {way}"] = timed(ours.step)
            if python is not None:
                place = Path(folder) / way
                place.mkdir()
                peers[way] = Jaxsnn(python, given, WAYS[way], place, events_needed(ours))
                steppers[f"jaxsnn, {way}"] = peers[way].steps
            facts[way] = gate(ours, peers.get(way), free=not WAYS[way])
        taken = measure(steppers, options.rounds)
        for peer in peers.values():
            peer.close()
    versions = next((f"jaxsnn {peer.told['jaxsnn']} (jax {peer.told['jax']}), " for peer in peers.values()), "")
    print(
        f"{given.work}\nRanvier {rv.__version__}, {versions}torch {torch.__version__}, {torch.get_num_threads()} "
        f"threads, {platform.machine()}, Python {platform.python_version()}; {options.rounds} rounds of "
        f"{STEPS_PER_ROUND} steps\n"
    )
    for way, found in facts.items():
        hidden, output = found["hidden"], found["output"]
        print(
            f"{way}: {hidden['fired']:.1%} of the hidden neurons fire, {hidden['spikes']:.2f} spikes each; "
            f"outputs {output['spikes']:.2f}; {found['clipped']} slopes bounded"
            + (
                f"; jaxsnn apart by {found['loss_apart']:.0e} (loss), {max(found['gradients_apart']):.0e} (gradients), "
                f"{found['count_apart']:.0e} (spikes)"
                if peers
                else ""
            )
        )
    rows = report(taken)
    parts = parts_table(ways)
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "rows": rows, "parts": parts}, indent=1))


def report(taken: dict[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    """Print and return the table of steps; ratios are medians over the rounds of the ratio within a round."""
    print("\n| fires | way | min ms | median ms | jaxsnn / Ranvier, minima | medians |\n|---|---|--:|--:|--:|--:|")
    rows: dict[str, dict[str, float]] = {}
    for name, rounds in taken.items():
        library, way = name.split(", ")
        each = [seconds for one in rounds for seconds in one]
        rows[name] = row = {"min_ms": min(each) * 1e3, "median_ms": statistics.median(each) * 1e3}
        ratios = ""
        if library == "jaxsnn":
            pairs = list(zip(rounds, taken[f"Ranvier, {way}"], strict=True))
            for what, of in (("ratio_min", min), ("ratio_median", statistics.median)):
                row[what] = statistics.median(of(theirs) / of(ours) for theirs, ours in pairs)
            ratios = f" {row['ratio_min']:.1f} | {row['ratio_median']:.1f} |"
        print(f"| {way} | {library} | {row['min_ms']:.2f} | {row['median_ms']:.2f} |{ratios or ' | |'}")
    return rows


if __name__ == "__main__":
    main()
