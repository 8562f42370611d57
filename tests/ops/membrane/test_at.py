"""Membranes at given times against 40 digits, finite differences and the reference."""

import pytest
import torch

from ranvier.ops.membrane import Membrane
from tests.neurons.unchecked import unchecked
from tests.ops.membrane import truth
from tests.ops.membrane.cases import (
    AWKWARD,
    F64,
    NAMES,
    SHARED,
    SIZES,
    apart,
    case,
    events,
    gradients,
    integrators,
)
from tests.ops.membrane.test_maximum import STEPS, difference

BACKENDS = ("reference", "numba")
ASKED = (0.0, 0.0, 1e-3, 9e-3, 9e-3, 21e-3, 49e-3, 50e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("taus", "per_unit"), SHARED)
def test_forty_digits(taus, per_unit, backend):
    given = case(taus, per_unit=per_unit, bias=0.3)
    found = given.membrane(backend).at(ASKED).detach()
    assert found.shape == (len(ASKED), 3, 5)
    values = {name: leaf.detach() for name, leaf in given.leaves.items()}
    units, bounds = given.spikes.units.tolist(), given.spikes.offsets.tolist()
    for b in range(3):
        for n in range(5):
            fed = [
                (float(values["times"][e]), float(values["amplitudes"][e] * values["w_in"][units[e], n]))
                for e in range(bounds[b], bounds[b + 1])
            ]
            own = [float(values[name].expand(5)[n]) for name in ("tau_mem", "tau_syn", "bias")]
            true = [float(truth.membrane(t, fed, *own)) for t in ASKED]
            assert found[:, b, n].tolist() == pytest.approx(true, rel=1e-11, abs=1e-14)
    assert found[2:].abs().min() > 0


@pytest.mark.parametrize("per_unit", [False, True], ids=["shared", "per-unit"])
@pytest.mark.parametrize(("taus", "size"), AWKWARD)
def test_the_kernel_agrees_with_the_reference(taus, size, per_unit):
    given = case(taus, size, per_unit=per_unit, bias=0.3)
    found, true = given.membrane("numba").at(ASKED), given.membrane("reference").at(ASKED)
    assert apart(found, true) < 1e-12
    found, true = gradients(given, found), gradients(given, true)
    for name in NAMES:
        assert apart(found[name], true[name]) < 1e-11, name
        if SIZES[size][1] > 1:
            assert true[name].norm() > 0, f"{name} is dead"


@pytest.mark.parametrize(("taus", "per_unit"), SHARED)
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_the_finite_difference(taus, name, per_unit):
    given = case(taus, per_unit=per_unit, bias=0.3)

    def ask(membrane):
        return membrane.at(ASKED)

    found = gradients(given, ask(given.membrane("numba")))[name].view(-1)
    true = [difference(given, ask, name, index, STEPS[name]) for index in range(len(found))]
    assert found.norm() > 0
    assert apart(found, torch.tensor(true, dtype=F64)) < 2e-8


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_at_a_time_asked_comes_after_it(backend):
    spikes = events((3.0, 0))
    w = torch.ones(1, 1, dtype=F64)
    found = Membrane(spikes, w, integrators(), backend).at([3.0, 3.0 + 1e-9])
    (now,) = torch.autograd.grad(found[0, 0, 0], spikes.times, retain_graph=True)
    (later,) = torch.autograd.grad(found[1, 0, 0], spikes.times)
    assert now == 0
    assert later.item() == pytest.approx(-1 / 20, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_asked(backend):
    given = case()
    found = given.membrane(backend).at([])
    assert found.shape == (0, 3, 5)
    assert all((grad == 0).all() for grad in gradients(given, found).values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_later_events_do_not_reach_back(backend):
    given = case("apart", 3)
    found = gradients(given, given.membrane(backend).at([0.02]))["times"]
    late = given.spikes.times.detach() >= 0.02
    assert late.any()
    assert (found[late] == 0).all()
    assert (found[~late] != 0).all()


def test_a_time_rounded_past_the_end_is_the_end():
    given = case("apart", 3)
    found = given.membrane("numba").at(torch.tensor([0.05], dtype=torch.float32))
    assert torch.equal(found, given.membrane("numba").at([0.05]))


RULES = [
    (lambda: made().at([[0.01]]), "`times` of Membrane.at must be one list of seconds. Got [1, 1]."),
    (lambda: made().at([0.02, 0.01]), "`times` of Membrane.at must ascend. Got [0.02, 0.01]."),
    (lambda: made().at([-0.01, 0.01]), "`times` of Membrane.at must be >= 0 and <= 0.05 s. Got -0.01 to 0.01."),
    (lambda: made().at([0.01, 0.06]), "`times` of Membrane.at must be >= 0 and <= 0.05 s. Got 0.01 to 0.06."),
    (
        lambda: made().integral("quadratic"),
        "`weight` must be one of constant, linear, exponential, sigmoid. Got 'quadratic'.",
    ),
    (
        lambda: made(w_in=torch.ones(2, 5)),
        "`w_in` of Membrane must have a row for each of the 4 units of `spikes`. Got [2, 5].",
    ),
    (lambda: made(neuron=per_unit(4)), "`neuron` of Membrane must describe 5 units. Got 4."),
    (
        lambda: made(spikes=case().spikes.to("meta")),
        "`spikes` must be on the device of `w_in`, cpu. Got meta.",
    ),
    (lambda: made(backend="cuda"), "`backend` must be 'auto', 'reference' or 'numba'. Got 'cuda'."),
    (
        lambda: made(spikes=case().spikes.on_grid(1e-3, coincident="sum")),
        "`spikes` of Membrane must be in continuous time. Got a grid of 0.001 s.",
    ),
]


def made(**other):
    plain = {"spikes": case().spikes, "w_in": torch.ones(4, 5), "neuron": integrators()}
    return Membrane(**plain | other)


def per_unit(n):
    numbers = integrators()
    return type(numbers)(
        ("V", "I"), numbers.tau_mem.expand(n), numbers.tau_syn.expand(n), numbers.bias.expand(n), None, 0.0
    )


@pytest.mark.parametrize(("make", "message"), RULES, ids=[rule[1][:45] for rule in RULES])
def test_a_broken_rule_is_named(make, message):
    with unchecked(), pytest.raises(ValueError, match=r"^`") as caught:
        make()
    assert str(caught.value) == message
