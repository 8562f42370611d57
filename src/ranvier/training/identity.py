"""Telling a data set from another, for runs that go on."""

from __future__ import annotations

import hashlib

from ranvier.data import Labelled

_LOOKED_AT = 8  # samples from all over the set, at least, if it has as many


def identity(data: Labelled) -> str:
    """A name for what a set holds: its size, all labels, and the spikes of some samples.

    Not of all, which may lie in a file larger than memory: a set with one other sample in its middle may go unnoticed.
    """
    made = hashlib.blake2b(digest_size=8)
    made.update(data.labels.cpu().numpy().tobytes())
    some = data[:: max(1, len(data) // _LOOKED_AT)].inputs
    made.update(repr((some.unit_shape, some.duration, some.dt)).encode())
    for tensor in (some.units, some.times, some.amplitudes, some.offsets):
        made.update(tensor.detach().cpu().numpy().tobytes())
    return f"{len(data)} samples, {made.hexdigest()}"
