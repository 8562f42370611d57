"""Refractory time on the grid: V is held, and EventProp's adjoint passes through the end of the hold.

In continuous time a spike at t_k is held until t_k + rho and leaves with the slope (I + bias) / tau_mem there; moving
the spike moves that end, so mu_V just before the spike is (mu_V(end) * slope(end) - dL/dt_k) / slope(t_k). The truth
is a float64 event-driven simulation and its central differences.
"""

from math import inf

import numpy as np
import pytest
import torch
from torch import Tensor

from ranvier.gradients import Esser, EventProp, Gradient, SuperSpike, Surrogate
from ranvier.neurons import LIF, CubaLIF, Neuron, dynamics
from ranvier.ops.clocked import clocked
from ranvier.spikes import Spikes, ragged
from tests.twins import by_backend, some

BACKENDS = ("reference", "numba")
DT = 1e-3
F64 = torch.float64

# ------------------------------------------------------------------------------------------------ continuous time

REFRACTORY, DURATION = 1.7e-3, 16e-3
INPUTS = ((1e-3, 0), (2.21e-3, 1), (5.13e-3, 0), (8.42e-3, 1))  # time, unit
# the release of one of the two units with much current left is a fast climb, that of the other a slow one
W_IN = np.array([[30.0, 12.0], [9.0, 14.0]])
W_REC = np.array([[0.0, 6.0], [-4.0, 0.0]])
VALUES = {"tau_mem": 20e-3, "tau_syn": 5e-3, "threshold": 1.0, "bias": 0.2}


def simulate(w_in, w_rec, times, tau_mem, tau_syn, threshold, bias):
    """Spikes (time, unit) of two neurons in continuous time, by bisection between events."""
    v, i, now, end, spikes = np.zeros(2), np.zeros(2), 0.0, np.zeros(2), []
    waiting = sorted((time, unit) for time, (_, unit) in zip(times, INPUTS, strict=True))
    gain = tau_syn / (tau_mem - tau_syn)

    def after(span):
        climbed = v * np.exp(-span / tau_mem) + bias * -np.expm1(-span / tau_mem)
        climbed += gain * i * (np.exp(-span / tau_mem) - np.exp(-span / tau_syn))
        return np.where(end > now, 0.0, climbed), i * np.exp(-span / tau_syn)

    while True:
        nexts = [time for time, _ in waiting[:1]] + [time for time in end if time > now] + [DURATION]
        span, crosses = min(nexts) - now, None
        # V rises at most once between events: look at a fine grid, then bisect
        for part in np.linspace(0, span, 200)[1:]:
            above = after(part)[0] >= threshold
            if above.any():
                low, high = part - span / 199, part
                for _ in range(80):
                    middle = (low + high) / 2
                    hit = after(middle)[0] >= threshold
                    low, high, above = (low, middle, hit) if hit.any() else (middle, high, above)
                span, crosses = high, int(np.argmax(above))
                break
        v, i = after(span)
        now = now + span if crosses is not None else min(nexts)
        if crosses is not None:
            spikes.append((now, crosses))
            v[crosses], end[crosses] = 0.0, now + REFRACTORY
            i = i + w_rec[crosses]
        elif now >= DURATION:
            return spikes
        elif waiting and waiting[0][0] == now:
            i = i + w_in[waiting.pop(0)[1]]


def loss_of(spikes) -> float:
    """Each spike's time in ms with a weight of its own."""
    return sum((1 + 0.5 * (n % 3) - unit) * time * 1e3 for n, (time, unit) in enumerate(spikes))


def central_differences() -> tuple[list, dict[str, np.ndarray]]:
    given = {"w_in": W_IN, "w_rec": W_REC, "times": np.array([t for t, _ in INPUTS])}
    given |= {name: np.array(value) for name, value in VALUES.items()}
    spikes = simulate(**given)
    pattern = [unit for _, unit in spikes]
    found = {}
    for name, value in given.items():
        found[name] = np.zeros(value.shape)
        for index in np.ndindex(value.shape):
            if name == "w_rec" and value[index] == 0:
                continue
            h = 1e-6 * abs(value[index])
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * h
                run = simulate(**given | {name: moved})
                assert [unit for _, unit in run] == pattern
                ends.append(loss_of(run))
            found[name][index] = (ends[0] - ends[1]) / (2 * h)
    return spikes, found


def on_grid(dt: float, reset: str = "zero") -> tuple[list, dict[str, np.ndarray]]:
    given = Spikes.from_samples([tuple(zip(*INPUTS, strict=True))], unit_shape=2, duration=DURATION, dtype=F64)
    given = given.on_grid(dt, coincident="sum")
    leaves = {"w_in": torch.tensor(W_IN), "w_rec": torch.tensor(W_REC), "times": given.times.clone()}
    leaves |= {name: torch.tensor(value, dtype=F64) for name, value in VALUES.items()}
    leaves = {name: value.requires_grad_() for name, value in leaves.items()}
    neuron = CubaLIF(**VALUES, reset=reset, refractory=REFRACTORY, learn=tuple(VALUES))
    out, _ = clocked(
        given._with(times=leaves["times"]),
        leaves["w_in"],
        leaves["w_rec"],
        dynamics(neuron, dt, {name: leaves[name] for name in VALUES}, F64),
        EventProp(min_slope=0.0),
        backend="numba",
    )
    spikes = list(zip(out.times, out.units.tolist(), strict=True))
    grads = torch.autograd.grad(loss_of(spikes), list(leaves.values()))
    found = {name: grad.numpy() for name, grad in zip(leaves, grads, strict=True)}
    found["w_rec"] = found["w_rec"] * (W_REC != 0)
    return [(float(time.detach()), unit) for time, unit in spikes], found


def apart(found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> float:
    """The largest difference, each kind of gradient measured by its own largest entry."""
    return max(float(np.abs(found[name] - truth[name]).max() / np.abs(truth[name]).max()) for name in truth)


@pytest.fixture(scope="module")
def truth() -> tuple[list, dict[str, np.ndarray]]:
    return central_differences()


@pytest.mark.parametrize("reset", some(["zero", "subtract"], ["zero"]))
def test_eventprop_approaches_the_exact_gradient(truth, reset: str) -> None:
    spikes, gradients = truth
    assert len(spikes) >= 10
    assert all(np.abs(value).max() > 0 for value in gradients.values())
    errors = []
    for dt in (1e-5, 1e-6, 1e-7):
        found, of_grid = on_grid(dt, reset)
        assert [unit for _, unit in found] == [unit for _, unit in spikes]
        assert max(abs(a - b) for (a, _), (b, _) in zip(found, spikes, strict=True)) < 40 * dt
        errors.append(apart(of_grid, gradients))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]  # first order in dt: a factor of ten each, give or take overshoot
    assert errors[2] < 1e-3


# ------------------------------------------------------------------------------------------------ the grid


def layer(neuron: Neuron, n_steps: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """A raster [T, 4, 7] that keeps 15 recurrent units busy, and weights."""
    g = torch.Generator().manual_seed(1)
    gain = 0.8 if isinstance(neuron, LIF) else 6.0
    return (
        (torch.rand(n_steps, 4, 7, generator=g) < 0.3).double(),
        gain * torch.rand(7, 15, generator=g).double(),
        0.5 * torch.randn(15, 15, generator=g).double(),
    )


def gradient_for(neuron: Neuron) -> Gradient:
    return Surrogate() if isinstance(neuron, LIF) else EventProp()


def steps_of(spikes: Spikes) -> list[Tensor]:
    """The steps in which each unit of each sample spiked."""
    cell = ragged.samples_of(spikes.offsets) * spikes.n_units + spikes.units
    return [spikes.steps[cell == each] for each in cell.unique()]


def emitted(neuron: Neuron, backend: str) -> tuple[Spikes, dict[str, Tensor], Tensor]:
    raster, w_in, w_rec = layer(neuron)
    w_in.requires_grad_()
    numbers = dynamics(neuron, DT, None, F64)
    out, final = clocked(Spikes.from_dense(raster, dt=DT), w_in, w_rec, numbers, gradient_for(neuron), backend=backend)
    return out, final, w_in


def slope_of(out: Spikes, w_in: Tensor, neuron: Neuron) -> Tensor:
    value = out.times.square().sum() * 1e3 if isinstance(neuron, CubaLIF) else out.to_dense().cumsum(0).square().sum()
    (slope,) = torch.autograd.grad(value, w_in)
    assert slope.norm() > 0
    return slope


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", [CubaLIF, LIF])
@pytest.mark.parametrize(("refractory", "held"), [(1e-3, 1), (3.4e-3, 3), (4.6e-3, 5), (12e-3, 12)])
def test_the_next_spike_comes_after_the_hold(model, refractory: float, held: int, backend: str) -> None:
    free, _, _ = emitted(model(reset="subtract"), backend)
    found, _, _ = emitted(model(reset="subtract", refractory=refractory), backend)
    assert min(int(steps.diff().min()) for steps in steps_of(free) if len(steps) > 1) == 1
    assert min(int(steps.diff().min()) for steps in steps_of(found) if len(steps) > 1) == held + 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", [CubaLIF, LIF])
def test_an_infinite_refractory_time_leaves_the_first_spike(model, backend: str) -> None:
    free, _, _ = emitted(model(), backend)
    found, final, _ = emitted(model(refractory=inf), backend)
    assert found.n_events > 20
    assert found.counts().max() == 1
    first = free.first_times()  # recurrence differs afterwards; the first spike of each sample cannot
    assert torch.equal(found.first_times().amin(1), first.amin(1))
    spiked = found.counts().detach() > 0
    assert torch.equal(final["hold"].isinf(), spiked)
    assert bool((final["hold"][~spiked] == 0).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", [CubaLIF, LIF])
def test_less_than_half_a_step_is_no_refractory_time(model, backend: str) -> None:
    plain, state, w_in = emitted(model(), backend)
    short, short_state, short_w_in = emitted(model(refractory=0.49 * DT), backend)
    assert plain.n_events > 50
    assert torch.equal(plain.steps, short.steps)
    assert torch.equal(slope_of(plain, w_in, model()), slope_of(short, short_w_in, model()))
    assert state.keys() == short_state.keys()
    assert "hold" not in state


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_hold_is_counted_in_steps(backend: str) -> None:
    numbers = dynamics(CubaLIF(20e-3, 5e-3, refractory=4e-3), DT, None, F64)
    w = torch.full((1, 1), 30.0, dtype=F64)
    given = Spikes.from_samples([([0.0], [0])], unit_shape=1, duration=3e-3, dtype=F64).on_grid(DT, coincident="sum")
    out, final = clocked(given, w, None, numbers, EventProp(), backend=backend)
    assert out.steps.tolist() == [1]
    assert final["hold"].item() == 3  # of 4, one has passed
    assert final["V"].item() == 0
    again, later = clocked(given, w, None, numbers, EventProp(), state=final, backend=backend)
    assert again.n_events == 0
    assert later["hold"].item() == 0
    assert later["V"].item() == 0
    started, _ = clocked(
        given, w, None, numbers, EventProp(), state={"hold": torch.full((1, 1), 1.0, dtype=F64)}, backend=backend
    )
    assert started.steps.tolist() == [1]
    started, _ = clocked(
        given, w, None, numbers, EventProp(), state={"hold": torch.full((1, 1), 2.0, dtype=F64)}, backend=backend
    )
    assert started.steps.tolist() == [2]


def plain_loop(raster, w_in, w_rec, neuron: CubaLIF, gradient: Surrogate, held_for: int) -> tuple[Tensor, Tensor]:
    """Spikes and V [T, B, N] of a loop that shares nothing with the library but the propagator."""
    p = dynamics(neuron, DT, None, F64).propagator
    shape = (raster.shape[1], w_in.shape[1])
    v, i, left = torch.zeros(shape, dtype=F64), torch.zeros(shape, dtype=F64), torch.zeros(shape, dtype=torch.int64)
    spikes, membranes = [], []
    for row in raster:
        climbed, i = p[0, 0] * v + p[0, 1] * i, p[1, 1] * i
        free = left == 0
        v = torch.where(free, climbed, v)
        membranes.append(v)
        x = v - 1.0
        smooth = gradient.shape(x.detach()) * x * free
        s = ((x >= 0) & free) + (smooth - smooth.detach())
        spikes.append(s)
        felt = s if gradient.through_reset else s.detach()
        v = v - felt * (v if neuron.reset == "zero" else 0.0 if neuron.reset == "none" else 1.0)
        left = torch.where(s.detach() > 0, held_for, (left - 1).clamp(min=0))
        i = i + row @ w_in + s @ w_rec
    return torch.stack(spikes), torch.stack(membranes)


LOOPS = {
    f"{reset}-{name}-{through}": (reset, shape, through)
    for reset in ("zero", "subtract", "none")
    for name, shape in (("dense", SuperSpike(3.0)), ("compact", Esser(2.0)))
    for through in (False, True)
}
OF_KERNELS = ("zero-dense-False", "subtract-compact-False", "none-compact-True")


@pytest.mark.parametrize(("reset", "shape", "through_reset", "backend"), by_backend(LOOPS, OF_KERNELS))
def test_surrogates_equal_autograd_of_a_plain_loop(reset: str, shape, through_reset: bool, backend: str) -> None:
    neuron = CubaLIF(20e-3, 5e-3, reset=reset, refractory=3e-3)
    gradient = Surrogate(shape, through_reset=through_reset)
    raster, *weights = layer(neuron)
    weights = [w.requires_grad_() for w in weights]
    factor = torch.randn(40, 4, 15, generator=torch.Generator().manual_seed(2)).double()
    spikes, membranes = plain_loop(raster, *weights, neuron, gradient, 3)
    assert (membranes[1:] == membranes[:-1]).sum() > 100  # some are held
    truth = torch.autograd.grad((spikes * factor).sum(), weights)
    out, _ = clocked(
        Spikes.from_dense(raster, dt=DT), *weights, dynamics(neuron, DT, None, F64), gradient, backend=backend
    )
    assert out.n_events > 100
    assert torch.equal(out.to_dense().detach(), spikes.detach())
    found = torch.autograd.grad((out.to_dense() * factor).sum(), weights)
    for mine, true in zip(found, truth, strict=True):
        assert true.norm() > 0
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-9 * float(true.abs().max()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_held_cells_are_not_in_the_support(backend: str) -> None:
    neuron = CubaLIF(20e-3, 5e-3, reset="none", refractory=3e-3)  # V stays near the threshold while it is held
    raster, w_in, w_rec = layer(neuron)
    out, _ = clocked(
        Spikes.from_dense(raster, dt=DT),
        w_in,
        w_rec,
        dynamics(neuron, DT, None, F64),
        Surrogate(Esser(0.5)),
        backend=backend,
    )
    held = torch.zeros(44, 4, 15)
    spikes = out.to_dense().detach()
    for later in (1, 2, 3):
        held[later : later + 40] += spikes
    support = out.support
    cells = (support.steps.long(), ragged.samples_of(support.offsets), support.units.long())
    assert support.units.numel() > 50
    assert held.sum() > 100
    assert held[cells].sum() == 0


FORCED = [
    pytest.param(
        reset,
        gradient,
        dtype,
        id=f"{reset}-{gradient}-{dtype}",
        marks=() if (reset, dtype) == (always, F64) else pytest.mark.slow,
    )
    for gradient, always in (
        (EventProp(), "subtract"),
        (Surrogate(SuperSpike()), "zero"),
        (Surrogate(Esser(2.0)), "subtract"),
    )
    for reset in ("zero", "subtract")
    for dtype in (F64, torch.float32)
]


@pytest.mark.parametrize(("reset", "gradient", "dtype"), FORCED)
@pytest.mark.parametrize("held", [1, 4, None])
def test_spikes_forced_into_a_hold(held: int | None, reset: str, gradient: Gradient, dtype: torch.dtype) -> None:
    """They reset and hold anew, and carry no gradient of their own, as V does not decide about them."""
    neuron = CubaLIF(20e-3, 5e-3, reset=reset, refractory=inf if held is None else held * DT)
    raster, *weights = layer(neuron)
    g = torch.Generator().manual_seed(3)
    forced = Spikes.from_dense((torch.rand(40, 4, 15, generator=g) < 0.25).double(), dt=DT)
    factor = torch.randn(40, 4, 15, generator=g).double()
    begun = torch.randint(0, 7, (4, 15), generator=g).double()
    found = []
    for backend in BACKENDS:
        leaves = [w.clone().to(dtype).requires_grad_() for w in weights]
        state = {"V": 0.3 * factor[0].to(dtype), "I": factor[1].to(dtype), "hold": begun.to(dtype)}
        leaves += [value.requires_grad_() for value in state.values()]
        out, final = clocked(
            Spikes.from_dense(raster.to(dtype), dt=DT),
            *leaves[:2],
            dynamics(neuron, DT, None, dtype),
            gradient,
            state=state,
            forced=forced,
            backend=backend,
        )
        assert torch.equal(out.steps, forced.steps)
        cells = (out.steps.long(), ragged.samples_of(out.offsets), out.units.long())
        value = (out.times * factor[cells]).sum() * 1e3
        if isinstance(gradient, Surrogate):
            value = (out.to_dense() * factor).sum()
        value = value + (final["V"] * factor[2] + final["I"] * factor[3]).sum()
        if held is not None:
            value = value + (final["hold"] * factor[4]).sum()
        found.append((final["hold"].detach(), *torch.autograd.grad(value, leaves, allow_unused=True)))
    assert found[0][1].norm() > 0
    assert isinstance(gradient, Surrogate) or found[0][5].norm() > 0  # the begun holds matter
    bound = 1e-10 if dtype == F64 else 2e-4
    for one, other in zip(*found, strict=True):
        one = torch.zeros_like(found[1][5]) if one is None else one
        torch.testing.assert_close(other, one, rtol=bound, atol=bound * float(one.nan_to_num(posinf=0).abs().max() + 1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_time_of_an_arrival_that_meets_a_held_membrane(backend: str) -> None:
    """Its current decays for longer, but V does not feel it before the hold has ended: dL/dt is w mu_I / tau_syn."""
    numbers = dynamics(CubaLIF(20e-3, 5e-3, refractory=6e-3), DT, None, F64)
    given = Spikes.from_samples([([0.0, 3e-3], [0, 1])], unit_shape=2, duration=12e-3, dtype=F64)
    given = given.on_grid(DT, coincident="sum")
    times = given.times.clone().requires_grad_()
    amplitudes = given.amplitudes.clone().requires_grad_()
    w = torch.tensor([[30.0], [20.0]], dtype=F64)
    out, _ = clocked(given._with(times=times, amplitudes=amplitudes), w, None, numbers, EventProp(), backend=backend)
    assert out.steps.tolist()[:2] == [1, 9]
    by_time, by_amplitude = torch.autograd.grad(out.times[1], (times, amplitudes))
    assert by_amplitude[1] < 0
    assert by_time[1].item() == pytest.approx(by_amplitude[1].item() / 5e-3, rel=1e-9)
    assert by_time.sum().item() == pytest.approx(1.0, abs=0.2)  # all later, the spike later
