"""Cochleas that are known by name."""

from __future__ import annotations

from typing import Any

from ranvier.data.audio.basilar import BasilarMembrane
from ranvier.data.audio.cochlea import Cochlea
from ranvier.data.load import CHANNELS

# What short recordings of speech gain: docs/cochlea.md, "For speech"
EARS: dict[str, dict[str, Any]] = {
    "heidelberg": {},
    "speech": {"rms": 1.0, "fade_in": 30e-3, "fade_out": 30e-3, "high_pass": 4000.0},
}


def ear(name: str, channels: int | None = None, *, causal: bool = False) -> Cochlea:
    """The cochlea of a name in `EARS`.

    Args:
        name: "heidelberg", that of the tool behind SHD and SSC; "speech", the same but for the sound it gets: louder,
            with high tones raised as in a middle ear, and faded for the first and last 30 ms only.
        channels: places along the membrane; None for 700.
        causal: whether the wave runs forwards in time; see `BasilarMembrane`.

    Raises:
        ValueError: there is no such ear, or `channels` is out of range.
    """
    if name not in EARS:
        raise ValueError(f"`ear` must be one of {', '.join(EARS)}. Got {name!r}.")
    return Cochlea(CHANNELS if channels is None else channels, membrane=BasilarMembrane(causal=causal), **EARS[name])
