"""What is tested always, and what only by the slow tests: every variant of a kernel takes seconds to compile."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest


def by_backend(cases: Mapping[str, tuple[Any, ...]], always: Collection[str]) -> list[Any]:
    """Parameters (*case, backend): every case by the reference; by kernels those named, the others slow."""
    assert set(always) <= set(cases)
    return [
        pytest.param(
            *case,
            backend,
            id=f"{name}-{backend}",
            marks=() if backend == "reference" or name in always else pytest.mark.slow,
        )
        for name, case in cases.items()
        for backend in ("reference", "numba")
    ]


def some(cases: Collection[str], always: Collection[str]) -> list[Any]:
    """One parameter: those named always, the others slow."""
    assert set(always) <= set(cases)
    return [pytest.param(name, marks=() if name in always else pytest.mark.slow) for name in cases]
