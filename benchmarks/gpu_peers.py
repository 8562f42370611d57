"""One training step of some peers, and of this library's reference, on a GPU: `python -m benchmarks.gpu_peers`.

Run it with an interpreter whose torch and JAX see the GPU and that has Ranvier, Spyx and jaxpike; a way that does not
run there is told in a line. Each way has a process of its own: 20 steps first, then `--steps` that are timed, each with
the loss read at its end, for which a step must be over. Beside them, on the same machine's processor with two threads,
Ranvier's kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.run import SAME_DENSITY, SAME_LOSS, machine
from benchmarks.works import WORKS

OURS = "Ranvier, EventProp, 2 CPU threads"
WAYS = {
    OURS: ("ranvier_step", "eventprop", "cpu"),
    "Ranvier, EventProp, reference": ("ranvier_step", "eventprop", "cuda"),
    "PyTorch loop": ("torch_loop", "dense", "cuda"),
    "PyTorch loop, sparse input": ("torch_loop", "sparse", "cuda"),
    "Spyx": ("spyx_step", "", "cuda"),
    "jaxpike, scan_unroll 1": ("jaxpike_step", "1", "cuda"),
    "jaxpike, scan_unroll 8": ("jaxpike_step", "8", "cuda"),
}


def measure(way: str, work: str, folder: Path, steps: int, seconds: int) -> dict[str, Any]:
    """What `peers/serve.py` tells of a way, and the milliseconds of each step; or what made it fail."""
    peer, variant, device = WAYS[way]
    given = folder / f"{work}-{device}.npz"
    if not given.exists():
        np.savez(given, **WORKS[work].problem(), device=device)
    environment = os.environ | {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    serve = Path(__file__).parent / "peers" / "serve.py"
    command = [sys.executable, serve, peer, given, variant]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, errors = process.communicate(f"{steps}\n", timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return {"failed": f"given up after {seconds} s"}
    if process.returncode:
        return {"failed": " ".join(errors.splitlines()[-1:])}
    told, taken = (json.loads(line) for line in out.splitlines())
    return told | {"ms": [wall * 1e3 for wall, _ in taken]}


def row(way: str, told: dict[str, Any], ours: dict[str, Any] | None) -> str:
    """A line of the table. A way of the same model must find what Ranvier's kernels find, and every way must learn."""
    if "failed" in told:
        return f"| {way} | failed: {told['failed']} |"
    losses, density = told["losses"], told["density"]
    assert np.isfinite(losses).all(), f"{way}: losses {losses}"
    assert len(set(losses)) > 1, f"{way} does not learn: losses {losses}"
    if told["same_model"] and ours is not None:
        assert abs(losses[0] / ours["losses"][0] - 1) < SAME_LOSS, f"{way}: loss {losses[0]}"
        assert abs(density / ours["density"] - 1) < SAME_DENSITY, f"{way}: hidden density {density}"
    taken = told["ms"]
    return (
        f"| {way} | {min(taken):.2f} | {statistics.median(taken):.2f} | {told['first_seconds']:.1f} "
        f"| {100 * density:.2f} % | {losses[0]:.4f}, {losses[-1]:.4f} | {len(taken)} |"
    )


def main() -> None:
    """Measure and print a table for each workload."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_peers")
    parser.add_argument("--work", default="W1,W2", help="of W1, W2, W3; %(default)s")
    parser.add_argument("--steps", type=int, default=50, help="timed steps; %(default)s")
    parser.add_argument("--seconds", type=int, default=120, help="after which a way is given up; %(default)s")
    given = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; {machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        for work in given.work.split(","):
            print(f"{work}\n\n| way | min ms | median ms | first step s | density | loss 1, 20 | steps |")
            print(f"|---|{'--:|' * 6}", flush=True)
            ours = None
            for way in WAYS:
                told = measure(way, work, Path(folder), given.steps, given.seconds)
                ours = told if way == OURS else ours
                print(row(way, told, ours), flush=True)
            print()


if __name__ == "__main__":
    main()
