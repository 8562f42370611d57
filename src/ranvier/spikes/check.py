"""The rules of `Spikes`, each broken with one sentence: argument, rule, value received."""

from __future__ import annotations

from math import isfinite, prod
from operator import index
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ranvier.spikes.spikes import Spikes

INT32_MAX = torch.iinfo(torch.int32).max
_GRID_TOLERANCE = 1e-3  # of a step; float32 times of a grid are steps * dt only up to rounding
_DTYPES = {"units": torch.int32, "steps": torch.int32, "offsets": torch.int64}


def is_integer(values: Tensor) -> bool:
    """Whether the tensor holds whole numbers."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def latest(duration: float, dtype: torch.dtype) -> float:
    """The last time that still lies in the window: `duration`, and its rounding to `dtype`."""
    return duration * (1 + max(1e-6, torch.finfo(dtype).eps))


def shape(unit_shape: Any) -> tuple[int, ...]:
    """A unit shape, or a number of units, as a tuple of positive Python integers."""
    try:
        sizes = tuple(index(size) for size in (unit_shape if hasattr(unit_shape, "__len__") else (unit_shape,)))
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ValueError(f"`unit_shape` of Spikes must be positive whole numbers, one or a tuple. Got {unit_shape!r}.")
    if prod(sizes) > INT32_MAX:
        raise ValueError(f"`unit_shape` of Spikes must hold fewer than 2**31 units. Got {unit_shape!r}.")
    return sizes


def unit_indices(units: Tensor, unit_shape: tuple[int, ...]) -> Tensor:
    """Unit indices of any whole-number type as int32, refused where that would wrap around."""
    if not is_integer(units):
        raise TypeError(f"`units` of Spikes must be whole numbers. Got {name_of(units.dtype)}.")
    _in_range("units", units, prod(unit_shape))
    return units.to(torch.int32)


def spikes(spikes: Spikes) -> None:
    """Check every rule of `Spikes`."""
    _types(spikes)
    _shapes(spikes)
    _offsets("offsets", spikes.offsets, spikes.n_events)
    _window(spikes)
    _in_range("units", spikes.units, spikes.n_units)
    _times(spikes)
    _steps(spikes)
    _support(spikes)


def _types(spikes: Spikes) -> None:
    for name in ("units", "times", "amplitudes", "offsets", "steps", "marks", "membrane"):
        value = getattr(spikes, name)
        if value is None and name in ("steps", "marks", "membrane"):
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"`{name}` of Spikes must be a tensor. Got {kind(value)}.")
        if name in _DTYPES and value.dtype != _DTYPES[name]:
            raise TypeError(f"`{name}` of Spikes must be {name_of(_DTYPES[name])}. Got {name_of(value.dtype)}.")
        if name not in _DTYPES and not value.is_floating_point():
            raise TypeError(f"`{name}` of Spikes must be a floating type. Got {name_of(value.dtype)}.")
        if name not in _DTYPES and value.dtype != spikes.times.dtype:
            raise TypeError(
                f"`{name}` of Spikes must have the type of `times`, {name_of(spikes.times.dtype)}. "
                f"Got {name_of(value.dtype)}."
            )
        if value.device != spikes.units.device:
            raise ValueError(
                f"`{name}` of Spikes must be on the device of `units`, {spikes.units.device}. Got {value.device}."
            )


def _shapes(spikes: Spikes) -> None:
    unit_shape: Any = spikes.unit_shape
    if not isinstance(unit_shape, tuple):
        raise TypeError(f"`unit_shape` of Spikes must be a tuple. Got {unit_shape!r}.")
    shape(spikes.unit_shape)
    for name in ("units", "offsets"):
        value = getattr(spikes, name)
        if value.ndim != 1:
            raise ValueError(f"`{name}` of Spikes must have one axis. Got shape {tuple(value.shape)}.")
    for name in ("times", "amplitudes", "steps", "marks"):
        value = getattr(spikes, name)
        if value is not None and value.shape != spikes.units.shape:
            raise ValueError(
                f"`{name}` of Spikes must have one entry per unit index, {tuple(spikes.units.shape)}. "
                f"Got {tuple(value.shape)}."
            )
    cells = (spikes.n_samples, spikes.n_units)
    if spikes.membrane is not None and spikes.membrane.shape != cells:
        raise ValueError(
            f"`membrane` of Spikes must have one entry per sample and unit, {cells}. "
            f"Got {tuple(spikes.membrane.shape)}."
        )


def _offsets(name: str, offsets: Tensor, n_events: int) -> None:
    ends = [int(offsets[0]), int(offsets[-1])] if offsets.numel() else []
    if ends != [0, n_events]:
        raise ValueError(f"`{name}` of Spikes must run from 0 to the number of events, {n_events}. Got {ends}.")
    falls = offsets.diff() < 0
    if bool(falls.any()):
        sample = first(falls)
        raise ValueError(
            f"`{name}` of Spikes must be ascending. "
            f"Got {int(offsets[sample + 1])} after {int(offsets[sample])} at sample {sample}."
        )


def _window(spikes: Spikes) -> None:
    duration, dt = spikes.duration, spikes.dt
    number("`duration` of Spikes", duration)
    if not (isfinite(duration) and duration > 0):
        raise ValueError(f"`duration` of Spikes must be a positive number of seconds. Got {duration}.")
    if (dt is None) != (spikes.steps is None):
        lonely = "steps" if dt is None else "dt"
        raise ValueError(f"`dt` and `steps` of Spikes must be given together. Got only `{lonely}`.")
    if dt is None:
        return
    number("`dt` of Spikes", dt)
    if not 0 < dt <= duration * (1 + 1e-9):
        raise ValueError(f"`dt` of Spikes must be > 0 s and at most `duration`, {duration} s. Got {dt}.")
    steps = duration / dt
    if abs(steps - round(steps)) > _GRID_TOLERANCE:
        raise ValueError(
            f"`duration` of Spikes must be a whole number of steps of {dt} s. Got {duration} s, {steps} steps."
        )
    if steps > INT32_MAX // 2:
        raise ValueError(f"`dt` of Spikes must give fewer than 2**30 steps. Got {dt} s in {duration} s.")


def _times(spikes: Spikes) -> None:
    for name in ("times", "amplitudes", "marks"):
        value = getattr(spikes, name)
        if value is None:
            continue
        wrong = ~value.detach().isfinite()
        if bool(wrong.any()):
            event = first(wrong)
            raise ValueError(f"`{name}` of Spikes must be finite. Got {value[event].item()} at event {event}.")
    times = spikes.times.detach()
    if not times.numel():
        return
    if float(times.min()) < 0:
        raise ValueError(f"`times` of Spikes must be >= 0 s. Got {float(times.min())}.")
    if float(times.max()) > latest(spikes.duration, times.dtype):
        raise ValueError(
            f"`times` of Spikes must be at most `duration`, {spikes.duration} s. Got {float(times.max())}."
        )
    _ascending("times", times, spikes.offsets)


def _steps(spikes: Spikes) -> None:
    if spikes.steps is None or spikes.dt is None or not spikes.n_events:
        return
    _in_range("steps", spikes.steps, spikes.n_steps)
    _ascending("steps", spikes.steps, spikes.offsets)
    apart = (spikes.times.detach().double() - spikes.steps.double() * spikes.dt).abs()
    slack = _GRID_TOLERANCE * spikes.dt + torch.finfo(spikes.times.dtype).eps * spikes.duration
    if float(apart.max()) > slack:
        worst = int(apart.argmax())
        raise ValueError(
            f"`times` of Spikes on a grid must be steps * dt. "
            f"Got {float(spikes.times[worst])} s at step {int(spikes.steps[worst])} of {spikes.dt} s."
        )


def _support(spikes: Spikes) -> None:
    support = spikes.support
    if support is None:
        return
    if spikes.dt is None:
        raise ValueError("`support` of Spikes needs a time grid. Got support without `dt`.")
    if support.units is None and support.steps is None and support.offsets is None:
        raster = (spikes.n_steps, spikes.n_samples, spikes.n_units)
        if support.values.shape != raster:
            raise ValueError(
                f"`support.values` of Spikes must be a raster [T, B, N], {raster}. Got {tuple(support.values.shape)}."
            )
        return
    if support.units is None or support.steps is None or support.offsets is None:
        raise ValueError(
            "`support` of Spikes must have all of `units`, `steps` and `offsets` or none. Got only some of them."
        )
    for name in ("units", "steps", "offsets"):
        value = getattr(support, name)
        if value.dtype != _DTYPES[name]:
            raise TypeError(f"`support.{name}` of Spikes must be {name_of(_DTYPES[name])}. Got {name_of(value.dtype)}.")
    if not support.values.shape == support.units.shape == support.steps.shape or support.values.ndim != 1:
        raise ValueError(
            f"`support` of Spikes must have one unit and step per value. Got {tuple(support.values.shape)}, "
            f"{tuple(support.units.shape)} and {tuple(support.steps.shape)}."
        )
    if support.offsets.shape != spikes.offsets.shape:
        raise ValueError(
            f"`support.offsets` of Spikes must have one entry per bound, {tuple(spikes.offsets.shape)}. "
            f"Got {tuple(support.offsets.shape)}."
        )
    _offsets("support.offsets", support.offsets, support.values.numel())
    _in_range("support.units", support.units, spikes.n_units)
    _in_range("support.steps", support.steps, spikes.n_steps)
    _ascending("support.steps", support.steps, support.offsets)


def _in_range(name: str, values: Tensor, bound: int) -> None:
    if not values.numel():
        return
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest >= bound:
        worst = lowest if lowest < 0 else highest
        raise ValueError(f"`{name}` of Spikes must be in 0 to {bound - 1}. Got {worst}.")


def _ascending(name: str, values: Tensor, offsets: Tensor) -> None:
    falls = values.diff() < 0
    starts = offsets[1:-1]
    starts = starts[(starts > 0) & (starts < values.numel())]
    falls[starts - 1] = False
    if bool(falls.any()):
        event = first(falls) + 1
        sample = int(torch.searchsorted(offsets, event, right=True)) - 1
        raise ValueError(
            f"`{name}` of Spikes must ascend within a sample. "
            f"Got {values[event].item()} after {values[event - 1].item()} in sample {sample}."
        )


def number(what: str, value: Any) -> None:
    """Refuse what is not a Python number (a tensor or a bool would lose precision or meaning in silence)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds. Got {kind(value)}.")


def first(mask: Tensor) -> int:
    """The position of the first true entry."""
    return int(mask.to(torch.uint8).argmax())


def name_of(dtype: torch.dtype) -> str:
    """A tensor type as a user writes it."""
    return str(dtype).removeprefix("torch.")


def kind(value: Any) -> str:
    """What a value is, in words."""
    return f"a {name_of(value.dtype)} tensor" if isinstance(value, Tensor) else type(value).__name__
