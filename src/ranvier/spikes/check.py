"""The rules of `Spikes`, each broken with one sentence: argument, rule, value received."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from operator import index
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ranvier.spikes.spikes import Spikes

_GRID_TOLERANCE = 1e-3  # of a step; float32 times of a grid are steps * dt only up to rounding
_INT32_MAX = torch.iinfo(torch.int32).max
_DTYPES = {"units": torch.int32, "steps": torch.int32, "offsets": torch.int64}


def is_integer(values: Tensor) -> bool:
    """Whether the tensor holds whole numbers."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def latest(duration: float, dtype: torch.dtype) -> float:
    """The last time that still lies in the window: `duration`, and its rounding to `dtype`."""
    return duration * (1 + max(1e-6, torch.finfo(dtype).eps))


def shape(unit_shape: Any) -> tuple[int, ...]:
    """A unit shape, or a number of units, as a tuple of positive Python integers."""
    sizes = tuple(unit_shape) if isinstance(unit_shape, Sequence) else (unit_shape,)
    try:
        sizes = tuple(index(size) for size in sizes)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"`unit_shape` of Spikes must be positive whole numbers, one or a tuple. Got {unit_shape!r}."
        )
    if prod(sizes) > _INT32_MAX:
        raise ValueError(f"`unit_shape` of Spikes must hold fewer than 2**31 units. Got {unit_shape!r}.")
    return sizes


def unit_indices(units: Tensor, unit_shape: tuple[int, ...]) -> Tensor:
    """Unit indices of any whole-number type as int32, refused where that would wrap around."""
    if not is_integer(units):
        raise TypeError(f"`units` of Spikes must be whole numbers. Got {_name(units.dtype)}.")
    _in_range("units", units, prod(unit_shape))
    return units.to(torch.int32)


def sample_indices(samples: Tensor, n_events: int, n_samples: int) -> Tensor:
    """One ascending sample index per event as int64."""
    if not isinstance(samples, Tensor) or not is_integer(samples):
        raise TypeError(f"`samples` of from_events must be a whole-number tensor. Got {_kind(samples)}.")
    if samples.shape != (n_events,):
        raise ValueError(
            f"`samples` of from_events must have one entry per event, ({n_events},). Got {tuple(samples.shape)}."
        )
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 0:
        raise ValueError(f"`n_samples` of from_events must be a whole number >= 0. Got {n_samples!r}.")
    samples = samples.to(torch.int64)
    falls = samples.diff() < 0
    if bool(falls.any()):
        event = _first(falls) + 1
        raise ValueError(
            f"`samples` of from_events must be ascending. "
            f"Got {int(samples[event])} after {int(samples[event - 1])} at event {event}."
        )
    if n_events and (int(samples[0]) < 0 or int(samples[-1]) >= n_samples):
        worst = int(samples[0]) if int(samples[0]) < 0 else int(samples[-1])
        raise ValueError(f"`samples` of from_events must be >= 0 and < `n_samples`, {n_samples}. Got {worst}.")
    return samples


def event_times(times: Tensor, units: Tensor) -> None:
    """Refuse times and units of from_events that are not tensors."""
    for name, value in (("times", times), ("units", units)):
        if not isinstance(value, Tensor):
            raise TypeError(f"`{name}` of from_events must be a tensor. Got {_kind(value)}.")


def pair(position: int, sample: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One sample's times, and its units as int64."""
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        raise TypeError(f"`samples[{position}]` must be a (times, units) pair. Got {_kind(sample)}.")
    times, units = (_tensor(position, values) for values in sample)
    if times.ndim != 1 or times.shape != units.shape:
        raise ValueError(
            f"`samples[{position}]` must hold as many times as units. "
            f"Got shapes {tuple(times.shape)} and {tuple(units.shape)}."
        )
    if units.numel() and not is_integer(units):
        raise TypeError(f"`samples[{position}]` must have whole-number units. Got {_name(units.dtype)}.")
    if times.is_complex() or times.dtype == torch.bool:
        raise TypeError(f"`samples[{position}]` must have times in seconds. Got {_name(times.dtype)}.")
    return times.to(dtype), units.to(torch.int64)


def selection(samples: int | slice | Sequence[int] | Tensor, n_samples: int, device: torch.device) -> Tensor:
    """The chosen sample indices as an int64 vector."""
    if isinstance(samples, slice):
        chosen = range(n_samples)[samples]
        if not chosen:
            return torch.zeros(0, dtype=torch.int64, device=device)
        return torch.arange(chosen.start, chosen.stop, chosen.step, device=device)
    try:
        indices = torch.as_tensor(samples, device=device)
    except (TypeError, ValueError, RuntimeError):
        indices = torch.empty(())
    if indices.dtype == torch.bool:
        if indices.shape != (n_samples,):
            raise IndexError(f"A mask of samples must have shape ({n_samples},). Got {tuple(indices.shape)}.")
        return indices.nonzero().flatten()
    if isinstance(samples, Sequence) and not samples:
        indices = indices.to(torch.int64)
    if not is_integer(indices) or indices.ndim > 1:
        raise TypeError(
            f"Samples must be chosen by a whole number, a list of them, a slice or a mask. Got {samples!r}."
        )
    indices = indices.reshape(-1).to(torch.int64)
    wrong = (indices < -n_samples) | (indices >= n_samples)
    if bool(wrong.any()):
        raise IndexError(
            f"A sample index must be >= -{n_samples} and < {n_samples}, the number of samples. "
            f"Got {int(indices[_first(wrong)])}."
        )
    return torch.where(indices < 0, indices + n_samples, indices)


def collatable(batch: Sequence[Spikes]) -> None:
    """Refuse to join spikes of different layers, grids, durations or makers."""
    if not batch:
        raise ValueError("`batch` of collate must hold at least one Spikes. Got none.")
    first = batch[0]
    for position, spikes in enumerate(batch):
        if not hasattr(spikes, "offsets"):
            raise TypeError(f"`batch` of collate must hold Spikes. Got {_kind(spikes)} at {position}.")
        for name in ("unit_shape", "duration", "dt"):
            if getattr(spikes, name) != getattr(first, name):
                raise ValueError(
                    f"`batch` of collate must share one `{name}`. "
                    f"Got {getattr(first, name)} and, at {position}, {getattr(spikes, name)}."
                )
        for rule in ("dtype", "device"):
            if getattr(spikes.times, rule) != getattr(first.times, rule):
                raise ValueError(
                    f"`batch` of collate must share one {rule}. "
                    f"Got {getattr(first.times, rule)} and, at {position}, {getattr(spikes.times, rule)}."
                )
        if spikes.support is not None:
            raise ValueError(
                f"`batch` of collate must hold inputs, not a layer's activity. Got support at {position}."
            )
        if (spikes.marks is None) != (first.marks is None):
            raise ValueError(
                f"`batch` of collate must have marks everywhere or nowhere. Got a mixture at {position}."
            )


def griddable(spikes: Spikes, dt: float, coincident: str) -> int:
    """The number of steps of a grid of `dt` over these spikes."""
    if coincident not in ("sum", "one"):
        raise ValueError(f"`coincident` of on_grid must be 'sum' or 'one'. Got {coincident!r}.")
    _number("`dt` of on_grid", dt)
    if not 0 < dt <= spikes.duration:
        raise ValueError(
            f"`dt` of on_grid must be > 0 s and at most the duration, {spikes.duration} s. Got {dt}."
        )
    if spikes.support is not None:
        raise ValueError("`on_grid` takes inputs, not the activity of a surrogate layer. Got spikes with support.")
    if spikes.duration / dt > _INT32_MAX // 2:
        raise ValueError(f"`dt` of on_grid must give fewer than 2**30 steps. Got {dt} s in {spikes.duration} s.")
    return max(round(spikes.duration / dt), 1)


def raster(raster: Tensor, dt: float) -> None:
    """Refuse what `from_dense` cannot read."""
    if not isinstance(raster, Tensor) or not raster.is_floating_point():
        raise TypeError(f"`raster` of from_dense must be a floating tensor. Got {_kind(raster)}.")
    sizes = tuple(raster.shape)
    if raster.ndim < 3 or sizes[0] == 0 or prod(sizes[2:]) == 0:
        raise ValueError(
            f"`raster` of from_dense must be [time, batch, *unit] with at least one step and unit. Got {sizes}."
        )
    _number("`dt` of from_dense", dt)
    if not (isfinite(dt) and dt > 0):
        raise ValueError(f"`dt` of from_dense must be > 0 s. Got {dt}.")
    wrong = ~raster.detach().isfinite()
    if bool(wrong.any()):
        value = float(raster.detach().flatten()[_first(wrong.flatten())])
        raise ValueError(f"`raster` of from_dense must be finite. Got {value}.")


def delay(delay: Any, spikes: Spikes) -> Tensor:
    """A delay in float64: no axis, or one entry per unit."""
    try:
        exact = torch.as_tensor(delay, device=spikes.times.device)
    except (TypeError, ValueError, RuntimeError):
        exact = torch.empty((), dtype=torch.bool)
    if exact.is_complex() or exact.dtype == torch.bool:
        raise TypeError(f"`delay` of delayed must be seconds, a number or a tensor. Got {_kind(delay)}.")
    if exact.ndim and exact.shape != (spikes.n_units,):
        raise ValueError(
            f"`delay` of delayed must be one number or one per unit, ({spikes.n_units},). Got {tuple(exact.shape)}."
        )
    exact = torch.as_tensor(delay, dtype=torch.float64, device=spikes.times.device)
    wrong = ~(exact.detach().isfinite() & (exact.detach() >= 0))
    if bool(wrong.any()):
        unit = f" at unit {_first(wrong)}" if exact.ndim else ""
        value = float(exact.detach().flatten()[_first(wrong.flatten())])
        raise ValueError(f"`delay` of delayed must be finite and >= 0 s. Got {value}{unit}.")
    return exact


def complete(given: set[str], names: set[str]) -> None:
    """Refuse to build Spikes from too few or unknown fields."""
    if given != names:
        missing, unknown = sorted(names - given), sorted(given - names)
        raise TypeError(f"`trusted` must get the fields of Spikes. Got {missing} missing and {unknown} unknown.")


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
    for name in ("units", "times", "amplitudes", "offsets", "steps", "marks"):
        value = getattr(spikes, name)
        if value is None and name in ("steps", "marks"):
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"`{name}` of Spikes must be a tensor. Got {_kind(value)}.")
        if name in _DTYPES and value.dtype != _DTYPES[name]:
            raise TypeError(f"`{name}` of Spikes must be {_name(_DTYPES[name])}. Got {_name(value.dtype)}.")
        if name not in _DTYPES and not value.is_floating_point():
            raise TypeError(f"`{name}` of Spikes must be a floating type. Got {_name(value.dtype)}.")
        if name not in _DTYPES and value.dtype != spikes.times.dtype:
            raise TypeError(
                f"`{name}` of Spikes must have the type of `times`, {_name(spikes.times.dtype)}. "
                f"Got {_name(value.dtype)}."
            )
        if value.device != spikes.units.device:
            raise ValueError(
                f"`{name}` of Spikes must be on the device of `units`, {spikes.units.device}. Got {value.device}."
            )


def _shapes(spikes: Spikes) -> None:
    if not isinstance(spikes.unit_shape, tuple):
        raise TypeError(f"`unit_shape` of Spikes must be a tuple. Got {spikes.unit_shape!r}.")
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


def _offsets(name: str, offsets: Tensor, n_events: int) -> None:
    ends = offsets[[0, -1]].tolist() if offsets.numel() else []
    if ends != [0, n_events]:
        raise ValueError(f"`{name}` of Spikes must run from 0 to the number of events, {n_events}. Got {ends}.")
    falls = offsets.diff() < 0
    if bool(falls.any()):
        sample = _first(falls)
        raise ValueError(
            f"`{name}` of Spikes must be ascending. "
            f"Got {int(offsets[sample + 1])} after {int(offsets[sample])} at sample {sample}."
        )


def _window(spikes: Spikes) -> None:
    duration, dt = spikes.duration, spikes.dt
    _number("`duration` of Spikes", duration)
    if not (isfinite(duration) and duration > 0):
        raise ValueError(f"`duration` of Spikes must be a positive number of seconds. Got {duration}.")
    if (dt is None) != (spikes.steps is None):
        lonely = "steps" if dt is None else "dt"
        raise ValueError(f"`dt` and `steps` of Spikes must be given together. Got only `{lonely}`.")
    if dt is None:
        return
    _number("`dt` of Spikes", dt)
    if not 0 < dt <= duration * (1 + 1e-9):
        raise ValueError(f"`dt` of Spikes must be > 0 s and at most `duration`, {duration} s. Got {dt}.")
    steps = duration / dt
    if abs(steps - round(steps)) > _GRID_TOLERANCE:
        raise ValueError(
            f"`duration` of Spikes must be a whole number of steps of {dt} s. Got {duration} s, {steps} steps."
        )
    if steps > _INT32_MAX // 2:
        raise ValueError(f"`dt` of Spikes must give fewer than 2**30 steps. Got {dt} s in {duration} s.")


def _times(spikes: Spikes) -> None:
    for name in ("times", "amplitudes", "marks"):
        value = getattr(spikes, name)
        wrong = None if value is None else ~value.detach().isfinite()
        if wrong is not None and bool(wrong.any()):
            event = _first(wrong)
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
            raise TypeError(
                f"`support.{name}` of Spikes must be {_name(_DTYPES[name])}. Got {_name(value.dtype)}."
            )
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
        event = _first(falls) + 1
        sample = int(torch.searchsorted(offsets, event, right=True)) - 1
        raise ValueError(
            f"`{name}` of Spikes must ascend within a sample. "
            f"Got {values[event].item()} after {values[event - 1].item()} in sample {sample}."
        )


def _number(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds. Got {_kind(value)}.")


def _tensor(position: int, values: Any) -> Tensor:
    try:
        return values if isinstance(values, Tensor) else torch.tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"`samples[{position}]` must hold numbers. Got {_kind(values)}.") from error


def _first(mask: Tensor) -> int:
    return int(mask.to(torch.uint8).argmax())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    return f"a {_name(value.dtype)} tensor" if isinstance(value, Tensor) else type(value).__name__
