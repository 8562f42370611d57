from typing import Any

import pytest
import torch

from ranvier.gradients import EventProp
from ranvier.layers import Delay, Spiking
from ranvier.losses import DeltaMSE
from ranvier.neurons import CubaLIF
from ranvier.spikes import Spikes
from ranvier.studies import DELAYS, Study, documented, study
from ranvier.studies.delgrad import neuron
from ranvier.training import FitConfig, WakeSilent, evaluate, fit

TAU = 5e-3
LEAK = 0.5
E7_WEIGHTS, E7_TIMES = (3.0, 1.5), (0.15, 0.6)  # the literature's weights, and times in tau_syn
E7_SPIKE = 0.61195073148175
E7_BY_WEIGHT, E7_BY_TIME = (-0.113987617469, -0.00412350546617), (0.487074256299, 0.512925743701)


def parts_of(delays: str, **changes: Any) -> Study:
    return study(documented("yinyang-delays", delays=delays, **changes))


def spike_of(model: CubaLIF, weights: tuple[float, ...]) -> tuple[torch.Tensor, Spiking, torch.Tensor]:
    times = (TAU * torch.tensor(E7_TIMES, dtype=torch.float64)).requires_grad_()
    given = Spikes(
        units=torch.tensor([0, 1], dtype=torch.int32),
        times=times,
        amplitudes=torch.ones(2, dtype=torch.float64),
        offsets=torch.tensor([0, 2]),
        unit_shape=(2,),
        duration=20 * TAU,
    )
    layer = Spiking(2, 1, model, gradient=EventProp(min_slope=0.0)).double()
    with torch.no_grad():
        layer.w_in[:, 0] = torch.tensor(weights)
    return layer(given).first_times()[0, 0] / TAU, layer, times


def test_the_published_weights_give_the_closed_forms_spike_and_gradients() -> None:
    spike, layer, times = spike_of(neuron(2 * TAU, TAU), E7_WEIGHTS)
    spike.backward()
    assert spike.item() == pytest.approx(E7_SPIKE, rel=1e-9)
    assert layer.w_in.grad is not None
    assert times.grad is not None
    assert layer.w_in.grad[:, 0].tolist() == pytest.approx(E7_BY_WEIGHT, rel=1e-9)
    assert (TAU * times.grad).tolist() == pytest.approx(E7_BY_TIME, rel=1e-9)


def test_the_leak_in_the_weights_is_the_same_neuron_as_in_the_threshold() -> None:
    weights = tuple(weight / LEAK for weight in E7_WEIGHTS)
    spike, layer, _ = spike_of(CubaLIF(tau_mem=2 * TAU, tau_syn=TAU, refractory=torch.inf), weights)
    spike.backward()
    assert spike.item() == pytest.approx(E7_SPIKE, rel=1e-9)
    assert layer.w_in.grad is not None
    assert (layer.w_in.grad[:, 0] / LEAK).tolist() == pytest.approx(E7_BY_WEIGHT, rel=1e-9)


def closed_form(arrivals: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """First spikes [B, N] for tau_mem = 2 tau_syn, of spikes that arrive at [B, n_in, N], all in tau_syn.

    With a_n the sum of w exp(t / n) over the spikes before it, T = 2 ln(2 a_1 / (a_2 + sqrt(a_2^2 - 4 a_1 g))).
    """

    def spike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return 2 * torch.log(2 * first / (second + (second * second - 4 * first * LEAK).sqrt()))

    with torch.no_grad():
        times, order = arrivals.sort(1)
        sorted_weights = weights.expand_as(arrivals).gather(1, order)
        sorted_weights = torch.where(times.isfinite(), sorted_weights, 0.0)
        finite = times.where(times.isfinite(), torch.zeros_like(times))
        after = spike((sorted_weights * finite.exp()).cumsum(1), (sorted_weights * (finite / 2).exp()).cumsum(1))
        following = torch.cat([times[:, 1:], torch.full_like(times[:, :1], torch.inf)], dim=1)
        found = torch.where((after >= times) & (after <= following), after, torch.inf).amin(1)
    before = arrivals <= found[:, None].where(found[:, None].isfinite(), torch.tensor(-1.0, dtype=found.dtype))
    given = arrivals.where(before, torch.zeros_like(arrivals))
    causal = weights.expand_as(arrivals).where(before, torch.zeros_like(arrivals))
    spiking = found.isfinite()
    first = (causal * given.exp()).sum(1).where(spiking, torch.ones_like(found))
    second = (causal * (given / 2).exp()).sum(1).where(spiking, torch.full_like(found, 3.0))
    return spike(first, second).where(spiking, torch.full_like(found, torch.inf))


@pytest.mark.parametrize("delays", DELAYS)
def test_a_batch_has_the_closed_forms_loss_and_gradients(delays: str) -> None:
    parts = parts_of(delays, n_train=150)
    network, batch = parts.network.double(), parts.splits.train
    loss = parts.loss(network(batch.inputs).output, batch.labels)
    loss.backward()

    parameters = {
        name.removeprefix("layers."): value.detach().clone().requires_grad_()
        for name, value in network.named_parameters()
    }
    times = batch.inputs.first_times().double() / TAU
    for before, name in (("input", "hidden"), ("hidden", "output")):
        arrivals = times[:, :, None].expand(-1, -1, parameters[f"{name}.w_in"].shape[1])
        if delays == "axonal":
            arrivals = arrivals + parameters[f"{before}_delays.delays.free"].sigmoid().T
        if delays == "synaptic":
            arrivals = arrivals + parameters[f"{name}.delays.free"].sigmoid()
        times = closed_form(arrivals, parameters[f"{name}.w_in"])
    expected = DeltaMSE(delta=0.2).of_times(times, batch.labels)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for name, value in network.named_parameters():
        found, truth = value.grad, parameters[name.removeprefix("layers.")].grad
        assert found is not None
        assert truth is not None
        assert truth.norm() > 0
        assert (found - truth).norm() < 1e-5 * truth.norm(), name


@pytest.mark.parametrize(
    ("delays", "rate", "delay_rate", "mean"),
    [("none", 0.02, None, 0.5), ("axonal", 0.005, 0.005, 1.0), ("synaptic", 0.01, 0.003, 1.0)],
)
def test_the_settings_are_the_published_ones(delays: str, rate: float, delay_rate: float | None, mean: float) -> None:
    config = documented("yinyang-delays", delays=delays)
    assert (config.hidden, config.batch_size, config.epochs) == (30, 150, 300)
    assert (config.learning_rate, config.delay_rate, config.decay, config.decay_every) == (rate, delay_rate, 0.95, 20)
    assert config.hidden_weights == config.output_weights == (mean, 1.0)
    assert config.tau_mem == 2 * config.tau_syn
    assert config.duration >= 10 * config.tau_syn
    assert documented("yinyang-delays") == documented("yinyang-delays", delays="synaptic")


@pytest.mark.parametrize("delays", DELAYS)
def test_the_network_has_delays_before_both_layers_of_weights(delays: str) -> None:
    parts = parts_of(delays, n_train=300)
    layers = dict(parts.network.layers.items())
    names = ["hidden", "output"] if delays != "axonal" else ["input_delays", "hidden", "hidden_delays", "output"]
    assert list(layers) == names
    places = {
        "none": [],
        "axonal": [layers.get("input_delays"), layers.get("hidden_delays")],
        "synaptic": [layers["hidden"], layers["output"]],
    }[delays]
    shapes = {"none": [], "axonal": [(1, 4), (1, 30)], "synaptic": [(4, 30), (30, 3)]}[delays]
    for place, shape in zip(places, shapes, strict=True):
        assert isinstance(place, Delay | Spiking)
        assert place.delays is not None
        seconds = place.delays.values()
        assert seconds.shape == shape
        assert bool(((seconds > 0) & (seconds < TAU)).all())
    if delays == "synaptic":
        assert layers["output"].delays.free.std().item() == pytest.approx(0.25, abs=0.05)
        assert layers["output"].delays.free.mean().item() == pytest.approx(0.0, abs=0.1)
    assert (layers["hidden"].n_in, layers["hidden"].n_out, layers["output"].n_out) == (4, 30, 3)
    assert layers["hidden"].neuron == CubaLIF(tau_mem=2 * TAU, tau_syn=TAU, threshold=0.5, refractory=torch.inf)
    assert parts.loss == DeltaMSE(delta=0.2 * TAU, unit=TAU)


def test_inputs_are_as_published() -> None:
    inputs = parts_of("none").splits.train.inputs
    assert (inputs.n_units, inputs.dt, inputs.n_samples) == (4, None, 5000)
    assert inputs.times.min().item() >= 0.15 * TAU
    assert inputs.times.max().item() <= 2.0 * TAU
    with_bias = parts_of("none", bias_spike=True).splits.test.inputs
    assert with_bias.n_units == 5
    assert with_bias.first_times()[:, 4].tolist() == pytest.approx([0.9 * TAU] * 1000)


def test_delays_have_their_own_learning_rate() -> None:
    assert parts_of("none").fit.rates == {}
    assert parts_of("axonal").fit.rates == {"input_delays": 5e-3, "hidden_delays": 5e-3}
    fitting = parts_of("synaptic", threads=1).fit
    assert fitting == FitConfig(
        epochs=300,
        batch_size=150,
        learning_rate=0.01,
        decay=0.95,
        decay_every=20,
        rates={"hidden.delays": 3e-3, "output.delays": 3e-3},
        wake=WakeSilent({"hidden": 0.3, "output": 0.0}, bump=5e-4),
        threads=1,
    )


@pytest.mark.parametrize("delays", DELAYS)
def test_it_learns_weights_and_delays(delays: str) -> None:
    parts = parts_of(delays, n_train=1500, epochs=4, threads=1)
    before = {name: value.clone() for name, value in parts.network.state_dict().items()}
    untrained = evaluate(parts.network, parts.loss, parts.splits.validation)
    assert untrained.spikes_per_sample["hidden"] > 0
    fit(parts.network, parts.loss, parts.splits.train, parts.splits.validation, parts.fit, progress=False)
    trained = evaluate(parts.network, parts.loss, parts.splits.validation)
    assert trained.loss < 0.7 * untrained.loss
    assert trained.spikes_per_sample["output"] == pytest.approx(3.0, abs=0.1)  # one spike per neuron
    changed = {name for name, value in parts.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before)


def test_every_spike_comes_within_the_window() -> None:
    parts = parts_of("synaptic")
    _, activity = parts.network(parts.splits.train.inputs)
    for name in ("hidden", "output"):
        assert activity[name].record.dropped == 0
        assert activity[name].times.max().item() < 0.5 * parts.splits.train.inputs.duration


@pytest.mark.slow
@pytest.mark.parametrize(("delays", "least"), [("none", 0.95), ("axonal", 0.95), ("synaptic", 0.965)])
def test_it_reaches_what_it_should(delays: str, least: float) -> None:
    """One of the trainings of docs/results.md; with two threads, another rounding, the axonal one ends at 92.8 %."""
    parts = parts_of(delays, seed=0, threads=1)
    fit(parts.network, parts.loss, parts.splits.train, parts.splits.validation, parts.fit, progress=False)
    assert evaluate(parts.network, parts.loss, parts.splits.test).accuracy >= least
