"""On a GPU: the readable reference runs there, and agrees with what the CPU's kernels find.

The same networks, spikes and data on both devices. Spikes are identical, gradients differ by at most 1e-5 of their norm
in float32 and 1e-10 in float64. Seeds are fixed: in these cases no cell lies so near to its threshold that rounding
decides.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ranvier as rv
from ranvier.data import collate_labelled
from ranvier.data.augment import Augmentations, DropEvents, JitterTimes, ShiftUnits, StretchTime
from ranvier.data.blend import blend
from ranvier.data.encode import linear_latency, pixel_latency
from ranvier.spikes import moved
from ranvier.training import evaluate
from tests.ops.cases import spread

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")

DEVICE = torch.device("cuda")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DT, N_STEPS, N_SAMPLES, N_IN, N_HIDDEN, N_CLASSES = 1e-3, 40, 4, 6, 5, 3
LABELS = torch.tensor([0, 2, 1, 0])
LEARN = ("tau_mem", "tau_syn", "threshold", "bias")
EXACT, SUPER, ESSER = rv.EventProp(), rv.Surrogate(rv.SuperSpike()), rv.Surrogate(rv.Esser(1.5))


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def raster(dtype: torch.dtype = torch.float64) -> Tensor:
    """The last sample is silent."""
    cells = torch.rand(N_STEPS, N_SAMPLES, N_IN, generator=source()) < 0.3
    cells[:, -1] = False
    return cells.to(dtype)


def continuous(dtype: torch.dtype = torch.float64) -> rv.Spikes:
    """The last sample is silent."""
    samples = [
        (torch.rand(12, generator=source(seed), dtype=torch.float64).sort().values * 30e-3, torch.arange(12) % N_IN)
        for seed in range(N_SAMPLES - 1)
    ]
    return rv.Spikes.from_samples([*samples, ([], [])], unit_shape=N_IN, duration=40e-3, dtype=dtype)


def on(device: torch.device, value: Any) -> Any:
    """A network's copy, or data, on a device."""
    return copy.deepcopy(value).to(device) if isinstance(value, nn.Module) else value.to(device)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in what an operation returns."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return list(itertools.chain.from_iterable(tensors(each) for each in value))
    return tensors([getattr(value, each.name) for each in fields(value)]) if is_dataclass(value) else []


def assert_agree(found: list[Tensor], truth: list[Tensor], tolerance: float) -> None:
    """The same tensors, here on the GPU: whole numbers to the last, others within a tolerance of their norm."""
    assert truth
    assert len(found) == len(truth)
    for here, there in zip(found, truth, strict=True):
        assert here.device.type == DEVICE.type
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        here, there = here.detach().cpu(), there.detach()
        if not there.is_floating_point():
            assert torch.equal(here, there)
            continue
        assert torch.equal(here.isinf(), there.isinf())
        apart, norm = ((value.nan_to_num(posinf=0.0).double()).norm() for value in (here - there, there))
        assert apart <= tolerance * (norm or 1.0), (float(apart), float(norm))


def gradients(of: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """The gradients of what can be differentiated, each entry with a weight of its own."""
    parts = [
        (
            value.nan_to_num(posinf=0.0).flatten()
            * torch.linspace(1, 2, value.numel(), dtype=value.dtype).to(value.device)
        ).sum()
        for value in of
        if value.requires_grad
    ]
    assert parts
    return list(torch.autograd.grad(sum(parts[1:], parts[0]), leaves))


# ------------------------------------------------------------------------------------------------ networks


def spiking(
    neuron: rv.Neuron, gradient: Any = EXACT, n_in: int = N_IN, n_out: int = N_HIDDEN, **options: Any
) -> rv.Spiking:
    strength = 0.2 if isinstance(neuron, rv.LIF) else 1.0
    weights = rv.init.fan_in(8.0 * strength, 8.0 * strength)
    return rv.Spiking(n_in, n_out, neuron, gradient=gradient, weights=weights, generator=source(1), **options)


def readout(n_in: int = N_HIDDEN) -> rv.Readout:
    return rv.Readout(n_in, N_CLASSES, rv.LI(learn=("tau_mem", "tau_syn")), generator=source(2))


def one(neuron: rv.Neuron, gradient: Any = EXACT, *, recurrent: bool = True, **options: Any) -> rv.Network:
    """A hidden layer and a readout."""
    return rv.Network(hidden=spiking(neuron, gradient, recurrent=recurrent, **options), output=readout())


def both_delayed() -> dict[str, Any]:
    return {"delays": rv.Delays(6e-3), "recurrent_delays": rv.Delays(4e-3)}


def skipping() -> rv.Network:
    """A delay line, axonal delays, silent cells into EventProp, connections that skip, weighted traces."""
    return rv.Network(
        line=rv.DelayLine(N_IN, copies=2, spacing=3e-3),
        delay=rv.Delay(2 * N_IN, rv.Delays(4e-3), generator=source(3)),
        first=spiking(rv.CubaLIF(), SUPER, n_in=2 * N_IN),
        second=spiking(rv.CubaLIF(), ESSER, n_in=2 * N_IN),
        third=spiking(rv.CubaLIF(), EXACT, n_in=2 * N_HIDDEN),
        output=readout(3 * N_HIDDEN),
        weighted=rv.InputWeighted(),
        sources={
            "second": "delay",
            "third": ("first", "second"),
            "output": ("first", "second", "third"),
            "weighted": ("output", "input"),
        },
    )


ADAPTIVE = rv.AdaptiveLIF(tau_adapt=30e-3, learn=(*LEARN, "tau_adapt", "adaptation"))
NETWORKS: dict[str, Callable[[], rv.Network]] = {
    "eventprop": lambda: one(rv.CubaLIF(learn=LEARN)),
    "eventprop-per-unit": lambda: one(rv.CubaLIF(spread(20e-3, N_HIDDEN), reset="subtract", learn=LEARN)),
    "eventprop-refractory": lambda: one(rv.CubaLIF(refractory=3e-3, learn=LEARN), recurrent=False),
    "eventprop-delays": lambda: one(rv.CubaLIF(), **both_delayed()),
    "eventprop-adaptive": lambda: one(ADAPTIVE, recurrent=False),
    "superspike": lambda: one(rv.CubaLIF(learn=LEARN), SUPER),
    "superspike-no-reset": lambda: one(rv.CubaLIF(reset="none"), SUPER, recurrent=False),
    "superspike-delays": lambda: one(rv.CubaLIF(refractory=2e-3), SUPER, **both_delayed()),
    "esser-through-reset": lambda: one(rv.CubaLIF(reset="subtract"), rv.Surrogate(rv.Esser(), through_reset=True)),
    "esser-adaptive": lambda: one(ADAPTIVE, ESSER),
    "sigmoid-lif": lambda: one(rv.LIF(learn=("tau_mem", "threshold", "bias")), rv.Surrogate(rv.SigmoidDerivative())),
    "esser-lif-refractory": lambda: one(rv.LIF(refractory=2e-3), ESSER, recurrent=False),
    "skipping": skipping,
}
IN_FLOAT32_TOO = ("eventprop", "superspike", "skipping")
CASES = [(name, torch.float64) for name in NETWORKS] + [(name, torch.float32) for name in IN_FLOAT32_TOO]


def learnt(network: rv.Network, spikes: rv.Spikes, loss: Any, backend: str) -> tuple[list[Tensor], list[Tensor]]:
    """What all layers emit, with output and loss; and the gradients of the loss with penalties on the activity."""
    output, activity = network(spikes)
    emitted = [value for value in activity.values() if isinstance(value, rv.Spikes)]
    assert {value.record.backend for value in emitted if value.record.backend != "input"} == {backend}
    assert all(value.n_events > 10 for value in emitted)
    value = loss(output, LABELS.to(spikes.units.device))
    penalty = rv.UpperActivity(1e-2, 1.0, per_unit=True)
    total = sum((penalty(activity[name].counts()) for name in network.spiking()), value)
    found = torch.autograd.grad(total, list(network.parameters()))
    assert all(bool(each.any()) for each in found)
    return [*(part for value in emitted for part in tensors(value._with(support=None))), *tensors(output), value], list(
        found
    )


def assert_learns_alike(network: rv.Network, spikes: rv.Spikes, loss: Any, dtype: torch.dtype) -> None:
    network, spikes = network.to(dtype), spikes.to(dtype)
    truth = learnt(network, spikes, loss, "numba")
    found = learnt(on(DEVICE, network), on(DEVICE, spikes), loss, "reference")
    for here, there in zip(found, truth, strict=True):
        assert_agree(here, there, TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=[f"{name}-{str(dtype)[6:]}" for name, dtype in CASES])
def test_networks_on_a_grid(name: str, dtype: torch.dtype) -> None:
    spikes = rv.Spikes.from_dense(raster(), dt=DT)
    assert_learns_alike(NETWORKS[name](), spikes, rv.MaxOverTimeCrossEntropy(), dtype)


def two(neuron: rv.Neuron, **options: Any) -> rv.Network:
    """A hidden layer and one spiking output per class."""
    output = spiking(neuron, n_in=N_HIDDEN, n_out=N_CLASSES)
    return rv.Network(hidden=spiking(neuron, **options), output=output)


FIRST = rv.FirstSpikeCrossEntropy(tau_0=5e-3, tau_1=40e-3)
CONTINUOUS: dict[str, tuple[Callable[[], rv.Network], Any]] = {
    "plain": (lambda: two(rv.CubaLIF(learn=LEARN)), FIRST),
    "recurrent-delays": (lambda: two(rv.CubaLIF(), recurrent=True, **both_delayed()), FIRST),
    "refractory": (lambda: two(rv.CubaLIF(refractory=2e-3, learn=LEARN)), rv.DeltaMSE(2e-3, unit=1e-3)),
    "adaptive": (lambda: two(ADAPTIVE), FIRST),
    "maximum": (lambda: one(rv.CubaLIF(learn=LEARN)), rv.MaxOverTimeCrossEntropy()),
    "integral": (lambda: one(rv.CubaLIF(learn=LEARN)), rv.IntegralCrossEntropy("sigmoid")),
    "moments": (lambda: one(rv.CubaLIF(learn=LEARN)), rv.CrossEntropyOverTime(moments=50)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_networks_in_continuous_time(name: str) -> None:
    make, loss = CONTINUOUS[name]
    assert_learns_alike(make(), continuous(), loss, torch.float64)


def test_continuous_time_in_single_precision() -> None:
    assert_learns_alike(two(rv.CubaLIF(), recurrent=True), continuous(), FIRST, torch.float32)


def test_a_sequence_in_two_chunks() -> None:
    layer = spiking(rv.CubaLIF(refractory=3e-3), recurrent=True).double()
    cells = raster()
    whole = layer(rv.Spikes.from_dense(cells, dt=DT))
    assert whole.n_events > 20
    layer, state, units = on(DEVICE, layer), None, []
    for part in cells.to(DEVICE).split(N_STEPS // 2):
        emitted, state = layer.advance(rv.Spikes.from_dense(part, dt=DT), state)
        units.append(emitted.counts())
    assert_agree([sum(units[1:], units[0])], [whole.counts()], 0.0)


def test_forced_spikes() -> None:
    layer = spiking(rv.CubaLIF()).double()
    forced = rv.Spikes.from_dense(raster()[:, :, :N_HIDDEN], dt=DT)
    spikes = on(DEVICE, rv.Spikes.from_dense(raster(), dt=DT))
    emitted = on(DEVICE, layer)(spikes, forced=on(DEVICE, forced))
    assert forced.n_events > 20
    assert_agree(
        tensors([emitted.units, emitted.steps, emitted.offsets]), [forced.units, forced.steps, forced.offsets], 0
    )


# ------------------------------------------------------------------------------------------------ spikes


def on_grid(amplitudes: Tensor) -> rv.Spikes:
    """Spikes on a grid, and silent cells that carry gradient."""
    return rv.Spikes.from_dense(amplitudes, dt=DT)


def off_grid(times: Tensor) -> rv.Spikes:
    """Spikes in continuous time with marks."""
    spikes = continuous().to(times.device)
    return spikes._with(times=times, marks=torch.ones_like(times))


INPUTS: dict[str, tuple[Callable[[Tensor], rv.Spikes], Callable[[], Tensor]]] = {
    "grid": (on_grid, raster),
    "continuous": (off_grid, lambda: continuous().times),
}
DELAY = torch.linspace(0.0, 20e-3, N_IN)
OPERATIONS: dict[str, tuple[str, Callable[[rv.Spikes], Any]]] = {
    "to": ("grid", lambda s: s.to(torch.float32)),
    "sum": ("continuous", lambda s: s.on_grid(5e-3, coincident="sum")),
    "one": ("continuous", lambda s: s.on_grid(5e-3, coincident="one")),
    "later": ("continuous", lambda s: s.delayed(15e-3)),
    "later by unit": ("continuous", lambda s: s.delayed(DELAY)),
    "later on a grid": ("grid", lambda s: s.delayed(15e-3)),
    "later by unit on a grid": ("grid", lambda s: s.delayed(DELAY.to(s.times.device))),
    "counts": ("grid", rv.Spikes.counts),
    "rates": ("continuous", lambda s: (s.rates(), s.times)),
    "first times": ("continuous", rv.Spikes.first_times),
    "dense": ("grid", rv.Spikes.to_dense),
    "a sample": ("continuous", lambda s: s[1]),
    "a slice": ("grid", lambda s: s[2:0:-1]),
    "a list": ("continuous", lambda s: s[[2, 0, 2]]),
    "a mask": ("grid", lambda s: s[torch.tensor([True, False, True, True])]),
    "indices there": ("grid", lambda s: s[torch.tensor([-1, 0], device=s.units.device)]),
    "collate": ("continuous", lambda s: rv.collate([s, s[:2]])),
    "merge": ("grid", lambda s: rv.merge([s, s.delayed(2e-3)])),
    "merge in continuous time": ("continuous", lambda s: rv.merge([s, s.delayed(2e-3)])),
    "moved": ("continuous", lambda s: moved(s, units=s.units + 1, times=s.times * 1.5)),
    "checked": ("grid", lambda s: rv.Spikes(**vars(s))),
    "compact support": ("grid", lambda s: compact(s)[[1, 0]].delayed(DELAY)),
    "compact supports merged": ("grid", lambda s: rv.merge([compact(s), compact(s).delayed(1e-3)])),
    "counts of compact support": ("grid", lambda s: (compact(s).counts(), compact(s).to_dense())),
}


def compact(spikes: rv.Spikes) -> rv.Spikes:
    """What a layer with a bounded surrogate emits."""
    layer = spiking(rv.CubaLIF(), ESSER, n_out=N_IN).double().to(spikes.units.device)
    emitted = layer(spikes)
    assert emitted.support is not None
    assert emitted.support.values.numel() > 20
    return emitted


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_of_spikes(name: str) -> None:
    kind, operate = OPERATIONS[name]
    make, values = INPUTS[kind]

    def outcome(device: torch.device) -> tuple[list[Tensor], list[Tensor]]:
        leaf = values().to(device).requires_grad_()
        made = make(leaf)
        assert made.n_events > 20
        found = tensors(operate(made))
        return found, gradients(found, [leaf])

    for here, there in zip(outcome(DEVICE), outcome(torch.device("cpu")), strict=True):
        assert_agree(here, there, 1e-12)


@pytest.mark.parametrize("kind", INPUTS)
def test_there_and_back(kind: str) -> None:
    make, values = INPUTS[kind]
    spikes = make(values())
    back = spikes.to(DEVICE).to("cpu")
    assert all(torch.equal(here, there) for here, there in zip(tensors(back), tensors(spikes), strict=True))


def test_spikes_made_there() -> None:
    spikes = continuous()
    samples = torch.arange(N_SAMPLES).repeat_interleave(spikes.offsets.diff())
    made = rv.Spikes.from_events(
        *(value.to(DEVICE) for value in (samples, spikes.times, spikes.units)),
        n_samples=N_SAMPLES,
        unit_shape=N_IN,
        duration=spikes.duration,
    )
    assert_agree(tensors(made), tensors(spikes), 0.0)
    pairs = [(spikes[b].times.to(DEVICE), spikes[b].units.to(DEVICE)) for b in range(N_SAMPLES)]
    made = rv.Spikes.from_samples(pairs, unit_shape=N_IN, duration=spikes.duration, dtype=torch.float64)
    assert_agree(tensors(made), tensors(spikes), 0.0)


# ------------------------------------------------------------------------------------------------ losses

TRACES: dict[str, Any] = {
    "maximum": rv.MaxOverTimeCrossEntropy(),
    "mean": rv.MeanOverTimeCrossEntropy(),
    "integral": rv.IntegralCrossEntropy("sigmoid"),
    "over time": rv.CrossEntropyOverTime(),
}
SPIKES: dict[str, Any] = {
    "first spike": FIRST,
    "reciprocal": rv.FirstSpikeCrossEntropy(pull="reciprocal"),
    "phantom": rv.FirstSpikeCrossEntropy(tau_0=5e-3, tau_1=40e-3, silent="phantom"),
    "delta": rv.DeltaMSE(2e-3),
}
PENALTIES: dict[str, Any] = {
    "lower": rv.LowerActivity(1.0, 3.0),
    "upper": rv.UpperActivity(1.0, 1.0),
    "target": rv.TargetActivity(1.0, 2.0, 3.0),
}


def judged(loss: Any, output: Any, leaf: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    verdict = loss.judge(output, LABELS.to(leaf.device))
    assert verdict.loss > 0
    return list(verdict), list(torch.autograd.grad(verdict.loss, [leaf]))


@pytest.mark.parametrize("name", TRACES)
def test_losses_on_traces(name: str) -> None:
    traces = torch.randn(N_STEPS, N_SAMPLES, N_CLASSES, generator=source(), dtype=torch.float64)
    leaves = [traces.to(device).requires_grad_() for device in (DEVICE, "cpu")]
    for here, there in zip(*(judged(TRACES[name], leaf, leaf) for leaf in leaves), strict=True):
        assert_agree(here, there, 1e-12)


@pytest.mark.parametrize("name", SPIKES)
def test_losses_on_spikes(name: str) -> None:
    spikes = continuous()
    first = rv.Spikes.trusted(**vars(spikes) | {"units": spikes.units % N_CLASSES, "unit_shape": (N_CLASSES,)})

    def outcome(device: torch.device) -> tuple[list[Tensor], list[Tensor]]:
        leaf = torch.zeros((), dtype=torch.float64, device=device).requires_grad_()
        there = first.to(device)
        membrane = torch.linspace(0, 1, N_SAMPLES * N_CLASSES, dtype=torch.float64).view(N_SAMPLES, N_CLASSES)
        late = torch.linspace(0, 1, first.n_events, dtype=torch.float64).to(device)
        return judged(
            SPIKES[name], there._with(times=there.times + leaf * late, membrane=membrane.to(device) + leaf), leaf
        )

    for here, there in zip(outcome(DEVICE), outcome(torch.device("cpu")), strict=True):
        assert_agree(here, there, 1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name: str) -> None:
    counts = torch.arange(12.0, dtype=torch.float64).view(N_SAMPLES, N_CLASSES)
    leaves = [counts.to(device).requires_grad_() for device in (DEVICE, "cpu")]
    here, there = ([value := PENALTIES[name](leaf), *torch.autograd.grad(value, leaf)] for leaf in leaves)
    assert there[0] > 0
    assert_agree(here, there, 1e-12)


# ------------------------------------------------------------------------------------------------ data and training


def labelled(dtype: torch.dtype = torch.float32) -> rv.LabelledSpikes:
    """Two classes, told apart by which half of the units fires more."""
    labels = torch.arange(24) % 2
    rate = torch.where((torch.arange(N_IN) < N_IN // 2) == (labels[:, None] == 0), 0.4, 0.1)
    cells = torch.rand(N_STEPS, len(labels), N_IN, generator=source()) < rate
    return rv.LabelledSpikes(rv.Spikes.from_dense(cells.to(dtype), dt=DT), labels, 2)


GENERATED: dict[str, Callable[[rv.LabelledSpikes, torch.Generator], Any]] = {
    "drop": lambda data, g: DropEvents(0.3)(data.inputs, g),
    "shift": lambda data, g: ShiftUnits(2)(data.inputs, g),
    "jitter": lambda data, g: JitterTimes(3e-3)(data.inputs, g),
    "stretch": lambda data, g: StretchTime(0.8, 1.3)(data.inputs, g),
    "several": lambda data, g: Augmentations((ShiftUnits(1), DropEvents(0.5)))(data.inputs, g),
    "blend": blend,
    "batch": lambda data, g: (data[torch.randperm(len(data), generator=g)[:5]], data[2:4], data[3]),
    "collate": lambda data, g: collate_labelled([data[1], data[3:5]]),
    "linear": lambda data, g: linear_latency(
        torch.rand(4, 3, generator=g).to(data.labels.device), 0.0, 20e-3, duration=40e-3, bias_time=10e-3
    ),
    "pixels": lambda data, g: pixel_latency(
        (torch.rand(3, 4, 5, generator=g) * 256).to(torch.uint8).to(data.labels.device), 20e-3, duration=40e-3
    ),
}


@pytest.mark.parametrize("name", GENERATED)
def test_data(name: str) -> None:
    here, there = (tensors(GENERATED[name](labelled().to(device), source())) for device in (DEVICE, "cpu"))
    assert_agree(here, there, 1e-6)


def classifier() -> rv.Network:
    hidden = spiking(rv.CubaLIF(learn=("tau_mem",)), SUPER, recurrent=True)
    return rv.Network(hidden=hidden, output=rv.Readout(N_HIDDEN, 2, generator=source(2)))


@pytest.mark.parametrize("waking", [False, True], ids=["plain", "waking"])
def test_fit(waking: bool, tmp_path) -> None:
    options: dict[str, Any] = {}
    if waking:
        options = {"wake": rv.WakeSilent({"hidden": 0.9}), "wake_after": rv.WakeAfterEpoch(["hidden"])}
    metrics, drawn = {}, torch.cuda.get_rng_state()
    for device in (torch.device("cpu"), DEVICE):
        network, data, folder = on(device, classifier()), labelled().to(device), tmp_path / device.type

        def train(epochs: int, network=network, data=data, folder=folder) -> Any:
            return rv.fit(
                network,
                rv.MaxOverTimeCrossEntropy(),
                data[:16],
                data[16:],
                rv.FitConfig(epochs=epochs, batch_size=8, learning_rate=1e-3, **options),
                regularisers={"hidden": [rv.UpperActivity(1e-3, 5.0)]},
                augment=ShiftUnits(1),
                run_dir=folder,
                resume=True,
                progress=False,
            )

        train(2)
        metrics[device.type] = train(3).metrics  # from the checkpoint
        assert {value.device.type for value in network.parameters()} == {device.type}
        found = evaluate(network, rv.MaxOverTimeCrossEntropy(), data)
        assert found.backends["hidden"] == ("numba" if device.type == "cpu" else "reference")
        assert found.spikes_per_sample["hidden"] > 5
        metrics[device.type]["loss"] = found.loss
    truth, there = metrics["cpu"], metrics[DEVICE.type]
    assert torch.equal(torch.cuda.get_rng_state(), drawn)
    for name in ("train_loss", "penalty", "validation_loss", "loss"):
        assert there[name] == pytest.approx(truth[name], rel=1e-4)
    for name in ("epoch", "ties", "train_accuracy", "validation_accuracy", "spikes_per_sample"):
        assert there[name] == truth[name]


def test_gradients_pass_the_audit() -> None:
    network = on(DEVICE, two(rv.CubaLIF()))
    report = rv.check_gradients(network, on(DEVICE, continuous()), FIRST, LABELS.to(DEVICE), n_directions=1)
    assert report.passed, str(report)


# ------------------------------------------------------------------------------------------------ mistakes


def grid(n_units: int = N_IN) -> rv.Spikes:
    return rv.Spikes.from_dense(raster(torch.float32)[:, :, :n_units], dt=DT)


def there(value: Any) -> Any:
    return on(DEVICE, value)


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "kernels": (
        lambda: there(spiking(rv.CubaLIF(), backend="numba"))(there(grid())),
        ValueError,
        "`backend` 'numba' needs float32 or float64 weights on the CPU. Got torch.float32 on {device}.",
    ),
    "spikes here": (
        lambda: there(spiking(rv.CubaLIF()))(grid()),
        ValueError,
        "`spikes` must be on the device of `w_in`, {device}. Got cpu.",
    ),
    "spikes there": (
        lambda: spiking(rv.CubaLIF())(there(grid())),
        ValueError,
        "`spikes` must be on the device of `w_in`, cpu. Got {device}.",
    ),
    "spikes of a readout here": (
        lambda: there(readout(N_IN))(grid()),
        ValueError,
        "`spikes` must be on the device of `w_in`, {device}. Got cpu.",
    ),
    "continuous spikes here": (
        lambda: there(spiking(rv.CubaLIF()))(continuous(torch.float32)),
        ValueError,
        "`spikes` must be on the device of `w_in`, {device}. Got cpu.",
    ),
    "a membrane's spikes there": (
        lambda: readout(N_IN)(there(continuous(torch.float32))),
        ValueError,
        "`spikes` must be on the device of `w_in`, cpu. Got {device}.",
    ),
    "state here": (
        lambda: there(spiking(rv.CubaLIF()))(there(grid()), {"V": torch.zeros(N_SAMPLES, N_HIDDEN)}),
        ValueError,
        "`state['V']` must be on the device of `w_in`, {device}. Got cpu.",
    ),
    "forced here": (
        lambda: there(spiking(rv.CubaLIF()))(there(grid()), forced=grid(N_HIDDEN)),
        ValueError,
        "`forced` must be on the device of `w_in`, {device}. Got cpu.",
    ),
    "labels here": (
        lambda: rv.MaxOverTimeCrossEntropy()(there(torch.randn(N_STEPS, N_SAMPLES, N_CLASSES)), LABELS),
        ValueError,
        "`labels` of MaxOverTimeCrossEntropy must be on the device of the output, {device}. Got cpu.",
    ),
    "samples on several devices": (
        lambda: rv.Spikes.from_samples([([0.0], [0]), (torch.zeros(1).to(DEVICE), [1])], unit_shape=2, duration=1.0),
        ValueError,
        "`samples` of from_samples must be on one device. Got cpu and, in `samples[1]`, {device}.",
    ),
    "labels on another device": (
        lambda: rv.LabelledSpikes(there(grid()), LABELS, N_CLASSES),
        ValueError,
        "`labels` of LabelledSpikes must be on the device of `inputs`, {device}. Got cpu.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str) -> None:
    make, error, message = MISTAKES[name]
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message.format(device=torch.zeros(0).to(DEVICE).device)


def test_fit_with_data_elsewhere() -> None:
    data = labelled()
    with pytest.raises(ValueError, match=r"^`spikes` must be on the device of `w_in`, .*\. Got cpu\.$"):
        rv.fit(there(classifier()), rv.MaxOverTimeCrossEntropy(), data[:16], data[16:], rv.FitConfig(1), progress=False)
