"""Set-up for tests that run thousands of networks."""

import pytest

from ranvier.ops.exact import cpu


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch, as_users_run_it: None) -> None:
    """Networks of one to four units see both feed-forward kernels; annotations are not checked, which costs as much."""
    monkeypatch.setattr(cpu, "_NARROW", 2)
