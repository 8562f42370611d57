"""An answer asked for again without gradient is remembered, and forgotten when it would be wrong."""

import pytest
import torch

from ranvier.ops.membrane import Membrane, integral, op
from tests.ops.membrane.cases import case

ASKS = {"maximum": Membrane.maximum, "integral": Membrane.integral}


@pytest.fixture
def computed(monkeypatch):
    """How often each answer was computed."""
    counted = {"maximum": 0, "integral": 0}

    def counting(name, compute):
        def count(*given):
            counted[name] += 1
            return compute(*given)

        return count

    for module, name in ((op, "maximum"), (integral, "integral")):
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    return counted


@pytest.mark.parametrize("name", ASKS)
def test_after_a_loss_its_predictions_cost_nothing(name, computed):
    membrane, ask = case().membrane("numba"), ASKS[name]
    with_gradient = ask(membrane)
    with torch.no_grad():
        again = [ask(membrane), ask(membrane)]
    assert computed[name] == 1
    assert all(torch.equal(with_gradient, other) and not other.requires_grad for other in again)
    assert with_gradient.requires_grad
    assert with_gradient.abs().sum() > 0


@pytest.mark.parametrize("name", ASKS)
def test_every_answer_with_gradient_has_a_graph_of_its_own(name, computed):
    given, ask = case(), ASKS[name]
    membrane = given.membrane("numba")
    with torch.no_grad():
        ask(membrane)
    for _ in range(2):
        ask(membrane).sum().backward()
    assert computed[name] == 3
    assert given.leaves["w_in"].grad.norm() > 0


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("changed", ["w_in", "times", "amplitudes", "tau_mem", "tau_syn", "bias"])
@torch.no_grad()
def test_what_changes_in_place_is_noticed(changed, name):
    given, ask = case(bias=0.2), ASKS[name]
    membrane = given.membrane("numba")
    before = ask(membrane)
    given.leaves[changed].mul_(0.9)
    assert not torch.equal(ask(membrane), before)
    torch.testing.assert_close(ask(membrane), ask(given.membrane("numba")), rtol=0, atol=0)


@pytest.mark.parametrize("name", ASKS)
def test_changing_an_answer_does_not_change_the_memory(name):
    membrane, ask = case().membrane("numba"), ASKS[name]
    answer = ask(membrane)
    before = answer.detach().clone()
    with torch.no_grad():
        answer.zero_()
        assert torch.equal(ask(membrane), before)


@pytest.mark.parametrize("name", ASKS)
def test_in_inference_mode_everything_is_computed(name, computed):
    with torch.inference_mode():
        given = case()
        leaves = {key: value.detach().clone() for key, value in given.leaves.items()}
        membrane = given.membrane("numba", leaves)
        for _ in range(2):
            assert ASKS[name](membrane).abs().sum() > 0
    assert computed[name] == 2


def test_weights_are_told_apart():
    membrane = case().membrane("numba")
    with torch.no_grad():
        assert not torch.equal(membrane.integral("linear"), membrane.integral("exponential"))
