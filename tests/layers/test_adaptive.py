"""A network of neurons with adaptive thresholds: one definition, both engines, both gradients, and the auditor."""

import pytest
import torch

import ranvier as rv
from tests.layers.test_continuous import inputs
from tests.neurons.models import Chain, Tired

LEARN = ("tau_mem", "tau_adapt", "threshold", "adaptation", "bias")


def network(gradient: rv.EventProp | rv.Surrogate | None = None, backend: str = "auto") -> rv.Network:
    source = torch.Generator().manual_seed(0)
    hidden = rv.AdaptiveLIF(20e-3, 5e-3, 40e-3, adaptation=0.4, bias=0.3, learn=LEARN)
    weights = {"weights": rv.init.normal(5.0, 1.0), "recurrent_weights": rv.init.normal(0.0, 0.3)}
    shared = {"gradient": gradient, "generator": source, "backend": backend}
    return rv.Network(
        hidden=rv.Spiking(3, 10, hidden, recurrent=True, **weights, **shared),
        output=rv.Spiking(
            10,
            2,
            rv.AdaptiveLIF(20e-3, 5e-3, 20e-3, adaptation=(0.1, 0.3)),
            weights=rv.init.normal(1.0, 0.2),
            **shared,
        ),
    ).double()


def slopes(net: rv.Network, spikes: rv.Spikes) -> dict[str, torch.Tensor]:
    """Gradients of the sum of the output's first spikes."""
    found = net(spikes)
    assert int(found.activity["hidden"].counts().min()) > 1
    names, values = zip(*net.named_parameters(), strict=True)
    first = found.output.first_times()
    assert bool(first.isfinite().all())
    return dict(zip(names, torch.autograd.grad(first.sum(), values), strict=True))


def test_on_a_grid_the_gradient_converges_to_the_exact_one() -> None:
    """First order in the step, for weights, time constants, thresholds and adaptation alike; the slope is measured."""
    net, spikes = network(), inputs(2).to(torch.float64)
    truth = slopes(net, spikes)
    names = {f"layers.hidden.learned.{name}" for name in ("log_tau_adapt", "log_adaptation", "bias")}
    assert names <= truth.keys()
    assert all(float(truth[name].norm()) > 0 for name in truth)
    steps, errors = (1e-5, 3e-6, 1e-6), []
    for dt in steps:
        found = slopes(net, spikes.on_grid(dt, coincident="sum"))
        errors.append(max(float((found[name] - value).norm() / value.norm()) for name, value in truth.items()))
    x, y = torch.tensor(steps).log10(), torch.tensor(errors).log10()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    assert errors[-1] < 0.02, errors
    assert 0.5 < slope < 1.5, errors


def test_surrogate_gradients_reach_every_parameter() -> None:
    net = network(rv.Surrogate(rv.SuperSpike(2.0)), backend="reference")
    found = net(inputs(2).to(torch.float64).on_grid(5e-4, coincident="sum"))
    assert found.output.n_events > 0
    (found.output.to_dense().sum() + found.activity["hidden"].to_dense().square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert float(parameter.grad.norm()) > 0, name


def test_the_auditor_finds_the_gradients_right() -> None:
    report = rv.check_gradients(
        network(rv.EventProp()), inputs(2).to(torch.float64), lambda output: output.first_times().sum(), n_directions=4
    )
    assert report.passed, str(report)


def test_a_state_goes_on_in_continuous_time_and_on_a_grid() -> None:
    layer = network().layers["hidden"]
    spikes = inputs(3).to(torch.float64)
    for given in (spikes, spikes.on_grid(1e-3, coincident="sum")):
        out, state = layer.advance(given)
        assert out.n_events > 0
        assert set(state) == {"V", "I", "a"}
        assert float(state["a"].detach().min()) >= 0
        rested, tired = (layer(given, {"a": a}).n_events for a in (0 * state["a"], 0 * state["a"] + 2.0))
        assert rested == out.n_events > tired


def test_what_has_no_closed_form_is_refused_in_continuous_time() -> None:
    for neuron in (Tired(), Chain()):
        with pytest.raises(
            ValueError, match=rf"^A layer of {neuron.name} cannot run in continuous time: only a membrane"
        ):
            rv.Spiking(3, 2, neuron)(inputs(1))
