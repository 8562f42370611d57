import jaxtyping
import pytest


@pytest.fixture
def as_users_run_it(monkeypatch):
    """Annotations unchecked, as outside the tests: a wrong type must meet the library's own sentence."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
