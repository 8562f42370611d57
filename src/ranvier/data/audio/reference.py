"""Every stage as plain numpy in float64: the truth that the fast path answers to.

Axis letters: C channels, T steps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio.basilar import BasilarMembrane
from ranvier.data.audio.bushy_cell import BushyCell, steps_of
from ranvier.data.audio.hair_cell import HairCell

Array = NDArray[Any]


def velocity(sound: Array, sample_rate: int, membrane: BasilarMembrane, places: Array) -> Array:
    """The membrane's velocity [C, n//2 + 1] at half the sampling rate.

    The inverse transform of the positive half of the spectrum is a decimated analytic signal; its real part counts.
    The grid of frequencies starts at 1 Hz, so that nothing is divided by zero.

    Args:
        sound: [n].
        sample_rate: of the sound, Hz.
        membrane: its constants.
        places: [C], cm.
    """
    n_bins = len(sound) // 2 + 1
    omega = 2 * np.pi * np.linspace(1.0, sample_rate / 2, n_bins)
    spectrum = np.fft.fft(sound)[:n_bins]
    return np.stack([np.fft.ifft(spectrum * membrane.transfer(omega, x)).real for x in places[:, None]])


def release(velocity: Array, dt: float, cell: HairCell) -> Array:
    """Probability that a fibre spikes, [C, T], from velocities [C, T]."""
    rest = cell.rest()
    q, c, w = (np.full(len(velocity), start) for start in (rest.q, rest.c, rest.w))
    probability = np.empty(velocity.shape)
    for step in range(velocity.shape[1]):
        drive = np.maximum(velocity[:, step] + cell.opening, 0.0)
        k = cell.permeability * drive / (drive + cell.saturation)
        dq = cell.replenish * np.maximum(cell.capacity - q, 0.0) + cell.reprocess * w - k * q
        dc = k * q - (cell.loss + cell.reuptake) * c
        dw = cell.reuptake * c - cell.reprocess * w
        q, c, w = (np.maximum(pool + dt * change, 0.0) for pool, change in ((q, dq), (c, dc), (w, dw)))
        probability[:, step] = cell.firing * c * dt
    return probability


def fibre_by_fibre(probability: Array, dt: float, cell: BushyCell, random: np.random.Generator) -> Array:
    """Kept spikes of all fibres per step, [C, T]: one draw per fibre and step, as the model is written."""
    gap = steps_of(cell.fibre_refractory, dt)
    kept = np.zeros(probability.shape, dtype=np.int64)
    last = np.full((len(probability), cell.fibres), -gap)
    for step in range(probability.shape[1]):
        spikes = (random.random(last.shape) < probability[:, step, None]) & (step - last >= gap)
        last[spikes] = step
        kept[:, step] = spikes.sum(1)
    return kept


def fibres(probability: Array, dt: float, cell: BushyCell, random: np.random.Generator) -> Array:
    """Kept spikes of all fibres per step, [C, T]: the same distribution with a draw per spike only.

    Fibres outside their refractory time are all alike, so only their number matters. Going through them and through
    the steps, the sum of -log(1 - p) until the next success is exponentially distributed.
    """
    gap = steps_of(cell.fibre_refractory, dt)
    kept = np.zeros(probability.shape, dtype=np.int64)
    for channel, row in enumerate(probability):
        left, free = random.standard_exponential(), cell.fibres
        for step, p in enumerate(row):
            if step >= gap:
                free += kept[channel, step - gap]
            hazard = -math.log1p(-min(p, 1 - 1e-12))
            trials = free
            while left < trials * hazard:
                trials = max(trials - int(left / hazard) - 1, 0)
                left = random.standard_exponential()
                kept[channel, step] += 1
            left -= trials * hazard
            free -= kept[channel, step]
    return kept


def bushy(kept: Array, dt: float, cell: BushyCell) -> tuple[Array, Array]:
    """Steps and channels of the bushy cells' spikes, by step, then channel, from fibre spikes [C, T]."""
    decay_v, decay_i = math.exp(-dt / cell.tau_mem), math.exp(-dt / cell.tau_syn)
    v, i, hold = np.zeros(len(kept)), np.zeros(len(kept)), np.zeros(len(kept), dtype=np.int64)
    steps, channels = [], []
    for step in range(kept.shape[1]):
        i = i * decay_i + kept[:, step]
        v = v * decay_v + np.where(hold > 0, 0.0, cell.weight / cell.fibres * dt * i)
        hold -= 1
        spiking = np.nonzero(v >= cell.threshold)[0]
        v[spiking], hold[spiking] = 0.0, steps_of(cell.refractory, dt)
        steps.append(np.full(len(spiking), step))
        channels.append(spiking)
    return np.concatenate(steps), np.concatenate(channels)
