"""One competitor's training step, driven through standard input and output by `benchmarks.run`.

    python serve.py PEER PROBLEM.npz [VARIANT]      (in an environment with the competitor)

The first line out tells what it is: hidden density, gain found for it, seconds of the first step (compilation), losses
of the first steps. Then each line of input is a number of steps, answered by their wall and processor seconds, or
`memory`, answered by what `memory` returns. All in JSON.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FIRST_STEPS, NEAR = 20, 0.1  # losses told; how near to the aimed density, relative


def fitted(peer: Any, given: dict[str, Any], variant: str) -> tuple[Any, float, float]:
    """The step, the density and the gain: where the model is another, that with which it fires as aimed."""
    aim, low, high, gain = float(given["density"]), 0.0, 0.0, 1.0
    for _ in range(30):
        step, density = peer.build(given | {"w_in": given["w_in"] * np.float32(gain)}, variant)
        found = float(density())
        if peer.SAME_MODEL or abs(found / aim - 1) < NEAR:
            return step, found, gain
        low, high = (gain, high) if found < aim else (low, gain)
        gain = (low + high) / 2 if high else 2 * gain
    raise SystemExit(f"No gain gives a hidden density of {aim}; the last, {gain}, gave {found}.")


def memory(step: Callable[[], float]) -> dict[str, float | None]:
    """MB of a process that has taken steps.

    Returns:
        peak: of the resident set, so far.
        rise: of that peak in a step over the process at rest, which holds the batch, the weights, the optimiser's state
            and the last gradients, and whose freed memory has gone back; the largest of five steps.
        counted: what autograd keeps between forward and backward (distinct storages) and the peak of the numpy arrays
            of a step.

        The last two are None without PyTorch: at rest JAX still holds the memory of a step, so nothing rises.
    """
    peak, known = status("VmHWM"), "torch" in sys.modules
    return {
        "peak": peak,
        "rise": max(rise(step) for _ in range(5)) if known else None,
        "counted": counted(step) if known else None,
    }


def rise(step: Callable[[], float]) -> float:
    """See `memory`."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    rest = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    step()
    return status("VmHWM") - rest


def counted(step: Callable[[], float]) -> float:
    """See `memory`."""
    from torch.autograd.graph import saved_tensors_hooks

    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        sparse = ("crow_indices", "col_indices", "values") if tensor.is_sparse_csr else ()
        for part in [getattr(tensor, name)() for name in sparse] or [tensor]:
            storage = part.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tracemalloc.start()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (sum(kept.values()) + arrays) / 2**20


def status(field: str) -> float:
    """A line of the process's status, MB."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(field)).split()[1]) / 1024


def main() -> None:
    """Build, tell, serve."""
    sys.path[0] = str(Path(__file__).parents[2])
    os.chdir("/")  # nothing of the working folder shadows a package
    with np.load(sys.argv[2]) as stored:
        given = {name: value if value.ndim else value.item() for name, value in stored.items()}
    peer, variant = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}"), (sys.argv[3:] or [""])[0]
    step, density, gain = fitted(peer, given, variant)
    started = time.perf_counter()
    losses = [step()]
    first = time.perf_counter() - started
    losses += [step() for _ in range(FIRST_STEPS - 1)]
    answer = {"same_model": peer.SAME_MODEL, "density": density, "gain": gain, "first_seconds": first, "losses": losses}
    print(json.dumps(answer), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(json.dumps(memory(step)), flush=True)
            continue
        taken: list[tuple[float, float]] = []
        for _ in range(int(line)):
            wall, processor = time.perf_counter(), time.process_time()
            step()
            taken.append((time.perf_counter() - wall, time.process_time() - processor))
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
