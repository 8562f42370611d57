import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.tiny_mnist import NAMES, idx_bytes, tiny_arrays


@pytest.fixture
def write_mnist(tmp_path: Path) -> Callable[..., Path]:
    def write(**changed: np.ndarray) -> Path:
        folder = tmp_path / "own"
        folder.mkdir(exist_ok=True)
        for key, values in (tiny_arrays() | changed).items():
            (folder / NAMES[key]).write_bytes(gzip.compress(idx_bytes(values), mtime=0))
        return folder

    return write
