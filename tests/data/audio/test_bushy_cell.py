"""Fibres against the model as written, bushy cells against closed forms; the kernel against the reference."""

import math

import numpy as np
import pytest

from ranvier.data.audio import BushyCell, Cochlea, reference
from ranvier.data.audio.bushy_cell import steps_of

CELL = BushyCell()
DT = 1 / 24_000
FINE = 1e-6


def membrane(kept, dt, cell=CELL):
    """V per step, read off by asking at which threshold it is reached."""
    v = i = 0.0
    trace = []
    for s in kept:
        i = i * math.exp(-dt / cell.tau_syn) + s
        v = v * math.exp(-dt / cell.tau_mem) + cell.weight / cell.fibres * dt * i
        trace.append(v)
    return np.array(trace)


def test_one_fibre_spike_moves_the_membrane_as_published():
    kept = np.zeros((1, 2000), np.int64)
    kept[0, 0] = 1
    peak = 0.08125
    for threshold, count in ((peak * 0.997, 1), (peak * 1.003, 0)):
        steps, _ = reference.bushy(kept, FINE, BushyCell(threshold=threshold))
        assert len(steps) == count
    assert steps_of(0.693e-3, FINE) == pytest.approx(membrane(kept[0], FINE).argmax(), abs=5)


@pytest.mark.parametrize(("together", "spikes"), [(12, 0), (13, 1)])
def test_it_takes_thirteen_fibres_at_once(together, spikes):
    kept = np.zeros((1, 3000), np.int64)
    kept[0, 100] = together
    steps, channels = reference.bushy(kept, FINE, CELL)
    assert len(steps) == spikes
    assert set(channels) <= {0}


def test_a_spike_is_stamped_where_the_threshold_is_reached_and_then_held():
    kept = np.zeros((1, 480), np.int64)
    kept[0] = 40
    steps, _ = reference.bushy(kept, DT, CELL)
    assert steps[0] == int((membrane(kept[0], DT) >= 1).argmax())
    assert steps[1] - steps[0] >= 25
    drive = membrane(kept[0], DT)[-1]
    assert drive > 10, "held by the refractory time alone"
    assert np.diff(steps)[-1] == 25


@pytest.mark.parametrize("p", [0.0027, 0.05, 0.3])
def test_fibres_are_those_of_the_model_as_written(p):
    """Same mean, variance, and dependence on the past: a fibre keeps a spike each 1/p + 23 steps."""
    shape = (60, 3000)
    probability = np.full(shape, p)
    cell = BushyCell(fibres=6)
    written = reference.fibre_by_fibre(probability, DT, cell, np.random.default_rng(1))
    quick = reference.fibres(probability, DT, cell, np.random.default_rng(2))
    rate = 6 / (1 / p + 23)
    late = slice(500, None)
    for name, kept in (("written", written), ("quick", quick)):
        totals = kept[:, late].sum(1)
        deviation = totals.std() / math.sqrt(len(totals))
        assert totals.mean() == pytest.approx(rate * 2500, abs=4 * deviation), name
        assert kept.max() > 1, name
    for lag in (1, 10, 23, 24, 30):
        products = [(kept[:, late] * np.roll(kept, lag, 1)[:, late]).mean(1) for kept in (written, quick)]
        error = math.hypot(*(product.std() / math.sqrt(len(product)) for product in products))
        assert products[0].mean() == pytest.approx(products[1].mean(), abs=4 * error), lag
    counts = [np.bincount(kept[:, late].ravel(), minlength=7)[:7] / kept[:, late].size for kept in (written, quick)]
    assert counts[0] == pytest.approx(counts[1], abs=5 * math.sqrt(rate / written[:, late].size) + 1e-4)


def test_fibres_follow_a_changing_probability():
    probability = np.tile(np.repeat([0.001, 0.2, 0.0, 0.02], 25), (400, 1))
    written = reference.fibre_by_fibre(probability, DT, CELL, np.random.default_rng(1)).mean(0)
    quick = reference.fibres(probability, DT, CELL, np.random.default_rng(2)).mean(0)
    assert written.sum() > 10
    assert quick == pytest.approx(written, abs=5 * np.sqrt(written.max() / 400))
    assert quick[50:75].sum() == 0


def test_spontaneous_fibre_rate():
    cochlea = Cochlea(channels=16)
    p = cochlea.hair_cell.rest().c * 50_000 * DT
    kept = reference.fibres(np.full((16, 6000), p), DT, CELL, np.random.default_rng(0))
    rate = kept[:, 24:].mean() / 40 * 24_000
    assert rate == pytest.approx(64.77 / (1 + 23 * p), rel=0.02)
    assert rate * CELL.weight * CELL.tau_syn * CELL.tau_mem == pytest.approx(0.421, rel=0.08)  # mean membrane


@pytest.mark.parametrize(
    "cell", [CELL, BushyCell(fibres=3, weight=4e4), BushyCell(fibre_refractory=1e-6)], ids=["published", "few", "free"]
)
@pytest.mark.parametrize("top", [0.02, 0.2, 0.7, 1.3])
def test_the_kernel_is_the_reference_to_the_spike(cell, top):
    probability = top * np.sin(np.linspace(0, 20, 3 * 2000)).reshape(3, 2000) ** 2
    probability[1, ::7] = 0.0
    kept = reference.fibres(probability, DT, cell, np.random.default_rng(5))
    truth = reference.bushy(kept, DT, cell)
    assert len(truth[0]) > 20
    steps, channels = Cochlea(channels=1, bushy_cell=cell).bushy(probability, np.random.default_rng(5))
    order = np.lexsort((channels, steps))
    assert np.array_equal(steps[order], truth[0])
    assert np.array_equal(channels[order], truth[1])


def test_without_release_nothing_spikes():
    steps, _ = Cochlea(channels=1).bushy(np.zeros((2, 500)), np.random.default_rng(0))
    assert len(steps) == 0


@pytest.mark.parametrize(
    ("seconds", "dt", "steps"), [(1e-3, 1 / 24_000, 24), (1e-3, 1 / 22_050, 23), (1e-6, 1 / 24_000, 1)]
)
def test_whole_steps(seconds, dt, steps):
    assert steps_of(seconds, dt) == steps


def test_wrong_constants_are_refused(as_users_run_it):
    with pytest.raises(ValueError, match=r"`fibres` of BushyCell must be at least 1. Got 0"):
        BushyCell(fibres=0)
    with pytest.raises(TypeError, match=r"`fibres` of BushyCell must be a whole number. Got 4.5"):
        BushyCell(fibres=4.5)
    with pytest.raises(ValueError, match=r"`tau_mem` of BushyCell must be finite and > 0. Got inf"):
        BushyCell(tau_mem=math.inf)
