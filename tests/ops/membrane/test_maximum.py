"""The maximum of a membrane over time: published numbers, finite differences, and what happens in every corner."""

import pytest
import torch

from ranvier.neurons.continuous import Continuous
from ranvier.ops.membrane import Membrane, cpu
from ranvier.spikes import Spikes
from tests.ops.membrane.cases import (
    AWKWARD,
    F64,
    NAMES,
    SHARED,
    SIZES,
    apart,
    case,
    cotangent,
    events,
    gradients,
    integrators,
)

BACKENDS = ("reference", "numba")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("taus", "size"), AWKWARD)
def test_no_value_on_a_fine_grid_is_larger_and_some_is_almost_as_large(taus, size, backend):
    given = case(taus, size, bias=0.2)
    fine = given.membrane("numba").at(torch.linspace(0, 0.05, 4001, dtype=F64)).detach().amax(0)
    largest = given.membrane(backend).maximum().detach()
    assert (largest >= fine - 1e-12).all()
    torch.testing.assert_close(largest, fine, rtol=1e-3, atol=1e-2)
    assert largest.shape == (SIZES[size][0], SIZES[size][3])


@pytest.mark.parametrize("per_unit", [False, True], ids=["shared", "per-unit"])
@pytest.mark.parametrize("bias", [0.0, 0.4, -0.3])
@pytest.mark.parametrize(("taus", "size"), AWKWARD)
def test_the_kernel_agrees_with_the_reference(taus, size, bias, per_unit):
    given = case(taus, size, per_unit=per_unit, bias=bias)
    found, truth = given.membrane("numba").maximum(), given.membrane("reference").maximum()
    assert apart(found, truth) < 1e-13
    found, truth = gradients(given, found), gradients(given, truth)
    for name in NAMES:
        assert apart(found[name], truth[name]) < 1e-10, name
        if SIZES[size][1] > 1 and (bias or name != "bias"):
            assert truth[name].norm() > 0, f"{name} is dead"


def moved(given, name, index, by):
    leaves = {key: value.detach().clone() for key, value in given.leaves.items()}
    leaves[name].view(-1)[index] += by
    return leaves


def difference(given, ask, name, index, h):
    """Central difference of the cotangent's product, to fourth order."""

    def at(by):
        answer = ask(given.membrane("numba", moved(given, name, index, by)))
        return (answer * cotangent(answer)).sum().item()

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


STEPS = {"times": 1e-6, "amplitudes": 1e-4, "w_in": 1e-4, "tau_mem": 1e-7, "tau_syn": 1e-7, "bias": 1e-4}


@pytest.mark.parametrize(("taus", "per_unit"), SHARED)
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_the_finite_difference(taus, name, per_unit):
    given = case(taus, per_unit=per_unit, bias=0.3)
    found = gradients(given, given.membrane("numba").maximum())[name].view(-1)
    true = [difference(given, Membrane.maximum, name, index, STEPS[name]) for index in range(len(found))]
    assert found.norm() > 0
    assert apart(found, torch.tensor(true, dtype=F64)) < 2e-8


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rising_membrane_has_its_maximum_at_the_end(backend):
    spikes = events((49.0, 0))
    w = torch.tensor([[2.0]], dtype=F64, requires_grad=True)
    found = Membrane(spikes, w, integrators(), backend).maximum()
    found.backward()
    k = (torch.exp(torch.tensor(-1 / 20, dtype=F64)) - torch.exp(torch.tensor(-1 / 5, dtype=F64))) / 3
    assert found.item() == pytest.approx(2 * k.item(), rel=1e-14)
    assert w.grad.item() == pytest.approx(k.item(), rel=1e-14)
    assert spikes.times.grad.item() < 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_membrane_that_only_falls_has_its_maximum_at_the_start(backend):
    spikes = events((3.0, 0), (9.0, 0))
    w = torch.tensor([[-2.0]], dtype=F64, requires_grad=True)
    numbers = integrators(bias=-0.1)
    found = Membrane(spikes, w, numbers, backend).maximum()
    found.backward()
    assert found == 0
    assert w.grad == 0
    assert (spikes.times.grad == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_zero_are_not_stuck(backend):
    spikes = events((3.0, 0))
    w = torch.zeros(1, 2, dtype=F64, requires_grad=True)
    found = Membrane(spikes, w, integrators(), backend).maximum()
    found.sum().backward()
    assert (found == 0).all()
    d = torch.tensor([[47.0, 47.0]], dtype=F64)  # a membrane at rest has its maximum at the end
    torch.testing.assert_close(w.grad, (torch.exp(-d / 20) - torch.exp(-d / 5)) / 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kink_moves_with_its_event(backend):
    """V rises until an inhibitory event: the maximum's time is the event's, and so is all of its gradient in time."""
    spikes = events((1.0, 0), (4.0, 1), n_in=2)
    w = torch.tensor([[10.0], [-30.0]], dtype=F64, requires_grad=True)
    found = Membrane(spikes, w, integrators(), backend).maximum()
    found.backward()
    d = torch.tensor(3.0, dtype=F64)
    v, i = 10 / 3 * (torch.exp(-d / 20) - torch.exp(-d / 5)), 10 * torch.exp(-d / 5)
    assert found.item() == pytest.approx(v.item(), rel=1e-13)
    slope = ((i - v) / 20).item()
    assert slope > 0.1
    assert spikes.times.grad.tolist() == pytest.approx([-slope, slope], rel=1e-12)
    assert w.grad[1] == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_simultaneous_events_the_one_that_bends_owns_the_kink(backend):
    """Order in the list is order in time: an excitatory event at the kink's time comes before, and pushes it up."""
    spikes = events((1.0, 0), (4.0, 0), (4.0, 1), (4.0, 1), n_in=2)
    w = torch.tensor([[10.0], [-30.0]], dtype=F64)
    Membrane(spikes, w, integrators(), backend).maximum().backward()
    d = torch.tensor(3.0, dtype=F64)
    v, i = 10 / 3 * (torch.exp(-d / 20) - torch.exp(-d / 5)), 10 * torch.exp(-d / 5)
    slope, jump = ((i - v) / 20).item(), 10 / 20
    assert spikes.times.grad.tolist() == pytest.approx([-slope, -jump, slope + jump, 0.0], rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(3))
def test_shifting_all_events_shifts_the_maximum_only(seed, backend):
    given = case("apart", 3, seed=seed, duration=0.05)
    later = given.spikes._with(duration=0.3)  # so that no maximum is at the end
    shift = torch.zeros((), dtype=F64, requires_grad=True)
    leaves = given.leaves
    numbers = Continuous(("V", "I"), leaves["tau_mem"], leaves["tau_syn"], leaves["bias"], None, 0.0)

    def largest(by):
        return Membrane(later._with(times=given.spikes.times + by), leaves["w_in"], numbers, backend).maximum()

    still = largest(shift)
    assert (still > 0).double().mean() > 0.8
    torch.testing.assert_close(largest(torch.tensor(0.07, dtype=F64)), still, rtol=1e-12, atol=1e-14)
    (found,) = torch.autograd.grad((still * cotangent(still)).sum(), shift)
    assert abs(found.item()) < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_its_samples(backend):
    given = case("apart", 3, bias=0.1)
    whole = given.membrane(backend)
    parts = [Membrane(whole.spikes[[b]], whole.w_in, whole.neuron, backend).maximum() for b in range(5)]
    assert torch.equal(whole.maximum(), torch.cat(parts))
    one = gradients(given, whole.maximum())
    other = gradients(given, torch.cat(parts))
    for name in NAMES:
        assert apart(one[name], other[name]) < 1e-14, name


def test_shared_work_gives_the_same(monkeypatch):
    given = case("apart", 3, bias=0.1)
    alone = given.membrane("numba").maximum()
    before = gradients(given, alone)
    monkeypatch.setattr(cpu, "_WORTH_SHARING", 0)
    monkeypatch.setattr(cpu.threads, "chunks", lambda n: [(0, 2), (2, 3), (3, n)])
    together = given.membrane("numba").maximum()
    after = gradients(given, together)
    assert torch.equal(alone, together)
    for name in NAMES:
        assert apart(after[name], before[name]) < 1e-14, name


def test_float32_is_rounded_once():
    given = case("apart", 3, bias=0.1)
    low = {name: value.detach().clone() for name, value in given.leaves.items()}
    for name in ("times", "amplitudes", "w_in"):
        low[name] = low[name].float()
    leaves = {name: value.requires_grad_() for name, value in low.items()}
    found = given.membrane("numba", leaves).maximum()
    assert found.dtype == torch.float32
    assert apart(found, given.membrane("numba").maximum()) < 3e-7
    truth = gradients(given, given.membrane("numba").maximum())
    grads = torch.autograd.grad((found * cotangent(found)).sum(), list(leaves.values()))
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        assert grad.dtype == leaf.dtype
        assert apart(grad, truth[name]) < 3e-5, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_events_at_and_just_past_the_end(backend):
    """A float32 time may exceed `duration` by its rounding; nothing that late can matter."""
    spikes = Spikes.from_samples([([0.01, 0.05, 0.05], [0, 0, 0])], unit_shape=1, duration=0.05)
    assert float(spikes.times[-1]) > 0.05
    spikes = spikes._with(times=spikes.times.clone().requires_grad_())
    w = torch.tensor([[3.0]], dtype=F64, requires_grad=True)
    found = Membrane(spikes, w, integrators(200e-3, 100e-3), backend).maximum()
    found.backward()
    assert found > 0.4
    # the maximum is at the end, which does not move
    assert spikes.times.grad[0] < 0
    assert w.grad.item() == pytest.approx(found.item() / 3, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_a_number_shows(backend, bad):
    spikes = events((1.0, 0), (2.0, 1), n_in=2)
    w = torch.tensor([[1.0, 1.0], [1.0, bad]], dtype=F64)
    found = Membrane(spikes, w, integrators(), backend).maximum()
    assert found[0, 0].isfinite()
    torch.testing.assert_close(found[0, 1], w[1, 1], equal_nan=True)


def test_only_what_is_asked_for_is_differentiated():
    given = case("apart", 1)
    leaves = {name: value.detach() for name, value in given.leaves.items()}
    assert not given.membrane("numba", leaves).maximum().requires_grad
    truth = gradients(given, given.membrane("numba").maximum())
    for name in NAMES:
        alone = leaves | {name: leaves[name].clone().requires_grad_()}
        found = given.membrane("numba", alone).maximum()
        (grad,) = torch.autograd.grad((found * cotangent(found)).sum(), alone[name])
        assert apart(grad, truth[name]) < 1e-14, name


def test_unsorted_times_are_an_error():
    spikes = events((1.0, 0), (2.0, 0))
    spikes = spikes._with(times=torch.tensor([2.0, 1.0], dtype=F64))
    with pytest.raises(RuntimeError, match=r"^Event 1 of 2 is earlier than the one before: times are unsorted\.$"):
        Membrane(spikes, torch.ones(1, 1, dtype=F64), integrators()).maximum()
