"""The readout in continuous time: a function of time instead of a trace."""

import pytest
import torch

import ranvier as rv
from ranvier.ops.membrane import Membrane
from tests.neurons.unchecked import unchecked

F64 = torch.float64


def spikes(dtype=F64):
    pairs = [([3e-3, 7e-3, 20e-3], [0, 1, 0]), ([1e-3, 30e-3], [2, 1])]
    return rv.Spikes.from_samples(pairs, unit_shape=3, duration=0.05, dtype=dtype)


def test_a_trace_on_a_grid_is_the_membrane_at_its_steps():
    made = rv.Readout(3, 4, rv.LI(20e-3, 5e-3, bias=(0.1, 0.2, 0.0, -0.3)), generator=torch.Generator().manual_seed(3))
    made.double()
    given = spikes()
    trace = rv.Readout.forward(made, given.on_grid(1e-3, coincident="sum"))
    membrane = made(given)
    assert isinstance(membrane, Membrane)
    assert (membrane.n_samples, membrane.n_units) == (2, 4)
    # the grid lets the bias drive its membrane for one step before time 0
    ahead = made(given._with(duration=0.051)).at((torch.arange(50, dtype=F64) + 1) * 1e-3)
    without = rv.Readout(3, 4, rv.LI(20e-3, 5e-3)).double()
    without.w_in = made.w_in
    torch.testing.assert_close(
        without(given).at(torch.arange(50, dtype=F64) * 1e-3),
        without(given.on_grid(1e-3, coincident="sum")),
        rtol=1e-12,
        atol=1e-14,
    )
    driven = ahead - without(given._with(duration=0.051)).at((torch.arange(50, dtype=F64) + 1) * 1e-3)
    torch.testing.assert_close(trace - without(given.on_grid(1e-3, coincident="sum")), driven, rtol=1e-10, atol=1e-14)
    assert trace.abs().max() > 0.1


def test_learned_numbers_get_their_gradient():
    made = rv.Readout(3, 2, rv.LI(20e-3, (5e-3, 7e-3), learn=("tau_mem", "tau_syn", "bias"))).double()
    given = spikes()
    given = given._with(times=given.times.clone().requires_grad_())
    found = made(given)
    (found.maximum().sum() + found.integral("linear").sum() + found.at([0.03]).sum()).backward()
    shapes = {name: tuple(value.grad.shape) for name, value in made.named_parameters()}
    assert shapes == {"w_in": (3, 2), "learned.log_tau_mem": (), "learned.log_tau_syn": (2,), "learned.bias": ()}
    assert all(value.grad.abs().min() > 0 for value in made.parameters())
    assert (given.times.grad != 0).any()


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_the_backend_is_handed_on(backend):
    made = rv.Readout(3, 2, backend=backend)
    assert made(spikes(torch.float32)).backend == backend
    assert made(spikes(torch.float32)).maximum().dtype == torch.float32


def test_a_network_trains_in_continuous_time():
    made = rv.Network(output=rv.Readout(3, 2, rv.LI(20e-3, 5e-3), weights=rv.init.normal(0.0, 0.1)))
    optimiser = torch.optim.Adam(made.parameters(), lr=0.1)
    loss, labels, values = rv.MaxOverTimeCrossEntropy(), torch.tensor([0, 1]), []
    for _ in range(60):
        value = loss(made(spikes(torch.float32)).output, labels)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
    assert loss.predict(made(spikes(torch.float32)).output).tolist() == [0, 1]


RULES = [
    (
        lambda: rv.Readout(3, 2)(spikes(torch.float32), {"V": torch.zeros(2, 2)}),
        ValueError,
        "`state` of Readout must be None in continuous time, where all starts at 0. Got V.",
    ),
    (
        lambda: rv.Readout(3, 2).advance(spikes(torch.float32)),
        ValueError,
        "`Readout.advance` needs spikes on a time grid; call `on_grid(dt)` first. Got continuous time.",
    ),
    (lambda: rv.Readout(3, 2)(torch.zeros(4, 1, 3)), TypeError, "`spikes` of Readout must be Spikes. Got Tensor."),
    (
        lambda: rv.Readout(4, 2)(spikes(torch.float32)),
        ValueError,
        "`w_in` of Membrane must have a row for each of the 3 units of `spikes`. Got [4, 2].",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:45] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message
