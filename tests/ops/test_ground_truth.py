"""EventProp on a grid against the closed form: table E3 of one neuron, and the pitfalls of the discretised adjoint.

One CubaLIF, tau_mem 20 ms, tau_syn 5 ms, threshold 1, one input of weight 10 at 2 ms. In continuous time it spikes
at t = 4.82625175545831 ms and dt/dw = -0.427151569143 ms. On a grid the spike is late by up to dt and the adjoint is
off by the overshoot: the deviations listed here, no more.
"""

import pytest
import torch

from ranvier.gradients import EventProp
from ranvier.neurons import CubaLIF, dynamics
from ranvier.ops.clocked import clocked
from ranvier.spikes import Spikes

EXACT = -0.427151569143
# grid step (ms), spike time (ms), dt/dw (ms): every digit that is known
TABLE = [
    (2.0, 6.0, -0.75497),
    (1.0, 5.0, -0.46742),
    (0.5, 5.0, -0.46742),
    (0.1, 4.9, -0.44396),
    (0.01, 4.83, -0.42800),
    (0.001, 4.827, -0.42732),
]
BACKENDS = ("reference", "numba")


def first_spike(dt: float, backend: str, weight: float = 10.0) -> tuple[float, dict[str, float]]:
    """Time (ms) of the neuron's first spike, and its derivatives by everything it depends on."""
    one = torch.ones(1, dtype=torch.float64)
    given = Spikes.from_samples([([2e-3], [0])], unit_shape=1, duration=10e-3, dtype=torch.float64)
    given = given.on_grid(dt, coincident="sum")
    times = given.times.clone().requires_grad_()
    w = (weight * one[:, None]).requires_grad_()
    learned = {
        name: (value * one[0]).requires_grad_()
        for name, value in (("tau_mem", 20e-3), ("tau_syn", 5e-3), ("threshold", 1.0))
    }
    neuron = CubaLIF(20e-3, 5e-3, learn=tuple(learned))
    out, _ = clocked(
        given._with(times=times),
        w,
        None,
        dynamics(neuron, dt, learned, torch.float64),
        EventProp(),
        backend=backend,
    )
    assert out.n_events >= 1
    assert out.record.backend == backend
    out.times[0].backward()
    gradients = {name: float(value.grad) for name, value in learned.items()} | {
        "w": float(w.grad),
        "t": float(times.grad),
    }
    return float(out.times[0].detach()) * 1e3, gradients


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dt", "time", "slope"), TABLE)
def test_table_e3(dt: float, time: float, slope: float, backend: str) -> None:
    if backend == "reference" and dt < 0.01:
        pytest.skip("ten thousand Python steps; the kernel covers this row")
    found, gradients = first_spike(dt * 1e-3, backend)
    assert found == pytest.approx(time, abs=1e-9)
    assert gradients["w"] * 1e3 == pytest.approx(slope, abs=6e-6)


def test_gradient_approaches_the_exact_one() -> None:
    errors = [abs(first_spike(dt * 1e-3, "numba")[1]["w"] * 1e3 / EXACT - 1) for dt in (1.0, 0.1, 0.01, 0.001)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 5e-4


def test_all_gradients_approach_the_exact_ones() -> None:
    """E1: dL/dthreshold, dL/dtau_mem, dL/dtau_syn (per ms) and dL/dt_in of the first spike."""
    _, found = first_spike(1e-6, "numba")
    exact = {"threshold": 4.27151569143e-3, "tau_mem": 0.197422254433, "tau_syn": -0.22443866664, "t": 1.0}
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, rel=2e-3), name


def test_without_the_reset_term_later_spikes_would_be_wrong() -> None:
    """E1, weight 30: dt/dw of all six spikes; from the second on they depend on the term threshold * lambda_V."""
    exact = [
        -0.0267471785081,
        -0.0638782372451,
        -0.119009612254,
        -0.209798713436,
        -0.389352083859,
        -0.940973114975,
    ]
    given = Spikes.from_samples([([2e-3], [0])], unit_shape=1, duration=12e-3, dtype=torch.float64)
    given = given.on_grid(1e-6, coincident="sum")
    w = torch.full((1, 1), 30.0, dtype=torch.float64, requires_grad=True)
    numbers = dynamics(CubaLIF(20e-3, 5e-3), 1e-6, None, torch.float64)
    out, _ = clocked(given, w, None, numbers, EventProp())
    assert out.n_events == 6
    for spike, value in enumerate(exact):
        (found,) = torch.autograd.grad(out.times[spike], w, retain_graph=True)
        assert float(found) * 1e3 == pytest.approx(value, rel=3e-2 if spike == 5 else 1e-2), spike


def network_e4(dt: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """First spike (ms) of the output of E4's recurrent network, and its gradients in ms."""
    given = Spikes.from_samples([([1e-3, 3e-3, 6e-3], [0, 1, 0])], unit_shape=2, duration=12e-3, dtype=torch.float64)
    given = given.on_grid(dt, coincident="sum")
    times = given.times.clone().requires_grad_()
    w_in = torch.tensor([[9.0, 3.0, 0.0], [4.0, 8.0, 0.0]], dtype=torch.float64, requires_grad=True)
    w_rec = torch.tensor([[0.0, 1.5, 5.0], [-1.0, 0.0, 6.0], [0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    numbers = dynamics(CubaLIF(20e-3, 5e-3), dt, None, torch.float64)
    out, _ = clocked(given._with(times=times), w_in, w_rec, numbers, EventProp())
    first = out.first_times()[0, 2] * 1e3
    first.backward()
    return first.detach(), {"w_in": w_in.grad, "w_rec": w_rec.grad, "times": times.grad}


def test_recurrent_network_e4() -> None:
    first, found = network_e4(1e-6)
    assert float(first) == pytest.approx(6.6471709189173, abs=5e-3)
    w_in = torch.tensor([[-0.202303735594, -0.105060991421], [-0.113195447943, -0.0628202230232]])
    w_rec = torch.tensor([[0.0, -0.0415904903828, -0.206567738051], [-0.0538764949568, 0.0, -0.138289887167]])
    torch.testing.assert_close(found["w_in"][:, :2].float(), w_in, rtol=1e-2, atol=1e-5)
    used = torch.tensor([[False, True, True], [True, False, True]])  # E4 has no other recurrent connections
    torch.testing.assert_close(found["w_rec"][:2].float()[used], w_rec[used], rtol=1e-2, atol=1e-5)
    times = torch.tensor([0.280207198556, 0.409148684015, 0.310644117429])
    torch.testing.assert_close(found["times"].float() * 1e-3, times, rtol=1e-2, atol=1e-5)
    assert float(found["times"].sum()) * 1e-3 == pytest.approx(1.0, rel=5e-3)  # later inputs, later spike
