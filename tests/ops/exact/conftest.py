"""Set-up for tests that run thousands of networks."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

import pytest

from ranvier.ops.exact import cpu, op
from tests.ops.exact import nets


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch, as_users_run_it: None) -> None:
    """Run the op without the annotation checks of the test run: thousands of networks would pay for them."""
    plain, plain_cpu = _without_hook(op), _without_hook(cpu)
    monkeypatch.setattr(plain_cpu, "_NARROW", 2)  # so that networks of one to four units see both feed-forward kernels
    monkeypatch.setattr(plain, "cpu", plain_cpu)
    monkeypatch.setattr(nets, "exact", plain.exact)


def _without_hook(module: ModuleType) -> ModuleType:
    assert module.__file__ is not None
    loader = SourceFileLoader(module.__name__, module.__file__)
    spec = spec_from_loader(module.__name__, loader)
    assert spec is not None
    copy = module_from_spec(spec)
    loader.exec_module(copy)
    return copy
