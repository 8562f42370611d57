"""A run's folder, as `fit` uses it: read when a training continues, written when an epoch ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ranvier.errors import RunError
from ranvier.training import checkpoint
from ranvier.training.board import Board
from ranvier.training.files import cannot_write
from ranvier.training.metrics import MetricsFile


class Keeper:
    """Keeps nothing: the base of `FolderKeeper`, for trainings without a folder.

    Attributes:
        loaded: the checkpoint to continue from, or None to start.
    """

    loaded: checkpoint.Loaded | None = None

    def begin(self, after_epoch: int) -> None:
        """Training goes on after this epoch."""

    def keep(self, progress: dict[str, Any], network: dict[str, Any], rest: dict[str, Any], *, best: bool) -> None:
        """An epoch ended.

        Args:
            progress: how far the training is, with the epoch's "metrics".
            network: state of the network.
            rest: what else continuing needs.
            best: whether this epoch has the best validation so far.
        """

    def close(self) -> None:
        """Training is over, or stopped."""


class FolderKeeper(Keeper):
    """Keeps a training in a folder: `metrics.jsonl`, `last.pt`, `previous.pt`, `best.pt`, TensorBoard's file.

    Args:
        folder: made if absent.
        resume: whether the folder may hold a training, which is then continued.

    Raises:
        RunError: the folder cannot be written, holds a training although `resume` is False, or only damaged
            checkpoints.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        if not resume and any((folder / name).exists() for name in (checkpoint.LAST, checkpoint.PREVIOUS)):
            raise RunError(
                f"{folder} must not hold a run already, unless it is resumed. Got a folder with checkpoints."
            )
        self.loaded = checkpoint.load_last(folder) if resume else None
        self._board: Board | None = None

    def begin(self, after_epoch: int) -> None:
        """See `Keeper`."""
        if self.loaded is not None and self.loaded.is_previous:
            checkpoint.promote_previous(self.folder)
        self._metrics = MetricsFile(self.folder, after_epoch)
        self._board = Board(self.folder)

    def keep(self, progress: dict[str, Any], network: dict[str, Any], rest: dict[str, Any], *, best: bool) -> None:
        """See `Keeper`. The checkpoint comes last: what is newer is removed or rewritten on resuming."""
        line = progress["metrics"]
        self._metrics.append(line)
        if best:
            checkpoint.save_best(self.folder, progress | {"network": network})
        checkpoint.save_last(self.folder, progress | rest | {"network": network})
        if self._board is not None:
            self._board.add(line)

    def close(self) -> None:
        """See `Keeper`."""
        if self._board is not None:
            self._board.close()
