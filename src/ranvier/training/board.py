"""The metrics as TensorBoard shows them, where TensorBoard is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ranvier.training.files import cannot_write


class Board:
    """TensorBoard's file in a run's folder, opened with the first metrics; nothing without TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any | None = None
        self._tried = False

    def add(self, line: Mapping[str, Any]) -> None:
        """Show one epoch's metrics.

        What an earlier, stopped process showed of this epoch and later ones is withdrawn.

        Raises:
            RunError: the folder cannot be written.
        """
        if not self._tried:
            self._tried, self._writer = True, self._open(line["epoch"])
        if self._writer is not None:
            for name, value in scalars(line).items():
                self._writer.add_scalar(name, value, line["epoch"])

    def _open(self, epoch: int) -> Any | None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        try:
            return SummaryWriter(str(self.folder), purge_step=epoch)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._writer is not None:
            self._writer.close()


def scalars(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a metrics line by path, such as "rates/hidden"."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            found |= scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[f"{prefix}{name}"] = float(value)
    return found
