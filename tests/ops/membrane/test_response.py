"""K(d), on which everything here rests, against 40 digits."""

import pytest
import torch
from mpmath import diff, mpf, workdps

from ranvier.ops.membrane.response import response
from tests.ops.membrane import truth
from tests.ops.membrane.cases import F64, TAUS

TIMES = (0.0, 1e-9, 1e-4, 3e-3, 20e-3, 0.3)


def leaf(value):
    return torch.tensor(value, dtype=F64, requires_grad=True)


@pytest.mark.parametrize("taus", TAUS)
@pytest.mark.parametrize("time", TIMES)
def test_value_and_derivatives(time, taus):
    d, tau_mem, tau_syn = leaf(time), leaf(TAUS[taus][0]), leaf(TAUS[taus][1])
    k = response(d, tau_mem, tau_syn)
    found = torch.autograd.grad(k, (d, tau_mem, tau_syn))
    at = (time, *TAUS[taus])
    assert k.item() == pytest.approx(float(truth.response(*at)), rel=1e-13, abs=1e-300)
    for index, slope in enumerate(found):
        order = tuple(int(index == other) for other in range(3))
        with workdps(200):  # differences of nearly equal exponentials
            true = float(diff(truth.response, at, order, h=mpf("1e-40")))
        assert slope.item() == pytest.approx(true, rel=1e-9, abs=1e-18), ("d", "tau_mem", "tau_syn")[index]


def test_shapes_are_broadcast_and_gradients_summed():
    d, tau_mem, tau_syn = leaf([[1e-3, 4e-3, 9e-3]]), leaf([[20e-3], [7e-3]]), leaf(5e-3)
    assert torch.autograd.gradcheck(response, (d, tau_mem, tau_syn), eps=1e-8)
    assert response(d, tau_mem, tau_syn).shape == (2, 3)


def test_long_silence_underflows_to_zero_and_nothing_is_nan():
    d, tau_mem, tau_syn = leaf([5.0, 100.0]), leaf(20e-3), leaf(1e-3)
    k = response(d, tau_mem, tau_syn)
    assert k[1] == 0
    for slope in torch.autograd.grad(k.sum(), (d, tau_mem, tau_syn)):
        assert slope.isfinite().all()
