"""Set-up shared by all tests: annotations are checked, seeds are fixed, compiled kernels are kept between runs."""

from jaxtyping import install_import_hook

# all rooms but `ops`, where functions within functions would be decorated anew at every call: half of the tests' time
ROOMS = ("spikes", "neurons", "gradients", "layers", "losses", "audit", "data", "training", "studies", "cli")
install_import_hook([f"ranvier.{room}" for room in ROOMS], "beartype.beartype")

import jaxtyping  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotations unchecked, as outside the tests: a wrong type must meet the library's own sentence."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
