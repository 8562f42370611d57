import copy
import pickle

import pytest
import torch

import ranvier as rv
from tests.layers.nets import (
    BACKENDS,
    COMPACT,
    DT,
    EXACT,
    GRADIENTS,
    SMOOTH,
    gradients,
    inputs,
    loss_of,
    spiking,
)
from tests.neurons.unchecked import unchecked
from tests.twins import by_backend


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class TestWeights:
    def test_have_the_layers_shape(self):
        layer = rv.Spiking(5, 3, recurrent=True)
        assert (layer.w_in.shape, layer.w_rec.shape) == ((5, 3), (3, 3))
        assert rv.Spiking(5, 3).w_rec is None

    @pytest.mark.parametrize("make", [rv.Spiking, rv.Readout])
    def test_are_fixed_by_the_generator(self, make):
        one, same, other = (make(5, 3, generator=seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(one.w_in, same.w_in)
        assert not torch.equal(one.w_in, other.w_in)

    def test_of_recurrence_are_fixed_too_and_leave_the_others_alone(self):
        one, same = (rv.Spiking(5, 3, recurrent=True, generator=seeded(1)) for _ in range(2))
        assert torch.equal(one.w_rec, same.w_rec)
        assert torch.equal(one.w_in, rv.Spiking(5, 3, generator=seeded(1)).w_in)

    def test_follow_torchs_seed_without_a_generator(self):
        torch.manual_seed(3)
        one = rv.Spiking(5, 3).w_in
        torch.manual_seed(3)
        assert torch.equal(rv.Spiking(5, 3).w_in, one)

    def test_are_those_of_the_rule(self):
        layer = rv.Spiking(
            5,
            3,
            recurrent=True,
            weights=rv.init.normal(2.0, 0.0),
            recurrent_weights=rv.init.normal(-1.0, 0.0),
        )
        assert (layer.w_in == 2.0).all()
        assert (layer.w_rec == -1.0).all()

    def test_by_default_scale_with_the_number_of_inputs(self):
        for n_in in (10, 1000):
            volley = rv.Spiking(n_in, 2000, generator=seeded(0)).w_in.sum(0)
            assert volley.std().item() == pytest.approx(10.0, rel=0.1)
            assert rv.Readout(n_in, 2000, generator=seeded(0)).w_in.sum(0).std().item() == pytest.approx(1.0, rel=0.1)

    def test_fan_in_fixes_the_mean_of_the_sum(self):
        drawn = rv.init.fan_in(3.0, 0.5)((100, 2000), seeded(0))
        assert drawn.sum(0).mean().item() == pytest.approx(3.0, abs=0.05)
        assert drawn.sum(0).std().item() == pytest.approx(0.5, rel=0.1)


RULES = [
    (lambda: rv.Spiking(0, 3), ValueError, "`n_in` of Spiking must be a positive whole number. Got 0."),
    (lambda: rv.Spiking(3, 2.0), ValueError, "`n_out` of Spiking must be a positive whole number. Got 2.0."),
    (
        lambda: rv.Readout(3, True),
        ValueError,
        "`n_out` of Readout must be a positive whole number. Got True.",
    ),
    (
        lambda: rv.Spiking(3, 2, rv.LI()),
        TypeError,
        f"`neuron` of Spiking must be a spiking model such as CubaLIF(). Got {rv.LI()!r}.",
    ),
    (
        lambda: rv.Spiking(3, 2, "lif"),
        TypeError,
        "`neuron` of Spiking must be a spiking model such as CubaLIF(). Got 'lif'.",
    ),
    (
        lambda: rv.Readout(3, 2, rv.LIF()),
        TypeError,
        f"`neuron` of Readout must be an integrator such as LI(). Got {rv.LIF()!r}.",
    ),
    (
        lambda: rv.Spiking(3, 2, rv.CubaLIF(tau_mem=(0.1, 0.1, 0.1))),
        ValueError,
        "`tau_mem` of CubaLIF must be one number, or 2. Got 3.",
    ),
    (
        lambda: rv.Spiking(3, 2, recurrent_weights=rv.init.normal(0.0, 1.0)),
        ValueError,
        "`recurrent_weights` of Spiking need `recurrent=True`. Got recurrent=False.",
    ),
    (
        lambda: rv.Spiking(3, 2, gradient="eventprop"),
        TypeError,
        "`gradient` must be EventProp(...) or Surrogate(...). Got 'eventprop'.",
    ),
    (
        lambda: rv.Spiking(3, 2, rv.LIF()),
        ValueError,
        "`gradient` of a layer of LIF must be a Surrogate: its input moves the membrane at once, so its "
        "spike times equal its input times and their derivative by the weights is zero. Got EventProp.",
    ),
    (
        lambda: rv.Spiking(3, 2, rv.CubaLIF(reset="none")),
        ValueError,
        "`reset` of CubaLIF trained with EventProp must be 'zero' or 'subtract'. Got 'none'.",
    ),
    (
        lambda: rv.Spiking(3, 2, backend="cuda"),
        ValueError,
        "`backend` of Spiking must be one of auto, reference, numba. Got 'cuda'.",
    ),
    (
        lambda: rv.Readout(3, 2, backend="fast"),
        ValueError,
        "`backend` of Readout must be one of auto, reference, numba. Got 'fast'.",
    ),
    (
        lambda: rv.Spiking(3, 2, weights=lambda shape, generator: torch.zeros(2, 3)),
        ValueError,
        "`weights` of Spiking must draw a floating tensor [3, 2]. Got [2, 3] torch.float32.",
    ),
    (
        lambda: rv.Readout(3, 2, weights=lambda shape, generator: torch.zeros(shape, dtype=torch.int64)),
        ValueError,
        "`weights` of Readout must draw a floating tensor [3, 2]. Got [3, 2] torch.int64.",
    ),
    (
        lambda: rv.Spiking(3, 2)(torch.zeros(4, 1, 3)),
        TypeError,
        "`spikes` of Spiking must be Spikes. Got Tensor.",
    ),
    (
        lambda: rv.Readout(3, 2).advance(rv.Spikes.from_samples([([0.01], [0])], unit_shape=3, duration=0.1)),
        ValueError,
        "`Readout.advance` needs spikes on a time grid; call `on_grid(dt)` first. Got continuous time.",
    ),
    (lambda: rv.init.normal(0.0, -1.0), ValueError, "`std` of init.normal must be >= 0. Got -1.0."),
    (lambda: rv.init.fan_in(float("nan"), 1.0), ValueError, "`mean` of init.fan_in must be finite. Got nan."),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:45] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_printing_shows_neuron_and_gradient():
    shown = repr(rv.Spiking(5, 3, rv.LIF(), gradient=SMOOTH))
    for part in ("5, 3", "LIF(tau_mem=0.02", "recurrent=False", "SuperSpike(scale=10.0)"):
        assert part in shown


class TestBackend:
    def test_that_ran_is_recorded(self):
        for backend in BACKENDS:
            assert spiking(backend=backend)(inputs()).record.backend == backend
        assert spiking(backend="auto")(inputs()).record.backend == "numba"

    @pytest.mark.parametrize("make", [rv.Spiking, rv.Readout])
    def test_that_is_demanded_and_missing_is_an_error(self, make):
        with pytest.raises(
            ValueError,
            match=r"`backend` 'numba' needs float32 or float64 weights on the CPU\. Got torch\.float16",
        ):
            make(5, 3, backend="numba").half()(inputs(dtype=torch.float32))
        with pytest.raises(ValueError, match=r"`backend` 'numba' needs .* on meta"):
            make(5, 3, backend="numba").to("meta")(inputs(dtype=torch.float32))

    def test_auto_takes_the_reference_where_no_kernel_exists(self):
        spikes = rv.Spiking(5, 3, backend="auto").bfloat16()(inputs(dtype=torch.bfloat16))
        assert spikes.record.backend == "reference"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_computes_in_its_own_type(dtype, backend):
    layer = spiking(backend=backend).to(dtype)
    spikes, final = layer.advance(inputs(dtype=torch.float32))
    assert spikes.n_events > 0
    assert spikes.times.dtype == spikes.amplitudes.dtype == final["V"].dtype == dtype
    readout = rv.Readout(4, 2, backend=backend).to(dtype)
    assert readout(spikes).dtype == dtype


LEARN = ("tau_mem", "tau_syn", "threshold", "bias")
PER_UNIT = {"tau_mem": (10e-3, 12e-3, 8e-3, 9e-3), "threshold": (1.0, 0.9, 1.1, 1.0)}


LEARNERS = {
    f"{way}{name}": (way, values)
    for way in ("eventprop", "superspike")
    for name, values in (("", {}), ("-per-unit", PER_UNIT))
}


class TestLearnedParameters:
    @pytest.mark.parametrize(("way", "values", "backend"), by_backend(LEARNERS, ["eventprop", "superspike-per-unit"]))
    def test_receive_gradient(self, way, values, backend):
        neuron = rv.CubaLIF(**({"tau_mem": 10e-3, "tau_syn": 5e-3, "learn": LEARN} | values))
        layer = spiking(gradient=GRADIENTS[way], neuron=neuron, backend=backend)
        spikes = layer(inputs())
        assert spikes.n_events > 0
        loss_of(spikes).backward()
        for name in LEARN:
            grad = getattr(layer.learned, name if name == "bias" else f"log_{name}").grad
            assert grad.shape == ((4,) if name in values else ())
            assert grad.isfinite().all()
            assert (grad != 0).all()

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_of_a_readout_receive_gradient(self, backend):
        readout = rv.Readout(5, 2, rv.LI(learn=("tau_mem", "tau_syn", "bias")), backend=backend).double()
        readout(inputs()).square().sum().backward()
        for grad in gradients(readout).values():
            assert grad.isfinite().all()
            assert (grad != 0).all()

    def test_start_at_the_neurons_values(self):
        neuron = rv.CubaLIF(tau_mem=(10e-3, 20e-3, 5e-3, 7e-3), bias=0.25, learn=LEARN)
        values = spiking(neuron=neuron).learned.values()
        assert values["tau_mem"].tolist() == pytest.approx(neuron.tau_mem, rel=1e-6)
        assert values["bias"].item() == 0.25

    def test_learn_nothing_by_default(self):
        assert set(spiking().state_dict()) == {"w_in", "w_rec"}

    def test_stay_positive_however_far_a_step_goes(self):
        layer = spiking(neuron=rv.CubaLIF(learn=LEARN))
        with torch.no_grad():
            for parameter in layer.learned.parameters():
                parameter -= 3.0
        values = layer.learned.values()
        assert all(values[name] > 0 for name in ("tau_mem", "tau_syn", "threshold"))
        assert values["bias"] == -3.0
        assert layer(inputs()).times.isfinite().all()

    def test_change_what_the_layer_does(self):
        layer = spiking(neuron=rv.CubaLIF(learn="threshold"))
        before = layer(inputs()).n_events
        with torch.no_grad():
            layer.learned.log_threshold += 1.0
        assert 0 < layer(inputs()).n_events < before

    def test_lie_in_the_state_dict(self):
        layer = spiking(neuron=rv.CubaLIF(learn=LEARN))
        names = {"log_tau_mem", "log_tau_syn", "log_threshold", "bias"}
        assert set(layer.state_dict()) == {"w_in", "w_rec", *(f"learned.{name}" for name in names)}

    def test_of_the_delta_neuron_learn_with_a_surrogate(self):
        neuron = rv.LIF(learn=("tau_mem", "threshold", "bias"))
        layer = spiking(neuron=neuron, gradient=SMOOTH, backend="reference")
        loss_of(layer(inputs())).backward()
        assert all((grad != 0).all() and grad.isfinite().all() for grad in gradients(layer).values())


def cut(spikes, start, stop):
    return rv.Spikes.from_dense(spikes.to_dense()[start:stop], dt=DT)


def backward(spikes, finals, readout=None):
    """A loss on every spike, its silent cells where there are any, and the final state."""
    loss = sum((final * (1 + 0.1 * k)).sum() for k, final in enumerate(finals.values()))
    for offset, part in spikes:
        cells = torch.arange(part.n_events, dtype=torch.float64)
        keys = part.steps.double() + offset + 7.0 * part.units
        if part.times.requires_grad:
            loss = loss + ((keys.sin() + 1.5) * part.times * 1e3).sum()
        else:
            times = torch.arange(offset, offset + part.n_steps, dtype=torch.float64)[:, None, None]
            loss = loss + (part.to_dense() * (times + 0.3 * torch.arange(4.0, dtype=torch.float64)).sin()).sum()
        assert len(cells) > 0
    loss.backward()


CHUNKED = {way: (rv.CubaLIF(tau_mem=10e-3, tau_syn=5e-3), way) for way in GRADIENTS}
CHUNKED["lif-superspike"] = (rv.LIF(tau_mem=10e-3), "superspike")


@pytest.mark.parametrize(("neuron", "way", "backend"), by_backend(CHUNKED, GRADIENTS))
def test_a_cut_sequence_is_the_whole(neuron, way, backend):
    whole = spiking(gradient=GRADIENTS[way], neuron=neuron, backend=backend)
    parts = copy.deepcopy(whole)
    given = inputs(n_steps=30)
    spikes, final = whole.advance(given)
    backward([(0, spikes)], final)

    state, found = None, []
    for start, stop in ((0, 9), (9, 10), (10, 30)):
        chunk, state = parts.advance(cut(given, start, stop), state)
        found.append((start, chunk))
    assert spikes.n_events == sum(chunk.n_events for _, chunk in found)
    assert torch.equal(torch.cat([chunk.to_dense() for _, chunk in found]), spikes.to_dense())
    assert set(state) == set(final)
    for name, value in final.items():
        torch.testing.assert_close(state[name], value, rtol=1e-12, atol=1e-12)
    backward([(start, chunk) for start, chunk in found if chunk.n_events], state)
    for name, grad in gradients(whole).items():
        assert grad.abs().sum() > 0
        torch.testing.assert_close(gradients(parts)[name], grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cut_readout_is_the_whole(backend):
    readout = rv.Readout(5, 2, backend=backend).double()
    given = inputs(n_steps=20)
    trace, final = readout.advance(given)
    first, state = readout.advance(cut(given, 0, 7))
    second, state = readout.advance(cut(given, 7, 20), state)
    torch.testing.assert_close(torch.cat([first, second]), trace)
    torch.testing.assert_close(state, final)
    (expected,) = torch.autograd.grad(trace.square().sum(), readout.w_in)
    (found,) = torch.autograd.grad(first.square().sum() + second.square().sum(), readout.w_in)
    torch.testing.assert_close(found, expected)


def test_an_unknown_state_is_named():
    with pytest.raises(ValueError, match="`state` must name states among V, I"):
        spiking().advance(inputs(), {"U": torch.zeros(3, 4, dtype=torch.float64)})
    with pytest.raises(ValueError, match=r"`state\['V'\]` must be \[3, 4\]"):
        spiking().advance(inputs(), {"V": torch.zeros(3, 5, dtype=torch.float64)})


@pytest.mark.parametrize("backend", BACKENDS)
def test_forced_spikes_replace_the_thresholds(backend):
    layer = spiking(backend=backend)
    forced = inputs(n_in=4, density=0.1, seed=5)
    found = layer(inputs(), forced=forced)
    assert torch.equal(found.steps, forced.steps)
    assert torch.equal(found.units, forced.units)


@pytest.mark.parametrize("gradient", [EXACT, SMOOTH, COMPACT], ids=str)
def test_copies_and_pickles_are_the_same_layer(gradient):
    neuron = rv.CubaLIF(bias=[0.1, 0.2, 0.0, 0.0], learn="bias")
    layer = spiking(gradient=gradient, neuron=neuron, backend="reference")
    expected = layer(inputs()).to_dense()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.gradient == gradient
        assert other.neuron == layer.neuron
        assert torch.equal(other(inputs()).to_dense(), expected)
        assert other.w_in is not layer.w_in
