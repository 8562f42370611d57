"""A run's folder: `config.json` says what it is, `result.json` that it is finished; `fit` keeps the rest."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranvier.errors import RunError
from ranvier.studies import RunConfig, takes_folder
from ranvier.training.files import cannot_write, write_whole

if TYPE_CHECKING:
    from ranvier.layers import Network

CONFIG, RESULT = "config.json", "result.json"


def create(out: str | None, config: RunConfig) -> Path:
    """Make the folder of a new run, with its `config.json`.

    Args:
        out: new or empty folder; None for runs/<dataset>-<time>.
        config: of the run, complete with its thread count.

    Raises:
        RunError: the folder is not empty, or cannot be written.
    """
    try:
        folder = _next_folder(config.dataset.partition(":")[0]) if out is None else Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RunError(f"--out must name a new or empty folder. Got {folder}, which is not empty.")
    except OSError as error:
        raise cannot_write(Path("runs" if out is None else out), error) from error
    write_config(folder, config)
    return folder


def _next_folder(dataset: str) -> Path:
    stem = f"{dataset}-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        folder = Path("runs") / f"{stem}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
            continue
        return folder
    raise RunError(f"runs/{stem} must be new. Got a thousand runs of this second.")


def remove(folder: Path) -> None:
    """Take back what `create` made."""
    with suppress(OSError):
        (folder / CONFIG).unlink()
        folder.rmdir()


def write_config(folder: Path, config: RunConfig) -> None:
    """Write `config.json`, whole."""
    write_whole(folder / CONFIG, (json.dumps(asdict(config), indent=2) + "\n").encode())


def read_config(folder: Path) -> RunConfig:
    """What a run is.

    Raises:
        RunError: there is no run, or its `config.json` is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise RunError(f"{folder} must be the folder of a run. Got a path without {CONFIG}.")
    try:
        return RunConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RunError(f"{path} must be readable. Got: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} must be as it was written. Got a damaged file ({error}).") from error


def trained(folder: Path, data_dir: str | None) -> tuple[RunConfig, dict[str, Any]]:
    """What a run is, and its newest whole checkpoint.

    Args:
        folder: the run's.
        data_dir: folder of the data files in place of the run's; None for the run's.

    Raises:
        RunError: there is no such run, it has no checkpoint yet, or `data_dir` has no effect on it.
    """
    from ranvier.training import checkpoint

    config = read_config(folder)
    if data_dir is not None:
        if not takes_folder(config.dataset):
            raise RunError(f"--data-dir has no effect on {folder}, a run of {config.dataset}. Got {data_dir}.")
        config = replace(config, data_dir=data_dir)
    loaded = checkpoint.load_last(folder)
    if loaded is None:
        raise RunError(f"{folder} must hold a checkpoint. Got a run that has not finished its first epoch.")
    if loaded.note is not None:
        print(loaded.note, file=sys.stderr)  # noqa: T201
    return config, loaded.content


def fill(network: Network, content: dict[str, Any], folder: Path) -> None:
    """Give a network the weights of a checkpoint.

    Raises:
        RunError: they are another network's.
    """
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise RunError(f"{folder} must hold weights that fit its config.json. Got others.") from error


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write `result.json`, whole."""
    write_whole(folder / RESULT, (json.dumps(result, indent=2) + "\n").encode())


def read_result(folder: Path, epochs: int) -> dict[str, Any] | None:
    """The result of a run of so many epochs, or None if it is not finished (or the file is damaged)."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("epochs") == epochs else None
