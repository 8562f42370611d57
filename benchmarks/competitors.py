"""Who takes part in `benchmarks.run`, and the environments that peers need, made once in the user's cache folder."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from ranvier.ops.compile import cache_folder


@dataclass(frozen=True)
class Way:
    """One way to take a training step.

    Attributes:
        peer: its file in `benchmarks/peers`.
        kinds: of the workloads that it takes part in.
        gradient: ways of one model and gradient learn alike; empty where it is the way's own.
        variant: a word for that file.
        needs: what pip installs for it; nothing runs in this interpreter.
        shares: whether it also finds this interpreter's packages, so that both run the same torch.
        without_dependencies: whether pip leaves out what the needs themselves ask for.
    """

    peer: str
    variant: str = ""
    kinds: tuple[str, ...] = ("grid",)
    gradient: str = ""
    needs: tuple[str, ...] = ()
    shares: bool = False
    without_dependencies: bool = False


OURS = "Ranvier"  # what names of our ways begin with
EXACT = ("one spike", "free")
JAX = ("jax==0.10.2", "optax==0.2.8")
WAYS = {
    "Ranvier, EventProp": Way("ranvier_step", "eventprop"),
    "Ranvier, Esser": Way("ranvier_step", "esser"),
    "Ranvier, SuperSpike": Way("ranvier_step", "superspike", gradient="SuperSpike"),
    "PyTorch loop, sparse input": Way("torch_loop", "sparse", gradient="SuperSpike"),
    "PyTorch loop": Way("torch_loop", "dense", gradient="SuperSpike"),
    "PyTorch loop of tutorials": Way("torch_loop", "tutorial", gradient="SuperSpike"),
    "Norse": Way("norse_step", needs=("norse==1.1.0", "nir", "nirtorch"), shares=True, without_dependencies=True),
    "Norse, recurrent cell": Way(
        "norse_step", "recurrent", needs=("norse==1.1.0", "nir", "nirtorch"), shares=True, without_dependencies=True
    ),
    "snnTorch": Way("snntorch_step", needs=("snntorch==1.0.0",), shares=True, without_dependencies=True),
    "SpikingJelly": Way(
        "spikingjelly_step", needs=("spikingjelly==2.0.0", "loguru"), shares=True, without_dependencies=True
    ),
    "Spyx": Way("spyx_step", needs=("spyx==1.0.0", *JAX)),
    "Rockpool, JAX": Way("rockpool_step", needs=("rockpool==3.1.0", *JAX)),
    "jaxpike": Way("jaxpike_step", needs=("jaxpike==0.1.4", *JAX)),
    "Ranvier, exact": Way("ranvier_exact", kinds=EXACT, gradient="exact"),
    "jaxsnn": Way("jaxsnn_step", kinds=EXACT, gradient="exact", needs=("jaxsnn==0.3.0", *JAX)),
    "exact-snn-nn": Way(
        "exact_snn_step",
        kinds=("one spike",),
        gradient="exact",
        needs=("exact-snn-nn==3.2.3",),
        shares=True,
        without_dependencies=True,
    ),
}


def python_of(way: Way) -> Path:
    """The interpreter that has what a way needs, installed first where there is none yet."""
    if not way.needs:
        return Path(sys.executable)
    folder = cache_folder().parent / "peers" / f"{way.peer}-{'-'.join(way.needs).replace('==', '-')}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = folder / "made"
    if not made.exists():
        print(f"Installing {', '.join(way.needs)} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        options = ["--no-deps"] if way.without_dependencies else []
        subprocess.run([python, "-m", "pip", "install", "--quiet", *options, *way.needs], check=True)
        if way.shares:
            _share_packages(python)
        made.touch()
    return python


def _share_packages(python: Path) -> None:
    """Let an environment find, after its own packages, those of this interpreter: torch and numpy."""
    command = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    place = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (Path(place) / "shared.pth").write_text("\n".join(site.getsitepackages()) + "\n")
