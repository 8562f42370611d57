"""Connections that skip layers: the same as a network wired by hand, on both engines."""

import re

import pytest
import torch

import ranvier as rv
from tests.layers.nets import GRADIENTS, gradients, inputs, loss_of, spiking
from tests.neurons.unchecked import unchecked

F64 = torch.float64
SOURCES = {"second": ("input", "first"), "output": ("first", "second")}


def network(first="eventprop", second="eventprop", backend="auto"):
    return rv.Network(
        sources=SOURCES,
        first=spiking(5, 4, GRADIENTS[first], seed=1, backend=backend),
        second=spiking(9, 3, GRADIENTS[second], seed=2, backend=backend),
        output=spiking(7, 2, GRADIENTS[second], seed=3, backend=backend),
    )


def continuous():
    times = torch.rand(3, 40, dtype=F64, generator=torch.Generator().manual_seed(4)).sort(1).values * 25e-3
    units = torch.randint(0, 5, (3, 40), generator=torch.Generator().manual_seed(5))
    return rv.Spikes.from_samples(list(zip(times, units, strict=True)), unit_shape=5, duration=30e-3, dtype=F64)


@pytest.mark.parametrize(
    ("first", "second", "backend"),
    [
        ("eventprop", "eventprop", "auto"),
        ("superspike", "superspike", "auto"),
        ("esser", "esser", "auto"),
        ("superspike", "esser", "reference"),
        ("eventprop", "superspike", "reference"),
    ],
)
def test_on_a_grid_it_is_the_network_wired_through_rasters(first, second, backend):
    """By hand: rasters side by side, and each layer's weights' gradient by autograd through them.

    A raster does not carry the gradient of times, so there the layers below are left out of the comparison.
    """
    net = network(first, second, backend)
    output, activity = net(inputs())
    assert list(activity) == ["first", "second", "output"]
    assert all(spikes.n_events > 0 for spikes in activity.values())
    loss_of(output).backward()
    found = gradients(net)
    assert all(grad.abs().sum() > 0 for grad in found.values())
    net.zero_grad()
    layers = net.layers
    lower = layers["first"](inputs())
    beside = rv.Spikes.from_dense(torch.cat([inputs().to_dense(), lower.to_dense()], -1), dt=1e-3)
    middle = layers["second"](beside)
    upper = layers["output"](rv.Spikes.from_dense(torch.cat([lower.to_dense(), middle.to_dense()], -1), dt=1e-3))
    assert torch.equal(upper.to_dense(), output.to_dense())
    loss_of(upper).backward()
    known = {"output"} | ({"second", "first"} if "eventprop" not in (first, second) else set())
    for name, grad in gradients(net).items():
        if name.split(".")[1] in known:
            torch.testing.assert_close(found[name], grad, rtol=1e-9, atol=1e-9)


def test_in_continuous_time_its_gradient_is_the_finite_difference():
    net = network()
    with torch.no_grad():
        for layer in net.layers.values():
            layer.w_in *= 0.5

    def value():
        output, activity = net(continuous())
        return sum(output.times) * 1e3, [spikes.n_events for spikes in activity.values()]

    loss, counts = value()
    assert min(counts) > 0
    loss.backward()
    for name, parameter in net.named_parameters():
        if "w_in" not in name:
            continue
        grad, eps = parameter.grad, 1e-6
        place = tuple(int(i) for i in (grad.abs() == grad.abs().max()).nonzero()[0])
        with torch.no_grad():
            before, sides = parameter[place].item(), []
            for side in (eps, -eps):
                parameter[place] = before + side
                shifted, same = value()
                assert same == counts
                sides.append(shifted)
            parameter[place] = before
        assert ((sides[0] - sides[1]) / (2 * eps)).item() == pytest.approx(grad[place].item(), rel=1e-5), name


def test_a_layer_may_hear_one_earlier_layer_only():
    net = rv.Network(sources={"output": "first"}, first=spiking(5, 4), second=spiking(4, 3), output=spiking(4, 2))
    by_hand = net.layers["output"](net.layers["first"](inputs()))
    assert by_hand.n_events > 0
    assert torch.equal(net(inputs()).output.to_dense(), by_hand.to_dense())


def test_with_gradient_keeps_the_wiring():
    net = network()
    twin = net.with_gradient(GRADIENTS["superspike"])
    assert torch.equal(twin(inputs()).output.to_dense(), net(inputs()).output.to_dense())
    assert net(inputs()).output.n_events > 0


RULES = [
    (
        {"sources": {"second": ("input", "output")}},
        "`sources` of Network must name what `second` comes after (input, first). Got 'output'.",
    ),
    ({"sources": {"second": ()}}, "`sources` of Network must name what `second` comes after (input, first). Got none."),
    (
        {"sources": {"third": ("first",)}},
        "`sources` of Network must be by the names of layers (first, second, output). Got 'third'.",
    ),
    (
        {"sources": {"output": ("first", "second")}},
        "`output` of Network must take the 7 units of `first` and `second`. Got n_in 3.",
    ),
    (
        {"sources": {"output": ("second",)}, "input": torch.nn.Identity()},
        "`layers` of Network with `sources` must not be named 'input', which is what enters it.",
    ),
]


@pytest.mark.parametrize(("options", "message"), RULES, ids=[rule[1][:60] for rule in RULES])
def test_a_wiring_that_cannot_be_is_named(options, message):
    layers = {"first": spiking(5, 4), "second": spiking(4, 3), "output": spiking(3, 2)}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rv.Network(**layers, **options)


class TestInputWeighted:
    def by_hand(self, raster, tau, dt):
        """The running average in the order of the grid: read, then add the step's spikes."""
        active, rows = torch.zeros(raster.shape[1], dtype=F64), []
        for step in raster.sum(-1):
            active = active * torch.exp(torch.tensor(-dt / tau, dtype=F64)) if rows else active
            rows.append(active)
            active = active + step
        rows = torch.stack(rows)
        return rows / rows.mean(0)

    def test_the_weight_is_the_relative_running_average(self):
        spikes = inputs(n_steps=400, density=0.1)
        weight = rv.InputWeighted(tau=7e-3).weight(spikes)
        torch.testing.assert_close(weight, self.by_hand(spikes.to_dense(), 7e-3, 1e-3), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(weight.mean(0), torch.ones(3, dtype=F64))

    def test_in_a_network_it_weighs_the_traces(self):
        net = rv.Network(
            hidden=spiking(),
            out=rv.Readout(4, 2).double(),
            weighted=rv.InputWeighted(),
            sources={"weighted": ("out", "input")},
        )
        output, activity = net(inputs())
        by_hand = activity["out"] * self.by_hand(inputs().to_dense(), 20e-3, 1e-3)[:, :, None]
        torch.testing.assert_close(output, by_hand)
        loss = rv.MeanOverTimeCrossEntropy()(output, torch.tensor([0, 1, 1]))
        (found,) = torch.autograd.grad(loss, net.layers["out"].w_in, retain_graph=True)
        expected = torch.nn.functional.cross_entropy(by_hand.mean(0), torch.tensor([0, 1, 1]))
        (truth,) = torch.autograd.grad(expected, net.layers["out"].w_in)
        assert truth.abs().sum() > 0
        torch.testing.assert_close(found, truth)

    def test_without_input_nothing_is_weighed(self):
        silent = inputs(density=0.0)
        traces = torch.randn(30, 3, 2, dtype=F64)
        assert not rv.InputWeighted()(traces, silent).any()

    def test_what_does_not_fit_is_named(self):
        spikes = inputs()
        with unchecked(), pytest.raises(TypeError, match="must be a readout's traces and Spikes"):
            rv.InputWeighted()(spikes, spikes)
        with pytest.raises(ValueError, match=re.escape("[30, 3, unit]. Got [20, 3, 2].")):
            rv.InputWeighted()(torch.zeros(20, 3, 2), spikes)
        with pytest.raises(ValueError, match="`InputWeighted` needs spikes on a time grid"):
            rv.InputWeighted()(torch.zeros(30, 3, 2), continuous())
        with pytest.raises(ValueError, match=re.escape("`tau` of InputWeighted must be > 0 s. Got 0.0.")):
            rv.InputWeighted(0.0)
