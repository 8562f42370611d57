"""Hair cells against closed forms; the kernel against the reference."""

import numpy as np
import pytest

from ranvier.data.audio import Cochlea, HairCell, reference

CELL = HairCell()
DT = 1 / 24_000


def test_rest_is_the_published_one():
    k, q, c, w = CELL.rest()
    assert (k, q, w) == pytest.approx((32.787, 0.358735, 0.128559), rel=2e-5)
    assert c == pytest.approx(1.29535e-3, rel=1e-5)
    assert CELL.firing * c == pytest.approx(64.77, abs=0.005)


def test_silence_stays_at_rest():
    probability = reference.release(np.zeros((2, 2400)), DT, CELL)
    assert probability == pytest.approx(CELL.firing * CELL.rest().c * DT, rel=1e-9)


def test_a_steady_push_settles_where_the_closed_form_says():
    push = 40.0
    k = CELL.permeability * (push + CELL.opening) / (push + CELL.opening + CELL.saturation)
    removed = CELL.loss + CELL.reuptake
    settled = CELL.replenish * k / (CELL.loss * k + CELL.replenish * removed)
    probability = reference.release(np.full((1, 24_000), push), DT, CELL)[0]
    assert probability[-1] == pytest.approx(CELL.firing * settled * DT, rel=1e-3)
    assert probability.max() > 5 * probability[-1], "it adapts"


def test_a_shut_cell_releases_nothing():
    probability = reference.release(np.full((1, 2400), -6.0), DT, CELL)[0]
    assert probability[0] > 0
    assert probability[-1] < 1e-12


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_kernel_is_the_reference_to_rounding(channels):
    steps = np.arange(3000) * DT
    velocity = 80 * np.random.default_rng(0).standard_normal((channels, 3000)) * np.sin(2 * np.pi * 3 * steps) ** 2
    velocity[0, 1000:2000] = 1e6  # saturated
    velocity = velocity.astype(np.float32)
    truth = reference.release(velocity.astype(np.float64), DT, CELL)
    assert truth.max() > 5 * truth[0, 0]
    got = Cochlea(channels=1).release(velocity)
    assert got == pytest.approx(truth, rel=1e-9)


def test_at_8_khz_the_explicit_step_is_unstable():
    dt = 1 / 4000
    assert CELL.growth(dt) > 1.2
    assert CELL.growth(DT) <= 1
    velocity = np.full((1, 400), 0.0)
    velocity[0, 0] = 1.0  # the smallest of pushes
    swinging = reference.release(velocity, dt, CELL)[0]
    at_rest = CELL.firing * CELL.rest().c * dt
    assert np.ptp(swinging[-100:]) > at_rest, "it never settles"
    calm = reference.release(np.repeat(velocity, 6, 1), DT, CELL)[0]
    assert np.ptp(calm[-600:]) < 1e-3 * calm[-1]
    with pytest.raises(ValueError, match=r"`sample_rate` of Cochlea must be high enough .* Got 8000 Hz"):
        Cochlea(sample_rate=8000)


def test_wrong_constants_are_refused():
    with pytest.raises(ValueError, match=r"`loss` of HairCell must be finite and > 0. Got -1"):
        HairCell(loss=-1.0)
