"""The one rule for numbers that a user writes: finite, perhaps bounded below, and refused in one sentence."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal

Bound = Literal["> 0", ">= 0", "finite"]


def number(what: str, value: Any, bound: Bound, unit: str = "", where: str = "") -> float:
    """The value as a float, or an error that names `what`, its bound and the value received.

    Args:
        what: the argument and its owner, as in "`tau_mem` of LIF".
        value: what the user wrote; text and truth values are no numbers.
        bound: the rule.
        unit: physical unit for the message, "" for dimensionless.
        where: which of several values it is, for the message.
    """
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{what} must be a number. Got {value!r}{where}.") from None
    if not isfinite(found):
        raise ValueError(f"{what} must be finite. Got {found}{where}.")
    if (bound == "> 0" and found <= 0) or (bound == ">= 0" and found < 0):
        raise ValueError(f"{what} must be {f'{bound} {unit}'.strip()}. Got {found}{where}.")
    return found
