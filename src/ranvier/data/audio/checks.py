"""Checks that the constants of the cochlea share."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any


def positive(model: Any, *, but: tuple[str, ...] = ()) -> None:
    """Demand that every number of a dataclass is finite and > 0.

    Args:
        model: the dataclass instance.
        but: fields with rules of their own.

    Raises:
        TypeError, ValueError: naming field, rule and value.
    """
    for field in fields(model):
        value = getattr(model, field.name)
        if field.name in but:
            continue
        name = f"`{field.name}` of {type(model).__name__}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number. Got {value!r}.")
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and > 0. Got {value}.")


def whole(name: str, value: Any, least: int) -> None:
    """Demand a whole number of at least `least`.

    Raises:
        TypeError, ValueError: naming argument, rule and value.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number. Got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}. Got {value}.")
