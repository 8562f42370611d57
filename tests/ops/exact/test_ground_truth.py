"""Numbers computed elsewhere, to every digit that is known, and what must hold for any network.

Common: tau_mem 20, tau_syn 5, threshold 1, times in ms; an input of weight w at 0 drives V(t) = w / 3 (e^(-t / 20) -
e^(-t / 5)). Single spikes from that closed form; E4 and E4b from an independent adjoint; E7 from the closed forms of
Göltz, Kriener et al., Nat. Mach. Intell. 3:823 (2021).
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ranvier.gradients import EventProp
from ranvier.ops.exact import reference
from tests.ops.exact.nets import BACKENDS, Net, Values, gradients, net, random_net, real

both = pytest.mark.parametrize("backend", BACKENDS)
DIGITS = {"rel": 2e-11, "abs": 1e-13}


def spike_times(found, unit: int = 0) -> Tensor:
    return found.times[found.units == unit]


# ---------------------------------------------------------------------------------------------- E1: one neuron

# weight, spike, t, dL/dw, dL/dthreshold, dL/dtau_mem, dL/dtau_syn
E1 = [
    (10, 0, 4.82625175545831, -0.427151569143, 4.27151569143, 0.197422254433, -0.22443866664),
    (30, 0, 2.72999686486821, -0.0267471785081, 0.802415355242, 0.0393752069562, -0.0115014548511),
    (30, 1, 3.58823237127647, -0.0638782372451, 1.91634711735, 0.0938768154241, -0.0578607874411),
    (30, 2, 4.63055720966991, -0.119009612254, 3.57028836761, 0.174511395711, -0.171934140911),
    (30, 3, 5.96065190733885, -0.209798713436, 6.29396140307, 0.306693143062, -0.434642190782),
    (30, 4, 7.80951417585996, -0.389352083859, 11.6805625158, 0.566439584634, -1.10385550337),
    (30, 5, 10.9270091840961, -0.940973114975, 28.2291934493, 1.35559038131, -3.63695968841),
]


@both
@pytest.mark.parametrize(("weight", "spike", "time", "w", "threshold", "tau_mem", "tau_syn"), E1)
def test_e1(weight, spike, time, w, threshold, tau_mem, tau_syn, backend) -> None:
    one = net([([2.0], [0])], [[float(weight)]], d_in=[[0.0]], duration=60.0).leaves()
    found, _ = one.run(backend)
    assert found.n_events == {10: 1, 30: 6}[weight]
    assert float(found.times[spike].detach()) == pytest.approx(time, rel=2e-14)
    gradient = gradients(found.times[spike], one.values)
    expected = {"w_in": w, "threshold": threshold, "tau_mem": tau_mem, "tau_syn": tau_syn, "times": 1.0, "d_in": 1.0}
    for name, value in expected.items():
        assert float(gradient[name]) == pytest.approx(value, **DIGITS), name


# ------------------------------------------------------------------------------------------------ E2: grazing

# weight, t, dt/dw, I - threshold at the spike
E2 = [
    (6.35, 9.130828075004, -139.737446292, 0.02253945798),
    (6.36, 8.683431862307, -26.2021933572, 0.120014918),
    (6.4, 8.048667843415, -11.1758169678, 0.2796216159),
    (6.5, 7.264461443253, -5.91370989348, 0.5203033514),
    (7.0, 5.566280827767, -2.19879460826, 1.299413254),
    (8.0, 4.116608628586, -0.995314573382, 2.511768708),
]
LEAST = 4 * 4 ** (1 / 3)  # the least weight that spikes


@both
@pytest.mark.parametrize(("weight", "time", "slope_of_time", "slope"), E2)
@pytest.mark.parametrize("bound", [0.0, 0.2])
def test_e2(weight, time, slope_of_time, slope, bound, backend) -> None:
    one = net([([0.0], [0])], [[weight]], duration=60.0, min_slope=bound).leaves()
    found, _ = one.run(backend)
    assert found.n_events == 1
    assert float(found.times.detach()) == pytest.approx(time, abs=6e-13)
    assert found.record.clipped == (slope < bound)
    w = gradients(found.times[0], one.values)["w_in"]
    # near the grazing weight the times' own rounding costs digits
    assert float(w) == pytest.approx(slope_of_time * min(slope / bound if bound else 1, 1), rel=3e-10)


@pytest.mark.parametrize(("weight", "slope"), [(row[0], row[3]) for row in E2])
def test_e2_slopes(weight: float, slope: float) -> None:
    one = net([([0.0], [0])], [[weight]], duration=60.0)
    zeros = torch.zeros(2, 1, 1, dtype=torch.float64)
    emission = reference.run(one.spikes, one.values["w_in"], None, one.neuron, EventProp(), None, None, zeros, limit=5)
    assert float(emission.slopes) == pytest.approx(slope, rel=1e-9)


@both
@pytest.mark.parametrize(("weight", "n_spikes"), [(LEAST * (1 - 1e-12), 0), (LEAST * (1 + 1e-12), 1)])
def test_e2_the_least_weight(weight: float, n_spikes: int, backend: str) -> None:
    found, _ = net([([0.0], [0])], [[weight]], duration=60.0).run(backend)
    assert found.n_events == n_spikes
    if n_spikes:
        assert float(found.times.detach()) == pytest.approx(20 / 3 * torch.tensor(4.0).log().item(), abs=1e-4)


# --------------------------------------------------------------------------------- E4: recurrent, with delays

E4_SPIKES = [
    [3.6968086510421, 6.4828131911558, 8.7176196123423],
    [4.7774058032184, 7.3459563129975, 10.427053381491],
    [
        6.6471709189173,
        8.2274186952893,
        9.6228865653572,
        11.001059353857,
        12.470882571946,
        14.610327905886,
        18.799807194184,
    ],
]
REC = ((0, 1), (1, 0), (0, 2), (1, 2))  # (from, to), in the order of the numbers below


def e4(**more: list[list[float]]) -> Net:
    return net(
        [([1.0, 3.0, 6.0], [0, 1, 0])],
        [[9.0, 3.0, 0.0], [4.0, 8.0, 0.0]],
        w_rec=[[0.0, 1.5, 5.0], [-1.0, 0.0, 6.0], [0.0, 0.0, 0.0]],
        duration=60.0,
        **more,
    ).leaves()


def assert_e4(found: Values, expected: dict[str, list[float]], rel: float = 2e-11) -> None:
    recurrent = tuple(torch.tensor(REC).T)
    parts = {name: value for name, value in found.items() if value.ndim < 2}
    parts |= {name: found[name][:, :2].T.flatten() for name in ("w_in", "d_in") if name in found}
    parts |= {name: found[name][recurrent] for name in ("w_rec", "d_rec") if name in found}
    for name, value in expected.items():
        assert parts[name].tolist() == pytest.approx(value, rel=rel, abs=1e-13), name


@both
def test_e4(backend: str) -> None:
    network = e4()
    found, _ = network.run(backend)
    for unit, times in enumerate(E4_SPIKES):
        assert spike_times(found, unit).detach().tolist() == pytest.approx(times, rel=1e-13)
    first = gradients(spike_times(found, 2)[0], network.values, keep=True)
    assert_e4(
        first,
        {
            "w_in": [-0.202303735594, -0.113195447943, -0.105060991421, -0.0628202230232],
            "w_rec": [-0.0415904903828, -0.0538764949568, -0.206567738051, -0.138289887167],
            "threshold": 4.96234742444,
            "tau_mem": 0.232229589252,
            "tau_syn": -0.273787764261,
            "times": [0.280207198556, 0.409148684015, 0.310644117429],
        },
    )
    fourth = gradients(spike_times(found, 2)[3], network.values)
    assert_e4(
        fourth,
        {
            "w_in": [-0.3273848593852, -0.1863449136586, -0.5845590162292, -0.3274475956587],
            "w_rec": [-0.6081860855476, -0.1849470209225, -0.5432776716628, -0.4246518640354],
        },
        rel=1e-12,
    )


@both
def test_e4b_with_delays(backend: str) -> None:
    network = e4(d_in=[[0.3, 0.0, 0.0], [0.8, 1.1, 0.0]], d_rec=[[0.0, 0.7, 1.5], [2.0, 0.0, 0.4], [0.0, 0.0, 0.0]])
    found, _ = network.run(backend)
    first = spike_times(found, 2)[0]
    assert float(first.detach()) == pytest.approx(8.3470426978608, rel=1e-13)
    gradient = gradients(first, network.values)
    assert_e4(
        gradient,
        {
            "w_in": [-0.203285840801, -0.0916402032293, -0.117538377471, -0.059290026854],
            "w_rec": [-0.0331120527446, 0.0, -0.185713545736, -0.155591389789],
            "d_rec": [0.0531126385682, 0.0, 0.685929785479, 0.314070214521],
            "times": [0.265398061166, 0.441586202982, 0.293015735852],
        },
    )
    d_in = gradient["d_in"]
    delays = {(0, 0): 0.525298009158, (1, 0): 0.213744414889, (1, 1): 0.227841788092}
    for synapse, value in delays.items():
        assert float(d_in[synapse]) == pytest.approx(value, **DIGITS), synapse
    assert float(gradient["times"].sum()) == pytest.approx(1, abs=1e-13)
    # all causal paths to the output pass through its two synapses
    assert float(gradient["d_rec"][0, 2] + gradient["d_rec"][1, 2]) == pytest.approx(1, abs=1e-13)


# ----------------------------------------------------------------------------------------- E7: closed forms
# C dV/dt = -g V + sum of w e^-(t - t_i): divided by g, and V counted in units of 1 / g, this is our equation with
# tau_mem = C / g, the same weights, and threshold c = g * (their threshold).

# tau_mem, c, T, dT/dw, dT/dt
E7 = [
    (
        1.0,
        1.0,
        0.65841211763938,
        [-0.13778781025, -0.024827350375],
        [0.399684520722, 0.600315479278],
    ),
    (
        2.0,
        0.5,
        0.61195073148175,
        [-0.113987617469, -0.00412350546617],
        [0.487074256299, 0.512925743701],
    ),
    (
        2.0,
        1.0,
        1.1712158229396,
        [-0.517336788712, -0.402529625528],
        [0.388636414527, 0.611363585473],
    ),
]


@both
@pytest.mark.parametrize(("tau_mem", "c", "time", "w", "t"), E7, ids=["equal", "2:1", "2:1 late"])
def test_e7(tau_mem, c, time, w, t, backend) -> None:
    inputs = [([0.15, 0.6], [0, 1])]
    one = net(inputs, [[3.0], [1.5]], duration=10.0, tau_mem=tau_mem, tau_syn=1.0, threshold=c).leaves()
    found, _ = one.run(backend)
    assert float(found.times[0].detach()) == pytest.approx(time, rel=1e-13)
    gradient = gradients(found.times[0], one.values)
    assert gradient["w_in"][:, 0].tolist() == pytest.approx(w, **DIGITS)
    assert gradient["times"].tolist() == pytest.approx(t, **DIGITS)


# ------------------------------------------------------------------------------- what holds for any network

INVARIANT = {
    "feedforward": {},
    "recurrent": {"recurrent": True},
    "delays": {"recurrent": True, "delays": True},
    "equal taus": {"recurrent": True, "equal": True},
    "per unit": {"recurrent": True, "delays": True, "per_unit": True},
    "one spike": {"recurrent": True, "refractory": float("inf")},
}
any_network = pytest.mark.parametrize("kind", INVARIANT.values(), ids=INVARIANT)


def is_alive(network: Net) -> bool:
    found, _ = replace(network, limit=10).run("reference", overflow="truncate")
    return found.n_events >= 3 and found.record.truncated == 0


def late_spike(kind: dict, backend: str, **more) -> tuple[float, Net, Values]:
    """The last spike of a random network that spikes, and its gradients."""
    network = next(candidate for seed in range(100) if is_alive(candidate := random_net(seed, **kind, **more))).leaves()
    found, _ = network.run(backend)
    last = found.times[-1]
    return float(last.detach()), network, gradients(last, network.values)


@both
@any_network
def test_later_inputs_later_spike(kind, backend) -> None:
    _, _, found = late_spike(kind, backend)
    assert float(found["times"].sum()) == pytest.approx(1, rel=1e-9)


@both
@any_network
def test_all_times_scale_together(kind, backend) -> None:
    time, network, found = late_spike(kind, backend)
    names = [name for name in ("times", "tau_mem", "tau_syn", "d_in", "d_rec") if name in network.values]
    total = sum(float((network.values[name] * found[name]).sum().detach()) for name in names)
    assert total == pytest.approx(time, rel=1e-9)


@both
@any_network
@pytest.mark.parametrize("bias", [None, 0.3])
def test_all_potentials_scale_together(kind, bias, backend) -> None:
    """Threshold, bias and weights times one factor: the same spikes. (No bias, one layer: -sum w dw = th dth.)"""
    _, network, found = late_spike(kind, backend, bias=bias)
    names = [name for name in ("w_in", "w_rec", "bias") if name in network.values]
    total = sum(float((network.values[name] * found[name]).sum().detach()) for name in names)
    threshold = float((network.values["threshold"] * found["threshold"]).sum().detach())
    assert abs(threshold) > 0
    assert -total == pytest.approx(threshold, rel=1e-9)


@both
def test_no_delay_is_a_delay_of_zero(backend: str) -> None:
    without = random_net(3, recurrent=True).leaves()
    zeros = {"d_in": torch.zeros_like(without.values["w_in"]), "d_rec": torch.zeros_like(without.values["w_rec"])}
    with_zeros = without.with_values(**zeros).leaves()
    (one, _), (other, _) = without.run(backend), with_zeros.run(backend)
    assert one.n_events > 3
    assert torch.equal(one.units, other.units)
    torch.testing.assert_close(one.times, other.times, rtol=1e-13, atol=0)
    ours, theirs = gradients(one.times.sum(), without.values), gradients(other.times.sum(), with_zeros.values)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-9, atol=1e-12)


@both
def test_samples_do_not_see_each_other(backend: str) -> None:
    batch = random_net(5, n_samples=3, recurrent=True).leaves()
    found, _ = batch.run(backend)
    together = gradients(found.times.sum(), batch.values)
    apart = torch.zeros_like(together["w_rec"])
    for b in range(3):
        begin, end = batch.offsets[b : b + 2].tolist()
        one = Net(
            batch.values | {name: batch.values[name][begin:end] for name in ("times", "amplitudes")},
            batch.units[begin:end],
            torch.tensor([0, end - begin]),
            batch.duration,
        ).leaves()
        single, _ = one.run(backend)
        assert single.n_events > 0
        assert torch.equal(single.times, found.times[found.offsets[b] : found.offsets[b + 1]])
        apart += gradients(single.times.sum(), one.values)["w_rec"]
    torch.testing.assert_close(together["w_rec"], apart, rtol=1e-12, atol=1e-15)


@both
def test_marks_enter_before_the_spike(backend: str) -> None:
    """A count's gradient g moves V as if dL/dV were g / threshold at the spike (E1, one spike)."""
    one = net([([2.0], [0])], [[10.0]], duration=60.0).leaves()
    found, _ = one.run(backend)
    w = gradients(found.counts().sum(), one.values)["w_in"]
    d = real(4.82625175545831 - 2.0)
    assert float(w) == pytest.approx(float((torch.exp(-d / 20) - torch.exp(-d / 5)) / 3), rel=1e-12)
