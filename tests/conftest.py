"""Set-up shared by all tests: annotations are checked, seeds are fixed, compiled kernels are kept between runs."""

import os

from jaxtyping import install_import_hook

# all rooms but `ops`, where functions within functions would be decorated anew at every call: half of the tests' time
ROOMS = ("spikes", "neurons", "gradients", "layers", "losses", "audit", "data", "training", "studies", "cli")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # one worker's threads do not spin where another's could run
install_import_hook([f"ranvier.{room}" for room in ROOMS], "beartype.beartype")

import jaxtyping  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from ranvier.ops import threads  # noqa: E402

_entries = threads._entries


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _chunks_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are started from Python: what starts them from compiled code is compiled for every kernel, for seconds."""
    monkeypatch.setattr(threads, "_entries", lambda: None)


@pytest.fixture
def chunks_from_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside the tests."""
    monkeypatch.setattr(threads, "_entries", _entries)


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotations unchecked, as outside the tests: a wrong type must meet the library's own sentence."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
