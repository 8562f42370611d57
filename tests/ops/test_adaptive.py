"""Neurons whose threshold rises with their own spikes, on a grid: kernels, reference, and truths apart from both."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ranvier.gradients import Esser, EventProp, Gradient, SigmoidDerivative, SuperSpike, Surrogate
from ranvier.neurons import AdaptiveLIF, dynamics
from ranvier.ops.clocked import clocked
from ranvier.spikes import Spikes
from tests.neurons.models import Tired
from tests.ops.cases import DT, FLOOR, LEARNED, REFRACTORY, Case, closeness, differences, run, same_spikes, spread
from tests.ops.test_agreement import assert_within_rule
from tests.ops.test_time import value_of
from tests.twins import by_backend, some

ALL = (*LEARNED, "tau_adapt", "adaptation")
EXACT = EventProp(min_slope=0.5)  # a smaller bound lets random networks' adjoints explode, and sums of them cancel


def neuron(n: int, **more) -> AdaptiveLIF:
    return AdaptiveLIF(20e-3, 5e-3, 50e-3, adaptation=0.3, **({"learn": ALL} | more))


def uneven(n: int, **more) -> AdaptiveLIF:
    values = {"tau_mem": spread(20e-3, n), "tau_syn": 5e-3, "tau_adapt": spread(50e-3, n), "adaptation": spread(0.3, n)}
    return AdaptiveLIF(**values, bias=0.1, **({"learn": ALL} | more))


# name: neuron for N units, gradient, recurrent, support of the input, delays
KINDS = {
    "eventprop": (neuron, EXACT, True, "none", "none"),
    "eventprop-subtract-per-unit": (lambda n: uneven(n, reset="subtract"), EXACT, False, "dense", "none"),
    "eventprop-refractory-delays": (lambda n: neuron(n, refractory=REFRACTORY), EXACT, True, "none", "both"),
    "eventprop-tired": (lambda n: Tired(learn=("tau_mem", "tau_w", "kick", "threshold")), EXACT, True, "none", "none"),
    "superspike-fixed": (lambda n: neuron(n, learn=()), Surrogate(SuperSpike()), True, "none", "none"),
    "superspike-through-reset": (neuron, Surrogate(SuperSpike(2.0), through_reset=True), True, "none", "none"),
    "sigmoid-subtract-through-reset": (
        lambda n: uneven(n, reset="subtract"),
        Surrogate(SigmoidDerivative(2.0), through_reset=True, through_recurrence=False),
        True,
        "dense",
        "none",
    ),
    "esser-subtract": (lambda n: neuron(n, reset="subtract"), Surrogate(Esser(2.0)), True, "compact", "none"),
    "esser-refractory-through-reset": (
        lambda n: uneven(n, refractory=REFRACTORY),
        Surrogate(Esser(2.0), through_reset=True),
        True,
        "compact",
        "none",
    ),
    "esser-no-reset": (lambda n: neuron(n, reset="none"), Surrogate(Esser(2.0)), False, "none", "in"),
    "sigmoid-tired": (
        lambda n: Tired(learn=("tau_mem", "tau_w", "kick")),
        Surrogate(SigmoidDerivative(2.0), through_reset=True),
        True,
        "none",
        "none",
    ),
}
# between them, with the float32 ones below, every option; the others are slow
ALWAYS = (
    "eventprop-subtract-per-unit",
    "eventprop-refractory-delays",
    "superspike-through-reset",
    "esser-refractory-through-reset",
    "eventprop-tired",
)
SIZES = [(20, 5, 11, 63, 0.1), (40, 3, 4, 5, 0.3), (1, 1, 1, 1, 1.0), (15, 2, 5, 7, 0.0), (9, 0, 4, 5, 0.1)]


def case(kind: str, size: int, seed: int) -> Case:
    make, gradient, recurrent, support, delays = KINDS[kind]
    n_steps, n_samples, n_in, n_units, density = SIZES[size]
    return Case(make(n_units), gradient, recurrent, n_steps, n_samples, n_in, n_units, density, seed, support, delays)


@pytest.mark.parametrize("size", range(len(SIZES)))
@pytest.mark.parametrize("kind", some(KINDS, ALWAYS))
def test_kernel_equals_reference_to_rounding(kind: str, size: int) -> None:
    given = case(kind, size, seed=3)
    truth, found = run(given, "reference", torch.float64), run(given, "numba", torch.float64)
    assert found.spikes.record.backend == "numba"
    assert same_spikes(found, truth)
    assert found.spikes.record.clipped == truth.spikes.record.clipped
    if size < 2:
        assert truth.spikes.n_events > 20
        own = {"tau_adapt", "adaptation", "kick", "tau_w"} & set(given.neuron.learn)
        assert all(truth.numbers[f"d {name}"].norm() > 0 for name in ("w_in", *own))
    for name, apart in differences(found, truth).items():  # sums down to one number cancel
        assert apart < (1e-9 if truth.numbers[name].numel() == 1 else FLOOR[torch.float64]), (name, apart)


@pytest.mark.parametrize(
    "kind", some(["eventprop", "superspike-through-reset", "esser-subtract"], ["eventprop", "esser-subtract"])
)
def test_single_precision_follows_the_rule_of_agreement(kind: str) -> None:
    given = next(made for seed in range(400) if closeness(made := case(kind, 1, seed))[0] > 2e-6)
    truth, found = run(given, "reference", torch.float64), run(given, "numba", torch.float32)
    assert truth.spikes.n_events > 0
    assert same_spikes(found, truth)
    assert_within_rule(given, found, truth)


# ------------------------------------------------------------------------------------------ written once more by hand


class Sigmoid(torch.autograd.Function):
    """A step whose derivative is that of a logistic function of scale 2."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return g * SigmoidDerivative(2.0)(x)


def loop(raster: Tensor, w_in: Tensor, w_rec: Tensor, p: dict[str, Tensor], reset: str, through: bool) -> Tensor:
    """The equations, step by step, with nothing of the library in them but the shape."""
    em, es, ea = (torch.exp(-DT / p[name]) for name in ("tau_mem", "tau_syn", "tau_adapt"))
    v = i = a = torch.zeros(raster.shape[1], w_in.shape[1], dtype=torch.float64)
    spikes = []
    for now in raster:
        drive = p["tau_syn"] / (p["tau_mem"] - p["tau_syn"]) * (em - es)
        v, i, a = em * v + drive * i + (1 - em) * p["bias"], es * i, ea * a
        level = p["threshold"] + a
        s = Sigmoid.apply((v - level) / p["threshold"])
        felt = s if through else s.detach()
        v = v - felt * (v if reset == "zero" else level)
        a = a + p["adaptation"] * s
        i = i + now @ w_in + s @ w_rec
        spikes.append(s)
    return torch.stack(spikes)


LOOPS = {f"{reset}-{through}": (reset, through) for reset in ("zero", "subtract") for through in (False, True)}


@pytest.mark.parametrize(("reset", "through", "backend"), by_backend(LOOPS, ["subtract-True"]))
def test_surrogate_gradients_are_autograds(reset: str, through: bool, backend: str) -> None:
    g = torch.Generator().manual_seed(5)
    raster = (torch.rand(50, 3, 6, generator=g) < 0.2).double()
    leaves = [3 * torch.rand(6, 8, generator=g).double(), 0.5 * torch.randn(8, 8, generator=g).double()]
    values = {"tau_mem": 20e-3, "tau_syn": 5e-3, "tau_adapt": 30e-3, "threshold": 0.9, "adaptation": 0.4, "bias": 0.2}
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    weights = torch.randn(50, 3, 8, generator=g).double()
    found = []
    for path in ("loop", backend):
        w_in, w_rec = (leaf.clone().requires_grad_() for leaf in leaves)
        p = {name: value.clone().requires_grad_() for name, value in numbers.items()}
        if path == "loop":
            dense = loop(raster, w_in, w_rec, p, reset, through)
        else:
            made = AdaptiveLIF(**values, reset=reset, learn=tuple(values))
            way = Surrogate(SigmoidDerivative(2.0), through_reset=through)
            spikes = Spikes.from_dense(raster, dt=DT)
            dense = clocked(spikes, w_in, w_rec, dynamics(made, DT, p, torch.float64), way, backend=path)[0].to_dense()
        gradients = torch.autograd.grad((dense * weights).sum(), [w_in, w_rec, *p.values()])
        found.append((dense.detach(), *gradients))
    assert found[0][0].sum() > 50
    for (truth, ours), name in zip(zip(*found, strict=True), ("spikes", "w_in", "w_rec", *values), strict=True):
        assert truth.norm() > 0, name
        torch.testing.assert_close(ours, truth, rtol=1e-8, atol=1e-9 * float(truth.norm()), msg=name)


# --------------------------------------------------------------------------------- E9: known to every digit in ms

E9 = {"tau_mem": 20.0, "tau_adapt": 50.0, "threshold": 1.0, "adaptation": 0.3, "bias": 1.8}
E9_SPIKES = [16.218604324327, 37.994452332357, 63.483774414458]
E9_SLOPES = {
    "bias": -55.0100467857,
    "tau_mem": 2.73493770659,
    "tau_adapt": 0.175700405653,
    "threshold": 84.2224632364,
    "adaptation": 49.3187365929,
}


def e9(dt: float, backend: str, reset: str = "zero") -> tuple[Tensor, dict[str, float]]:
    """The spikes (ms) of a neuron driven by its bias alone, and the third one's derivatives; dt in ms."""
    values = {name: value * 1e-3 if name.startswith("tau") else value for name, value in E9.items()}
    learned = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in values.items()}
    made = AdaptiveLIF(**values, reset=reset, learn=tuple(values))
    silence = Spikes.from_samples([([], [])], unit_shape=1, duration=70e-3, dtype=torch.float64)
    out, _ = clocked(
        silence.on_grid(dt * 1e-3, coincident="sum"),
        torch.zeros(1, 1, dtype=torch.float64),
        None,
        dynamics(made, dt * 1e-3, learned, torch.float64),
        EventProp(),
        backend=backend,
    )
    slopes = torch.autograd.grad(out.times[2], list(learned.values()))
    scales = (1.0 if name.startswith("tau") else 1e3 for name in learned)
    return out.times.detach() * 1e3, {
        name: float(slope) * scale for name, slope, scale in zip(learned, slopes, scales, strict=True)
    }


@pytest.mark.parametrize(("reset", "backend"), by_backend({"zero": ("zero",), "subtract": ("subtract",)}, ["zero"]))
def test_e9_on_a_grid(reset: str, backend: str) -> None:
    times, slopes = e9(0.1 if backend == "reference" else 0.001, backend, reset)
    error = 1e-2 if backend == "reference" else 1e-4
    assert times.tolist() == pytest.approx(E9_SPIKES, rel=error)
    for name, value in E9_SLOPES.items():
        assert slopes[name] == pytest.approx(value, rel=error), name


def test_e9_is_approached_in_first_order() -> None:
    """The largest relative error of the five derivatives falls with dt: slope 1 in logarithms, over a thousand."""
    steps = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    errors = torch.tensor([[e9(dt, "numba")[1][name] / value - 1 for name, value in E9_SLOPES.items()] for dt in steps])
    worst = errors.abs().amax(1).log10()
    x = torch.tensor(steps).log10()
    slope = float(((x - x.mean()) * (worst - worst.mean())).sum() / ((x - x.mean()) ** 2).sum())
    assert 0.75 < slope < 1.4, (slope, worst)
    assert float(worst[-1]) < -4


# ------------------------------------------------------------------------------------------------------ cut in time


@pytest.mark.parametrize(
    ("gradient", "backend"),
    by_backend({"eventprop": (EXACT,), "superspike": (Surrogate(SuperSpike()),)}, []),  # kernels: all above has states
)
def test_chunked_equals_whole(gradient: Gradient, backend: str) -> None:
    g = torch.Generator().manual_seed(0)
    raster = (torch.rand(30, 6, 9, generator=g) < 0.2).double()
    w_in, w_rec = 3 * torch.rand(9, 20, generator=g).double(), 0.3 * torch.randn(20, 20, generator=g).double()
    numbers = dynamics(neuron(20, learn=(), refractory=2e-3), DT, None, torch.float64)
    weights = torch.randn(30, 6, 20, generator=g).double()
    found = []
    for bounds in ([0, 30], [0, 11, 30]):
        leaves, state, total, rasters = [w_in.clone().requires_grad_(), w_rec.clone().requires_grad_()], None, 0, []
        for start, stop in pairwise(bounds):
            given = Spikes.from_dense(raster[start:stop], dt=DT)
            out, state = clocked(given, *leaves, numbers, gradient, state=state, backend=backend)
            assert set(state) == {"V", "I", "a", "hold"}
            total = total + value_of(out, weights, gradient, start)
            if isinstance(gradient, EventProp):
                out = out._with(amplitudes=out.amplitudes.detach())
            rasters.append(out.to_dense().detach())
        total = total + sum(final.square().sum() for final in state.values())
        found.append((torch.cat(rasters), *torch.autograd.grad(total, leaves), *state.values()))
    assert found[0][0].sum() > 50
    assert found[0][1].norm() > 0
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-11, atol=1e-11)
