"""Kernels written to order: a template, rendered for one structure, saved as a source file and compiled from there.

Numba's disk cache never hits for closures and goes stale for imported functions, so each kernel is one self-contained
file in the user's cache folder, under a hash of its text, that of `team.py` (its one import of ours), the Numba version
and the processor. The file is written atomically: processes that compile the same kernel at once do not disturb each
other.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple


def cache_folder() -> Path:
    """Where kernels are kept: `$RANVIER_CACHE` or the user's cache folder, in `kernels`."""
    import pooch

    root = os.environ.get("RANVIER_CACHE") or pooch.os_cache("ranvier")
    return Path(root) / "kernels"


def writable(folder: Path) -> bool:
    """Whether files can be put into a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@lru_cache(maxsize=1)
def _writable_folder() -> Path:
    """The cache folder, or a copy for this process alone: what is compiled there is found, what is not is lost."""
    folder = cache_folder()
    if writable(folder):
        return folder
    private = Path(tempfile.mkdtemp(prefix="ranvier-kernels-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, private, dirs_exist_ok=True)  # with times of change, which Numba compares
    warnings.warn(
        f"The kernel cache {folder} is not writable: kernels that are not in it are compiled for this process alone.",
        RuntimeWarning,
        stacklevel=2,
    )
    return private


@lru_cache(maxsize=1)
def _templates() -> Any:
    """All templates, by package and name; what Jinja makes of them is kept beside the kernels."""
    import jinja2

    class Environment(jinja2.Environment):
        def join_path(self, template: str, parent: str) -> str:
            """What is included belongs to the package of what includes it."""
            return f"{parent.split('/')[0]}/{template}"

    return Environment(
        line_statement_prefix="%",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        loader=jinja2.FunctionLoader(_text),
        bytecode_cache=jinja2.FileSystemBytecodeCache(str(_writable_folder()), "%s.template"),
    )


def _text(name: str) -> str:
    """A template of a package, "package/name", or one that all ops share."""
    package, file = name.split("/")
    own = files(package).joinpath(file)
    return (own if own.is_file() else files("ranvier.ops").joinpath(file)).read_text()


Options = tuple[tuple[str, Any], ...]  # hashable name-value pairs


class Shareable(NamedTuple):
    """A kernel of chunks: one chunk in the calling thread, or all in torch's team (`ranvier.ops.threads`)."""

    alone: Callable[..., Any]
    shared: Callable[..., Any]


def kernel(package: str, template: str, options: Options) -> Callable[..., Any]:
    """The compiled function `kernel` of a template rendered with `options`."""
    return _module(package, template, options).kernel


def shareable(package: str, template: str, options: Options) -> Shareable:
    """The same of a template that includes `shared.py.jinja`: `kernel(chunk, first, last, ...)`."""
    module = _module(package, template, options)
    return Shareable(module.kernel, module.shared)


@lru_cache(maxsize=256)
def _module(package: str, template: str, options: Options) -> ModuleType:
    source = _templates().get_template(f"{package}/{template}").render(dict(options))
    name = f"{Path(template).name.split('.')[0]}_{_fingerprint(source)}"
    path = _writable_folder() / f"{name}.py"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(source)
        Path(file.name).replace(path)
    spec = importlib.util.spec_from_file_location(f"_ranvier_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _fingerprint(source: str) -> str:
    import llvmlite.binding
    import numba

    launcher = files("ranvier.ops").joinpath("team.py").read_text()
    parts = (source, launcher, numba.__version__, llvmlite.binding.get_host_cpu_name())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
