import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import nn

import ranvier as rv
from ranvier.layers import Run, SilentLayerWarning
from tests.layers.nets import (
    BACKENDS,
    COMPACT,
    EXACT,
    GRADIENTS,
    SMOOTH,
    gradients,
    inputs,
    loss_of,
    network,
    raster,
    spiking,
)
from tests.neurons.unchecked import unchecked

WAYS = list(GRADIENTS)


def test_layers_run_in_order_and_are_named():
    net = network()
    run = net(inputs())
    assert isinstance(run, Run)
    output, activity = run
    assert list(activity) == ["hidden", "output"]
    assert output is activity["output"]
    by_hand = net.layers["output"](net.layers["hidden"](inputs()))
    assert torch.equal(output.to_dense(), by_hand.to_dense())
    assert output.n_events > 0


def test_a_readout_gives_traces():
    net = rv.Network(hidden=spiking(), out=rv.Readout(4, 2).double())
    output, activity = net(inputs())
    assert output.shape == (30, 3, 2)
    assert isinstance(activity["hidden"], rv.Spikes)


def test_nothing_is_kept_between_calls():
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first = net(inputs(seed=1)).output.to_dense()
    net(inputs(seed=2))
    assert torch.equal(net(inputs(seed=1)).output.to_dense(), first)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


class TestWiring:
    def test_sizes_must_fit(self):
        with pytest.raises(ValueError, match=r"^`out` of Network must take the 4 units of `hidden`\. Got n_in 5\.$"):
            rv.Network(hidden=rv.Spiking(3, 4), out=rv.Readout(5, 2))

    def test_your_own_module_between_may_change_the_size(self):
        rv.Network(hidden=rv.Spiking(3, 4), pool=nn.Identity(), out=rv.Readout(2, 2))

    def test_no_layer_is_no_network(self):
        with pytest.raises(ValueError, match=r"^`layers` of Network must hold at least one layer\. Got none\.$"):
            rv.Network()

    def test_a_layer_must_be_a_module(self):
        with unchecked(), pytest.raises(TypeError, match="is not a Module subclass"):
            rv.Network(hidden=3)

    def test_another_input_size_is_named(self):
        with pytest.raises(ValueError, match="`spikes` must come from as many units as `w_in` has rows, 5"):
            network()(inputs(n_in=6))


class TestWithGradient:
    def test_shares_every_parameter(self):
        net = network(neuron=rv.CubaLIF(learn="bias"))
        twin = net.with_gradient(SMOOTH)
        ours, theirs = dict(net.named_parameters()), dict(twin.named_parameters())
        assert list(ours) == list(theirs)
        assert all(ours[name] is theirs[name] for name in ours)
        assert list(net.state_dict()) == list(twin.state_dict())

    def test_changes_the_gradient_and_not_the_output(self):
        net = network()
        twin = net.with_gradient(SMOOTH)
        found = []
        for one in (net, twin):
            output = one(inputs()).output
            loss_of(output).backward()
            found.append((output.to_dense().detach(), one.layers["hidden"].w_in.grad.clone()))
            one.zero_grad()
        assert torch.equal(found[0][0], found[1][0])
        assert found[0][1].abs().sum() > 0
        assert found[1][1].abs().sum() > 0
        assert not torch.allclose(found[0][1], found[1][1], rtol=1e-2)

    def test_leaves_the_original_as_it_was(self):
        net = network()
        twin = net.with_gradient(COMPACT)
        assert {layer.gradient for layer in net.spiking().values()} == {EXACT}
        assert {layer.gradient for layer in twin.spiking().values()} == {COMPACT}

    def test_gives_the_same_gradient_as_a_network_made_so(self):
        twin, made = network(EXACT, EXACT).with_gradient(SMOOTH), network(SMOOTH, SMOOTH)
        for one in (twin, made):
            loss_of(one(inputs()).output).backward()
        for name, grad in gradients(made).items():
            torch.testing.assert_close(gradients(twin)[name], grad)

    def test_a_step_of_one_is_a_step_of_both(self):
        net = network()
        twin = net.with_gradient(SMOOTH)
        loss_of(twin(inputs()).output).backward()
        torch.optim.SGD(twin.parameters(), lr=0.1).step()
        assert torch.equal(net(inputs()).output.to_dense(), twin(inputs()).output.to_dense())

    def test_stays_shared_in_another_type(self):
        net = network()
        twin = net.with_gradient(SMOOTH)
        net.float()
        assert twin.layers["hidden"].w_in is net.layers["hidden"].w_in
        assert twin.layers["hidden"].w_in.dtype == torch.float32

    def test_reaches_layers_inside_modules(self):
        block = Skip(spiking(5, 5))
        net = rv.Network(block=block, pair=nn.Sequential(spiking(5, 4), spiking(4, 4)), output=spiking(4, 3))
        twin = net.with_gradient(SMOOTH)
        assert list(twin.spiking()) == ["block.inner", "pair.0", "pair.1", "output"]
        assert {layer.gradient for layer in twin.spiking().values()} == {SMOOTH}
        assert block.inner.gradient == EXACT
        assert all(a is b for a, b in zip(net.parameters(), twin.parameters(), strict=True))

    def test_keeps_one_layer_in_two_places_one(self):
        layer = spiking(5, 5)
        twin = rv.Network(first=layer, second=layer).with_gradient(SMOOTH)
        assert twin.layers["first"] is twin.layers["second"]
        assert twin.layers["first"].gradient == SMOOTH

    def test_refuses_what_a_neuron_does_not_admit(self):
        net = rv.Network(hidden=rv.Spiking(3, 4, rv.LIF(), gradient=SMOOTH))
        with pytest.raises(ValueError, match="`gradient` of a layer of LIF must be a Surrogate"):
            net.with_gradient(EXACT)
        net = rv.Network(hidden=rv.Spiking(3, 4, rv.CubaLIF(reset="none"), gradient=SMOOTH))
        with pytest.raises(ValueError, match="`reset` of CubaLIF trained with EventProp"):
            net.with_gradient(EXACT)


class TestSilence:
    def network(self):
        silent = rv.Spiking(5, 4, weights=rv.init.normal(-1.0, 0.1)).double()
        return rv.Network(hidden=silent, output=rv.Readout(4, 2).double())

    def test_is_named_once_per_network(self):
        net = self.network()
        with pytest.warns(SilentLayerWarning, match=r"^Layer 'hidden' emitted no spike for a whole batch; ") as caught:
            net(inputs())
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            net(inputs())
        with pytest.warns(SilentLayerWarning):
            net.with_gradient(SMOOTH)(inputs())

    def test_without_input_is_no_news(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.network()(inputs(density=0.0))

    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("way", WAYS)
    def test_leaves_gradients_finite(self, way, backend):
        net = network(GRADIENTS[way], GRADIENTS[way], backend=backend)
        with torch.no_grad():
            net.layers["hidden"].w_in.fill_(-1.0)
        with pytest.warns(SilentLayerWarning):
            output = net(inputs()).output
        assert output.n_events == 0
        loss_of(output).backward()
        assert all(grad is None or grad.isfinite().all() for grad in gradients(net).values())

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_with_eventprop_means_zero_gradient(self, backend):
        net = network(backend=backend)
        with torch.no_grad():
            net.layers["hidden"].w_in.fill_(-1.0)
        with pytest.warns(SilentLayerWarning):
            output = net(inputs()).output
        rv.FirstSpikeCrossEntropy()(output, torch.tensor([0, 1, 2])).backward()
        assert all((grad == 0).all() for grad in gradients(net).values())


class TestMixedMethods:
    """The lower layer returns what the upper asks of it, and the upper asks what the lower differentiates."""

    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("second", WAYS)
    @pytest.mark.parametrize("first", WAYS)
    def test_every_order_trains_both_layers(self, first, second, backend):
        net = network(GRADIENTS[first], GRADIENTS[second], backend=backend)
        output, activity = net(inputs())
        assert activity["hidden"].n_events > 0
        assert activity["hidden"].times.requires_grad == (first == "eventprop")
        assert activity["hidden"].amplitudes.requires_grad == (first != "eventprop")
        loss_of(output).backward()
        for name, grad in gradients(net).items():
            assert grad.isfinite().all(), name
            assert grad.abs().sum() > 0, name

    @pytest.mark.parametrize("second", WAYS)
    @pytest.mark.parametrize("first", WAYS)
    def test_both_backends_agree_in_every_order(self, first, second):
        found = []
        for backend in BACKENDS:
            net = network(GRADIENTS[first], GRADIENTS[second], backend=backend)
            output = net(inputs()).output
            loss_of(output).backward()
            found.append((output.to_dense().detach(), gradients(net)))
        assert torch.equal(found[0][0], found[1][0])
        for name, grad in found[0][1].items():
            torch.testing.assert_close(found[1][1][name], grad, rtol=1e-9, atol=1e-9)

    def test_a_loss_on_times_of_a_surrogate_output_raises(self):
        output = network(EXACT, SMOOTH)(inputs()).output
        with pytest.raises(ValueError, match="`output` of FirstSpikeCrossEntropy must have times that carry gradient"):
            rv.FirstSpikeCrossEntropy()(output, torch.tensor([0, 1, 2]))
        with torch.no_grad():
            assert rv.FirstSpikeCrossEntropy()(output, torch.tensor([0, 1, 2])).isfinite()


class Skip(nn.Module):
    """The input and the layer's own spikes, one after the other, on the units of both."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, spikes):
        dense = spikes.to_dense() + self.inner(spikes).to_dense()
        return rv.Spikes.from_dense(dense, dt=spikes.dt)


class Gain(nn.Module):
    """Your own torch code between layers: a learned gain, and units thrown together in pairs."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([1.5, 0.7, 1.0, 1.2], dtype=torch.float64))

    def forward(self, spikes):
        dense = spikes.to_dense() * self.gain
        return rv.Spikes.from_dense(dense.unflatten(-1, (2, 2)).sum(-1), dt=spikes.dt)


class TestYourOwnModules:
    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("gradient", [SMOOTH, COMPACT], ids=str)
    def test_between_layers_learn_and_let_gradient_through(self, gradient, backend):
        net = rv.Network(
            hidden=spiking(5, 4, gradient, backend=backend),
            gain=Gain(),
            output=spiking(2, 3, gradient, backend=backend),
        )
        output = net(inputs()).output
        assert output.n_events > 0
        loss_of(output).backward()
        assert all(grad.abs().sum() > 0 and grad.isfinite().all() for grad in gradients(net).values())

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_skip_connection_adds_the_paths(self, backend):
        inner, output = (
            spiking(5, 5, SMOOTH, seed=3, backend=backend),
            spiking(5, 3, SMOOTH, seed=4, backend=backend),
        )
        given = raster().requires_grad_()
        final = output(Skip(inner)(rv.Spikes.from_dense(given, dt=1e-3)))
        assert final.n_events > 0
        loss_of(final).backward()

        direct, through = raster().requires_grad_(), raster().requires_grad_()
        layer_spikes = inner(rv.Spikes.from_dense(through, dt=1e-3)).to_dense()
        final = output(rv.Spikes.from_dense(direct + layer_spikes, dt=1e-3))
        parts = torch.autograd.grad(loss_of(final), (direct, through))
        assert all(part.abs().sum() > 0 for part in parts)
        torch.testing.assert_close(given.grad, parts[0] + parts[1])

    def test_a_skip_of_times_reaches_both_layers_with_eventprop(self):
        hidden, output = spiking(5, 4), rv.Readout(4, 2).double()
        spikes = hidden(inputs())
        trace = output(spikes)
        (trace.square().sum() + (spikes.first_times().nan_to_num(posinf=0.0) ** 2).sum()).backward()
        assert hidden.w_in.grad.abs().sum() > 0

    def test_a_convolution_in_front(self):
        conv = nn.Conv1d(1, 2, 3, padding=1).double()
        images = torch.rand(3, 1, 5, dtype=torch.float64)
        current = torch.relu(conv(images)).flatten(1).expand(12, 3, 10)
        layer = spiking(10, 4, SMOOTH)
        loss_of(layer(rv.Spikes.from_dense(current, dt=1e-3))).backward()
        assert conv.weight.grad.abs().sum() > 0

    def test_networks_nest(self):
        net = rv.Network(inner=rv.Network(hidden=spiking()), pick=Pick(), output=spiking(4, 3))
        output = net(inputs()).output
        assert torch.equal(output.to_dense(), net.layers["output"](net.layers["inner"](inputs()).output).to_dense())
        assert list(net.spiking()) == ["inner.layers.hidden", "output"]


class Pick(nn.Module):
    def forward(self, run):
        return run.output


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", WAYS)
def test_an_empty_batch_and_an_empty_sample(way, backend):
    net = network(GRADIENTS[way], GRADIENTS[way], backend=backend)
    output = net(inputs(n_samples=0)).output
    assert output.n_samples == output.n_events == 0
    loss_of(output).backward()
    assert all(grad is None or (grad == 0).all() for grad in gradients(net).values())
    mixed = raster()
    mixed[:, 1] = 0.0
    output = net(rv.Spikes.from_dense(mixed, dt=1e-3)).output
    assert output.counts()[1].sum() == 0
    assert output.n_events > 0


class TestKeeping:
    def test_a_state_dict_goes_round(self):
        neuron = rv.CubaLIF(tau_mem=[9e-3, 10e-3, 11e-3], learn=("tau_mem", "bias"))
        net, other = (rv.Network(hidden=spiking(5, 3, neuron=neuron, seed=seed)) for seed in (1, 2))
        assert not torch.equal(net(inputs()).output.to_dense(), other(inputs()).output.to_dense())
        other.load_state_dict(net.state_dict())
        assert torch.equal(net(inputs()).output.to_dense(), other(inputs()).output.to_dense())

    def test_a_state_dict_of_one_gradient_fits_the_other(self):
        network(SMOOTH, SMOOTH).load_state_dict(network(EXACT, EXACT).state_dict())

    def test_copies_and_pickles_run_the_same(self):
        net = network(EXACT, SMOOTH)
        expected = net(inputs()).output.to_dense()
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert torch.equal(other(inputs()).output.to_dense(), expected)
            assert not set(map(id, other.parameters())) & set(map(id, net.parameters()))

    def test_torch_saves_and_loads(self):
        net, buffer = network(EXACT, SMOOTH), io.BytesIO()
        torch.save(net.state_dict(), buffer)
        buffer.seek(0)
        other = network(EXACT, SMOOTH)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(other(inputs()).output.to_dense(), net(inputs()).output.to_dense())

    def test_torch_saves_and_loads_whole_networks(self):
        net, buffer = network(EXACT, SMOOTH), io.BytesIO()
        torch.save(net, buffer)
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
        assert other.layers["output"].gradient == SMOOTH
        assert torch.equal(other(inputs()).output.to_dense(), net(inputs()).output.to_dense())
