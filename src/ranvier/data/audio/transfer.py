"""The membrane's transfer function on the few lengths that sounds are padded to, kept in memory.

Hankel functions take a microsecond each, seconds for a second of sound: they are computed once per length. Beyond its
resonance a place hardly moves, so each block of channels keeps only the frequencies it answers to, a quarter in all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio.basilar import BasilarMembrane

Array = NDArray[Any]

LANES = 16  # channels per block: their velocities of a second are 1.5 MB
GUARD = 768  # steps of silence behind a sound at least: what wraps around ends there
NEGLIGIBLE = 1e-7  # of a channel's largest response: half a float32's rounding
BUDGET = 1 << 30  # bytes of transfer functions kept


class Key(NamedTuple):
    """A block of channels of one membrane, at one length."""

    membrane: BasilarMembrane
    sample_rate: int
    channels: int
    block: int
    bins: int


def padded(steps: int) -> int:
    """The number of frequency bins, and of steps, that a sound of so many steps is padded to: 2^k or 3 · 2^k."""
    least = max(steps + GUARD, 1024)
    power = 1 << (least - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= least else power


def blocks(channels: int) -> list[slice]:
    """The channels, cut into blocks of `LANES`, whoever computes them: rounding and random streams depend on it."""
    return [slice(first, min(first + LANES, channels)) for first in range(0, channels, LANES)]


def response(key: Key) -> Array:
    """Transfer function of a block, complex64 [channels, frequencies up to where it is negligible]."""
    with _lock:
        turn = _turns.setdefault(key, threading.Lock())
    with turn:  # threads that need the same block wait for one of them
        with _lock:
            if key in _kept:
                _kept.move_to_end(key)
                return _kept[key]
        made = _compute(key)
        with _lock:
            _kept[key] = made
            while sum(block.nbytes for block in _kept.values()) > BUDGET and len(_kept) > 1:
                _turns.pop(_kept.popitem(last=False)[0], None)
        return made


_lock = threading.Lock()
_turns: dict[Key, threading.Lock] = {}
_kept: OrderedDict[Key, Array] = OrderedDict()


def forget() -> None:
    """Empty the cache."""
    with _lock:
        _kept.clear()
        _turns.clear()


def _compute(key: Key) -> Array:
    omega = 2 * np.pi * np.linspace(1.0, key.sample_rate / 2, key.bins)
    places = key.membrane.places(key.channels)[blocks(key.channels)[key.block], None]
    sparse = np.unique(np.append(np.arange(0, key.bins, max(1, key.bins // 512)), key.bins - 1))
    size = np.abs(key.membrane.transfer(omega[sparse], places))
    heard = np.nonzero((size > NEGLIGIBLE * size.max(1, keepdims=True)).any(0))[0][-1]
    end = sparse[min(heard + 1, len(sparse) - 1)] + 1
    return key.membrane.transfer(omega[:end], places).astype(np.complex64)
