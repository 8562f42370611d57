"""What only the reference has: the remaining hold as part of the state. And its flow, against what it solves."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ranvier.gradients import EventProp
from ranvier.ops.exact import reference
from tests.ops.exact.nets import Net, Values, gradients, random_net, real


def run(network: Net, times: Tensor, keep: Tensor, duration: float, initial: Tensor) -> reference.Emission:
    values = network.values
    spikes = network.spikes._with(
        units=network.units[keep],
        times=times[keep],
        amplitudes=values["amplitudes"][keep],
        offsets=torch.tensor([0, int(keep.sum())]),
        duration=duration,
    )
    return reference.run(
        spikes, values["w_in"], values["w_rec"], network.neuron, EventProp(0.0), None, None, initial, limit=50
    )


@pytest.mark.parametrize("refractory", [0.0, 5e-3, math.inf])
def test_a_cut_through_the_hold_changes_nothing(refractory: float) -> None:
    """V, I and the remaining hold carry on; also backwards. The cut lies just after the first spike."""
    found: list[tuple[Tensor, Values]] = []
    rows = 3 if refractory else 2
    network = random_net(3, recurrent=True, refractory=refractory)
    every = torch.ones(network.units.numel(), dtype=torch.bool)
    nothing = torch.zeros(rows, 1, 3, dtype=torch.float64)
    first = float(run(network, network.values["times"], every, network.duration, nothing).times[0])
    cut = first + 1e-3
    for parts in (1, 2):
        leaves = network.leaves()
        times = leaves.values["times"]
        if parts == 1:
            last = run(leaves, times, every, network.duration, nothing)
            spikes = last.times
        else:
            early = times.detach() < cut
            before = run(leaves, times, early, cut, nothing)
            last = run(leaves, times - cut, ~early, network.duration - cut, before.final)
            if refractory:
                assert int((before.final[2] > 0).sum()) > 0
            spikes = torch.cat([before.times, last.times + cut])
        loss = (spikes * torch.linspace(1, 2, spikes.numel(), dtype=torch.float64)).sum() * 1e3 + last.final[:2].sum()
        found.append((spikes.detach(), gradients(loss, leaves.values)))
    (whole, whole_gradients), (cut_in_two, gradients_of_two) = found
    assert whole.numel() > 1
    torch.testing.assert_close(cut_in_two, whole, rtol=1e-12, atol=0)
    for name, value in whole_gradients.items():
        torch.testing.assert_close(gradients_of_two[name], value, rtol=1e-8, atol=1e-10 * float(value.norm()))


def test_a_held_state_is_released_when_its_time_has_come() -> None:
    """Held for 2 ms under a bias of twice the threshold: the spike comes ln 2 time constants after the release."""
    hold = real([[[0.7]], [[0.0]], [[2.0]]]).requires_grad_()
    one = Net(
        {
            "times": real([]),
            "amplitudes": real([]),
            "w_in": real([[0.0]]),
            "tau_mem": real(20.0),
            "tau_syn": real(5.0),
            "threshold": real(1.0),
            "bias": real(2.0),
        },
        torch.zeros(0, dtype=torch.int32),
        torch.tensor([0, 0]),
        duration=30.0,
        refractory=math.inf,
    )
    values = one.values
    emission = reference.run(one.spikes, values["w_in"], None, one.neuron, EventProp(), None, None, hold, limit=5)
    assert emission.times.tolist() == pytest.approx([2 + 20 * math.log(2)], rel=1e-14)
    (found,) = torch.autograd.grad(emission.times[0], hold)
    assert float(found[0, 0, 0]) == 0  # V of a held unit does not count
    assert float(found[2, 0, 0]) == pytest.approx(1, rel=1e-13)
    assert math.isinf(float(emission.final[2, 0, 0].detach()))


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-5, 0.3, -0.3, 30.0])
def test_flow_and_its_derivatives(apart: float) -> None:
    """K against its own integral, K(d) = integral of e^(-(d - s) / tau_mem) e^(-s / tau_syn) ds / tau_mem over 0..d."""
    d, tau_mem, tau_syn = (real(value).requires_grad_() for value in (3.0, 4.0, 4.0 * (1 + apart)))
    nodes, weights = legendre()

    def integral() -> Tensor:
        s = d * nodes
        return d * (weights * torch.exp(-(d - s) / tau_mem - s / tau_syn)).sum() / tau_mem

    ours = reference.driven(d, tau_mem, tau_syn)
    truth = integral()
    assert float(ours.detach()) == pytest.approx(float(truth.detach()), rel=1e-14)
    inputs = (d, tau_mem, tau_syn)
    for one, other in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(truth, inputs), strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-12)


def legendre() -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    return torch.from_numpy(nodes + 1) / 2, torch.from_numpy(weights) / 2
