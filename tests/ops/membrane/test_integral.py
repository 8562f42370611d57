"""Weighted integrals of membranes against 40 digits and finite differences."""

from typing import get_args

import pytest
import torch

from ranvier.ops.membrane import Membrane, Weight, integral
from tests.ops.membrane import truth
from tests.ops.membrane.cases import F64, NAMES, SHARED, SIZES, TAUS, apart, case, events, gradients, integrators
from tests.ops.membrane.test_maximum import STEPS, difference

WEIGHTS = get_args(Weight)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(("duration", "taus"), [(1.0, taus) for taus in TAUS] + [(0.05, "apart")])
def test_forty_digits(duration, taus, weight):
    fed = [(0.0, 1.5), (0.3 * duration, -0.7), (0.97 * duration, 2.0)]
    spikes = events(*((t, 0) for t, _ in fed), duration=duration)
    spikes = spikes._with(amplitudes=torch.tensor([a for _, a in fed], dtype=F64))
    found = Membrane(spikes, torch.ones(1, 1, dtype=F64), integrators(*TAUS[taus], 0.4)).integral(weight)
    true = truth.integral(weight, fed, *TAUS[taus], 0.4, duration)
    assert found.item() == pytest.approx(float(true), rel=1e-12)


@pytest.mark.parametrize("per_unit", [False, True], ids=["shared", "per-unit"])
@pytest.mark.parametrize("size", range(len(SIZES)), ids=str)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_it_is_the_mean_of_what_the_membrane_is(weight, size, per_unit):
    given = case("apart", size, per_unit=per_unit, bias=0.3)
    membrane, middles = given.membrane("auto"), (torch.arange(2000, dtype=F64) + 0.5) / 2000
    weights = torch.tensor([float(truth.WEIGHTS[weight](float(x))) for x in middles], dtype=F64)
    mean = (membrane.at(middles * 0.05) * weights[:, None, None]).mean(0)
    found = membrane.integral(weight)
    assert found.shape == (SIZES[size][0], SIZES[size][3])
    torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("taus", "per_unit"), SHARED)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_every_gradient_is_the_finite_difference(weight, taus, name, per_unit):
    given = case(taus, per_unit=per_unit, bias=0.3)

    def ask(membrane):
        return membrane.integral(weight)

    found = gradients(given, ask(given.membrane("auto")))[name].view(-1)
    true = [difference(given, ask, name, index, STEPS[name]) for index in range(len(found))]
    assert found.norm() > 0
    assert apart(found, torch.tensor(true, dtype=F64)) < 2e-8


def test_a_linear_readout_gives_back_its_integral():
    """The integral is linear in the weights: sum of w dL/dw is L."""
    given = case("apart", 3)
    for weight in WEIGHTS:
        found = given.membrane("auto").integral(weight).sum()
        (grad,) = torch.autograd.grad(found, given.leaves["w_in"])
        assert (grad * given.leaves["w_in"]).sum().item() == pytest.approx(found.item(), rel=1e-12)


def test_the_quadrature_in_parts_is_the_same(monkeypatch):
    given = case("apart", 3, per_unit=True)
    monkeypatch.setattr(integral, "_AT_ONCE", 1 << 30)
    whole = given.membrane("auto").integral("sigmoid")
    before = gradients(given, whole)
    monkeypatch.setattr(integral, "_AT_ONCE", 7000)
    parts = given.membrane("auto").integral("sigmoid")
    assert torch.equal(whole, parts)
    assert all(apart(grad, before[name]) < 1e-14 for name, grad in gradients(given, parts).items())


def test_float32_answers_in_float32():
    given = case("apart", 3, bias=0.2)
    low = {name: value.detach().clone() for name, value in given.leaves.items()}
    for name in ("times", "amplitudes", "w_in"):
        low[name] = low[name].float()
    for weight in WEIGHTS:
        found = given.membrane("auto", low).integral(weight)
        assert found.dtype == torch.float32
        assert apart(found, given.membrane("auto").integral(weight)) < 1e-6
