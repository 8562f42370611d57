"""The membrane against quadrature, published resonances, and the direction of time."""

import numpy as np
import pytest
from scipy.integrate import quad

from ranvier.data.audio import BasilarMembrane, reference

MEMBRANE = BasilarMembrane()
PLACES = np.array([0.0, 0.875, 1.75, 2.625, 3.5])


def test_resonances_are_the_published_ones():
    assert MEMBRANE.resonances(PLACES) == pytest.approx([22508, 6058, 1630, 437, 110], abs=0.5)
    assert np.array_equal(MEMBRANE.places(5), PLACES)


def test_damping_is_the_published_one():
    assert MEMBRANE._resistance(np.zeros(1)) == pytest.approx([1060.66], abs=0.005)


@pytest.mark.parametrize("membrane", [MEMBRANE, BasilarMembrane(density=1.2, height=0.2, mass=0.03)], ids=["", "other"])
@pytest.mark.parametrize("frequency", [1, 100, 1000, 5000, 24_000])
@pytest.mark.parametrize("place", [0.2, 1.75, 3.5])
def test_the_phase_is_the_integral_of_the_wave_number(membrane, frequency, place):
    omega = np.array([2 * np.pi * frequency])

    def part(take):
        def number(x):
            return take(membrane._wave_number(omega, np.array([x]))[0])

        return quad(number, 0, place, limit=500, epsabs=1e-10)[0]

    start = 2 * membrane._wave_number(omega, np.zeros(1))[0] / membrane.stiffness_decay
    truth = start + part(np.real) + 1j * part(np.imag)
    assert membrane._phase(omega, np.array([place]))[0] == pytest.approx(truth, rel=1e-8)


def test_each_place_answers_most_near_its_resonance():
    omega = 2 * np.pi * np.linspace(1, 24_000, 20_000)
    places = PLACES[1:, None]
    response = np.abs(MEMBRANE.transfer(omega, places))
    assert np.isfinite(response).all()
    strongest = omega[response.argmax(1)] / 2 / np.pi / MEMBRANE.resonances(PLACES[1:])
    assert ((strongest > 0.85) & (strongest < 1)).all()


@pytest.mark.parametrize("causal", [False, True])
def test_the_published_wave_runs_backwards_in_time_and_the_causal_one_forwards(causal):
    click = np.zeros(9600)
    click[4800] = 1
    moved = reference.velocity(click, 48_000, BasilarMembrane(causal=causal), PLACES[2:])
    energy = moved**2
    before = energy[:, :2398].sum(1) / energy.sum(1)
    assert (before < 1e-3).all() if causal else (before > 0.95).all()
    arrival = np.abs(np.abs(moved).argmax(1) - 2400) / 24_000
    assert (np.diff(arrival) > 0).all(), "the lower the tone, the longer the way"
    assert arrival[-1] == pytest.approx(0.02, abs=0.008)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mass": 0.0}, "`mass` of BasilarMembrane must be finite and > 0. Got 0.0."),
        ({"damping": float("nan")}, "`damping` of BasilarMembrane must be finite and > 0. Got nan."),
        ({"stiffness_offset": 1e5}, "`stiffness_offset` of BasilarMembrane must be below the apex's stiffness"),
    ],
)
def test_wrong_constants_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        BasilarMembrane(**values)


def test_a_direction_is_true_or_false(as_users_run_it):
    with pytest.raises(TypeError, match=r"`causal` of BasilarMembrane must be True or False"):
        BasilarMembrane(causal=1)
    with pytest.raises(TypeError, match=r"`mass` of BasilarMembrane must be a number"):
        BasilarMembrane(mass="heavy")
