"""The auditor passes what is right, fails what is wrong, and refuses what cannot be told."""

import json
from copy import deepcopy

import pytest
import torch

import ranvier as rv
from ranvier.audit import check_gradients as whole_check
from tests.audit.nets import FIRST, INTEGRAL, LABELS, MAXIMUM, NEURON, Distorted, batch, network


def check_gradients(*arguments, n_directions=6, **options):
    """Fewer directions than by default, each for more of the entries."""
    return whole_check(*arguments, n_directions=n_directions, **options)


LEARNED = rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3, bias=0.05, learn=("tau_mem", "tau_syn", "threshold", "bias"))
DELAYS = rv.Delays(longest=10e-3)
FINE, COARSE = 1e-5, 5e-3


def names(report):
    return {parameter.name for parameter in report.parameters}


@pytest.mark.parametrize(
    ("options", "loss", "expected"),
    [
        ({}, FIRST, {"hidden.w_in", "output.w_in"}),
        ({"spiking_output": False}, MAXIMUM, {"hidden.w_in", "output.w_in"}),
        ({"spiking_output": False}, INTEGRAL, {"hidden.w_in", "output.w_in"}),
        ({"recurrent": True}, FIRST, {"hidden.w_in", "hidden.w_rec", "output.w_in"}),
        ({"delays": DELAYS}, FIRST, {"hidden.w_in", "hidden.delays.free", "output.w_in"}),
        (
            {"neuron": LEARNED},
            FIRST,
            {"hidden.w_in", "output.w_in", "hidden.learned.bias"}
            | {f"hidden.learned.log_{name}" for name in ("tau_mem", "tau_syn", "threshold")},
        ),
    ],
    ids=["first spike", "maximum", "integral", "recurrent", "delays", "learned neuron"],
)
def test_the_exact_engine_passes(options, loss, expected):
    report = check_gradients(network(**options), batch(), loss, LABELS)
    assert report.passed, str(report)
    assert report.tolerance == 1e-6
    assert names(report) == expected
    for parameter in report.parameters:
        assert parameter.relative_error < 1e-6
        assert parameter.cosine > 1 - 1e-9
        assert parameter.along == pytest.approx(1, abs=1e-6)
        assert parameter.norm > 0
        assert parameter.usable > 0.5 * parameter.tried > 0
    for layer in report.layers:
        assert layer.spikes_per_sample > 1
        assert layer.agreement is None
    assert report.agreement is None


def test_axonal_delays_pass():
    parts = network().layers
    net = rv.Network(hidden=parts["hidden"], delay=rv.Delay(12, DELAYS), output=parts["output"])
    report = check_gradients(net, batch(), FIRST, LABELS)
    assert report.passed, str(report)
    assert "delay.delays.free" in names(report)


WRONG = [
    pytest.param(name, factor, marks=() if name == "w_in" or factor in others else pytest.mark.slow)
    for name, others in (("w_in", ()), ("w_rec", (-1.0,)), ("learned.log_tau_syn", (1 + 1e-4,)))
    for factor in (0.9, 1 + 1e-4, -1.0, 0.0)
]


@pytest.mark.parametrize(("name", "factor"), WRONG)
def test_a_wrong_gradient_fails_and_is_named(name, factor):
    net = network(recurrent=True, neuron=LEARNED)
    net.layers["hidden"] = Distorted(net.layers["hidden"], name, factor)
    report = check_gradients(net, batch(), FIRST, LABELS)
    assert report.status == "failed", str(report)
    assert f"'hidden.layer.{name}'" in report.verdict
    (wrong,) = (each for each in report.parameters if each.name == f"hidden.layer.{name}")
    assert wrong.relative_error == pytest.approx(abs(factor - 1), rel=1e-3)
    assert all(each.relative_error < 1e-6 for each in report.parameters if each is not wrong)


def test_one_wrong_entry_fails():
    class Torn(rv.Spiking):
        def forward(self, spikes):
            if self.w_in.requires_grad and torch.is_grad_enabled():
                factor = torch.ones_like(self.w_in)
                factor[3, 2] = 0.5
                right = self.w_in
                torn = right.detach() + factor * (right - right.detach())
                return torch.func.functional_call(_plain(self), {"w_in": torn}, (spikes,))
            return super().forward(spikes)

    def _plain(layer):
        return rv.Spiking(layer.n_in, layer.n_out, layer.neuron)

    net = network()
    torn = Torn(5, 12, NEURON)
    torn.load_state_dict(net.layers["hidden"].state_dict())
    net.layers["hidden"] = torn
    assert check_gradients(net, batch(), FIRST, LABELS).status == "failed"


def test_a_fine_grid_agrees_and_a_coarse_one_does_not():
    net = network(spiking_output=False)
    fine = check_gradients(net, batch().on_grid(FINE, coincident="sum"), INTEGRAL, LABELS)
    assert fine.passed, str(fine)
    assert fine.agreement > 0.98
    errors = [each.relative_error for each in fine.parameters]
    assert max(errors) < 0.1
    coarse = check_gradients(net, batch().on_grid(COARSE, coincident="sum"), INTEGRAL, LABELS)
    assert coarse.status in ("failed", "refused"), str(coarse)
    assert "smaller" in coarse.verdict


def test_the_grids_error_falls_with_dt():
    net = network(spiking_output=False)
    errors = [
        max(
            each.relative_error
            for each in check_gradients(net, batch().on_grid(dt, coincident="sum"), INTEGRAL, LABELS).parameters
        )
        for dt in (4e-5, 4e-6)
    ]
    assert errors[0] > 4 * errors[1] > 0


def test_counts_that_disagree_refuse():
    net = network(hidden=4, mean=6.0)
    report = check_gradients(net, batch().on_grid(COARSE, coincident="sum"), FIRST, LABELS)
    assert report.status == "refused", str(report)
    assert report.agreement < 0.9
    assert f"Only {report.agreement:.1%} of the units" in report.verdict
    assert all(each.relative_error is None for each in report.parameters)


@pytest.mark.parametrize("second", [rv.Surrogate(rv.SuperSpike(10.0)), rv.Surrogate(rv.Esser(1.0))], ids=str)
def test_a_surrogate_is_biased_by_design(second):
    net = network(spiking_output=False, gradient=second)
    report = check_gradients(net, batch().on_grid(1e-4, coincident="sum"), INTEGRAL, LABELS)
    assert report.status == "biased", str(report)
    assert not report.passed
    assert report.parameters[0].relative_error > 0.01
    assert -1 <= report.parameters[0].cosine <= 1
    assert report.method == "Surrogate on a grid of 0.0001 s"


def test_a_surrogate_in_continuous_time_is_refused_and_shown_the_grid():
    with pytest.raises(ValueError, match=r"on_grid\(dt"):
        check_gradients(network(spiking_output=False, gradient=rv.Surrogate()), batch(), INTEGRAL, LABELS)


@pytest.mark.parametrize("dt", [None, 1e-4])
@pytest.mark.parametrize("quiet", ["hidden", "output"])
def test_a_silent_layer_is_refused(dt, quiet):
    net = network(mean=-2.0) if quiet == "hidden" else network(output_mean=-2.0)
    events = batch() if dt is None else batch().on_grid(dt, coincident="sum")
    report = check_gradients(net, events, lambda output: output.times.sum() + 0 * net.layers["hidden"].w_in.sum())
    assert report.status == "refused"
    assert f"Layer '{quiet}' emits no spike" in report.verdict


def test_a_loss_that_reads_nothing_is_refused():
    report = check_gradients(network(), batch(), lambda output: torch.tensor(1.0))
    assert report.status == "refused"
    assert "Every gradient is zero" in report.verdict


@pytest.mark.parametrize(
    ("neuron", "sentence"),
    [
        (rv.LIF(tau_mem=20e-3), "`gradient` of a layer of LIF must be a Surrogate"),
        (rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3, reset="none"), "`reset` of CubaLIF"),
    ],
    ids=["LIF", "no reset"],
)
def test_neurons_the_exact_engine_cannot_run_are_refused(neuron, sentence):
    net = network(spiking_output=False, neuron=neuron, gradient=rv.Surrogate(), backend="reference")
    report = check_gradients(net, batch().on_grid(1e-3, coincident="sum"), INTEGRAL, LABELS)
    assert report.status == "refused"
    assert sentence in report.verdict
    assert report.parameters[0].norm > 0
    assert report.layers[0].spikes_per_sample > 0


def test_a_loss_of_traces_alone_is_refused_on_a_grid():
    net = network(spiking_output=False)
    report = check_gradients(net, batch().on_grid(1e-3, coincident="sum"), lambda output: output.amax())
    assert report.status == "refused"
    assert "'Membrane'" in report.verdict


def test_a_network_that_makes_its_own_grid_is_refused():
    class OntoGrid(torch.nn.Module):
        def forward(self, spikes):
            return spikes.on_grid(1e-4, coincident="sum")

    net = rv.Network(grid=OntoGrid(), **network().layers)
    report = check_gradients(net, batch(), FIRST, LABELS)
    assert report.status == "refused"
    assert "grid of 0.0001 s" in report.verdict


def test_min_slope_is_told_apart_from_an_error():
    report = check_gradients(network(gradient=rv.EventProp(min_slope=2.0)), batch(), FIRST, LABELS)
    assert report.passed, str(report)
    assert report.parameters[0].clip_error > 0.01
    assert "but for `min_slope`" in report.verdict
    assert check_gradients(network(), batch(), FIRST, LABELS).parameters[0].clip_error == 0


def test_exploding_jumps_are_counted():
    grazing = rv.Spikes.from_samples([([1e-3], [0])], unit_shape=1, duration=0.1, dtype=torch.float64)
    peak = (5 / 15) * (0.25 ** (1 / 3) - 0.25 ** (4 / 3))
    layer = rv.Spiking(1, 1, NEURON, weights=rv.init.normal((1 + 1e-7) / peak, 0.0))
    report = check_gradients(rv.Network(only=layer), grazing, lambda output: output.times.sum())
    assert report.layers[0].exploding == 1
    steep = rv.Network(only=rv.Spiking(1, 1, NEURON, weights=rv.init.normal(2 / peak, 0.0)))
    assert check_gradients(steep, grazing, lambda output: output.times.sum()).layers[0].exploding == 0


def test_dead_units_and_zero_gradients_are_told():
    net = network()
    with torch.no_grad():
        net.layers["hidden"].w_in[:, :3] = 0.0
    report = check_gradients(net, batch(), FIRST, LABELS)
    assert report.layers[0].dead >= 3 / 12
    assert report.parameters[1].zeros >= 3 / 12
    assert report.passed


def test_the_users_network_is_untouched():
    net = network(recurrent=True, neuron=LEARNED).train()
    net(batch()).output.times.sum().backward()
    before, grads = deepcopy(net.state_dict()), [each.grad.clone() for each in net.parameters()]
    torch.rand(3)
    random = torch.get_rng_state()
    check_gradients(net, batch(), FIRST, LABELS)
    assert torch.equal(random, torch.get_rng_state())
    assert net.training
    for name, value in net.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])
    assert all(torch.equal(each.grad, grad) for each, grad in zip(net.parameters(), grads, strict=True))
    assert not any(module._forward_hooks for module in net.modules())


def test_the_same_seed_gives_the_same_report():
    one, same, other = (check_gradients(network(), batch(), FIRST, LABELS, seed=seed) for seed in (3, 3, 4))
    assert one == same != other


def test_random_layers_draw_the_same_in_every_run():
    class Jitter(torch.nn.Module):
        def forward(self, spikes):
            return spikes.delayed(float(torch.rand(())) * 1e-3)

    net = rv.Network(jitter=Jitter(), **network().layers)
    assert check_gradients(net, batch(), FIRST, LABELS).passed


def test_frozen_parameters_are_left_out():
    net = network()
    net.layers["hidden"].w_in.requires_grad_(False)
    assert names(check_gradients(net, batch(), FIRST, LABELS)) == {"output.w_in"}


def test_labels_can_live_in_the_loss():
    closed = check_gradients(network(), batch(), lambda output: FIRST(output, LABELS))
    assert closed == check_gradients(network(), batch(), FIRST, LABELS)


def test_the_report_prints_and_turns_into_json():
    report = check_gradients(network(), batch(), FIRST, LABELS)
    text = str(report)
    assert text.splitlines()[0] == "EventProp in continuous time, 4 samples, tolerance 1e-06"
    assert text.splitlines()[-1].startswith("PASSED: ")
    assert "agreement" not in text
    table = [line for line in text.splitlines() if line.startswith(("parameter", "hidden.w_in", "output.w_in"))]
    assert len({len(line) for line in table}) == 1
    assert json.loads(json.dumps(report.as_dict()))["parameters"][0]["name"] == "hidden.w_in"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"network": torch.nn.Linear(1, 1)}, "`network` of check_gradients must be a Network"),
        ({"network": network().requires_grad_(False)}, "must have a parameter that requires gradient"),
        ({"batch": torch.zeros(3)}, "`batch` of check_gradients must be Spikes"),
        ({"batch": batch()[[]]}, "must hold at least one sample"),
        ({"loss": "mse"}, "`loss` of check_gradients must be called"),
        ({"loss": lambda output, labels: output.times}, "must return one number"),
        ({"loss": lambda output, labels: output.times.sum() / 0}, "must be finite"),
        ({"n_directions": 0}, "`n_directions` of check_gradients"),
        ({"seed": 1.5}, "`seed` of check_gradients"),
        ({"tolerance": 0.0}, "`tolerance` of check_gradients"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_arguments(changes, sentence):
    given = {"network": network(), "batch": batch(), "loss": FIRST, "labels": LABELS} | changes
    with pytest.raises((TypeError, ValueError), match=sentence):
        whole_check(**given)
