"""The rules of the arguments of `Spikes`' methods, in the manner of `check`."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ranvier.spikes import check

if TYPE_CHECKING:
    from ranvier.spikes.spikes import Spikes


def sample_indices(samples: Any, n_events: int, n_samples: Any) -> Tensor:
    """One ascending sample index per event as int64."""
    if not isinstance(samples, Tensor) or not check.is_integer(samples):
        raise TypeError(f"`samples` of from_events must be a whole-number tensor. Got {check.kind(samples)}.")
    if samples.shape != (n_events,):
        raise ValueError(
            f"`samples` of from_events must have one entry per event, ({n_events},). Got {tuple(samples.shape)}."
        )
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 0:
        raise ValueError(f"`n_samples` of from_events must be a whole number >= 0. Got {n_samples!r}.")
    samples = samples.to(torch.int64)
    falls = samples.diff() < 0
    if bool(falls.any()):
        event = check.first(falls) + 1
        raise ValueError(
            f"`samples` of from_events must be ascending. "
            f"Got {int(samples[event])} after {int(samples[event - 1])} at event {event}."
        )
    if n_events and (int(samples[0]) < 0 or int(samples[-1]) >= n_samples):
        worst = int(samples[0]) if int(samples[0]) < 0 else int(samples[-1])
        raise ValueError(f"`samples` of from_events must be >= 0 and < `n_samples`, {n_samples}. Got {worst}.")
    return samples


def event_tensors(times: Any, units: Any) -> None:
    """Refuse times and units of from_events that are not tensors."""
    for name, value in (("times", times), ("units", units)):
        if not isinstance(value, Tensor):
            raise TypeError(f"`{name}` of from_events must be a tensor. Got {check.kind(value)}.")


def pair(position: int, sample: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One sample's times, and its units as int64."""
    if not isinstance(sample, tuple | list) or len(cast(Sequence[Any], sample)) != 2:
        raise TypeError(f"`samples[{position}]` must be a (times, units) pair. Got {check.kind(sample)}.")
    times, units = _tensor(position, sample[0], dtype), _tensor(position, sample[1], None)
    if times.ndim != 1 or times.shape != units.shape:
        raise ValueError(
            f"`samples[{position}]` must hold as many times as units. "
            f"Got shapes {tuple(times.shape)} and {tuple(units.shape)}."
        )
    if units.numel() and not check.is_integer(units):
        raise TypeError(f"`samples[{position}]` must have whole-number units. Got {check.name_of(units.dtype)}.")
    if times.is_complex() or times.dtype == torch.bool:
        raise TypeError(f"`samples[{position}]` must have times in seconds. Got {check.name_of(times.dtype)}.")
    return times.to(dtype), units.to(torch.int64)


def common_device(pairs: Sequence[tuple[Tensor, Tensor]]) -> torch.device:
    """Where all samples' times and units are; the CPU for no samples."""
    devices = [values.device for pair in pairs for values in pair]
    for position, device in enumerate(devices):
        if device != devices[0]:
            raise ValueError(
                f"`samples` of from_samples must be on one device. "
                f"Got {devices[0]} and, in `samples[{position // 2}]`, {device}."
            )
    return devices[0] if devices else torch.device("cpu")


def selection(samples: Any, n_samples: int, device: torch.device) -> Tensor:
    """The chosen sample indices as an int64 vector."""
    if isinstance(samples, slice):
        chosen = range(n_samples)[samples]
        if not chosen:
            return torch.zeros(0, dtype=torch.int64, device=device)
        return torch.arange(chosen.start, chosen.stop, chosen.step, device=device)
    try:
        indices = samples if isinstance(samples, Tensor) else torch.tensor(samples)
    except (TypeError, ValueError, RuntimeError):
        indices = torch.empty(())
    if indices.dtype == torch.bool:
        if indices.shape != (n_samples,):
            raise IndexError(f"A mask of samples must have shape ({n_samples},). Got {tuple(indices.shape)}.")
        return indices.to(device).nonzero().flatten()
    if not isinstance(samples, Tensor) and not indices.numel():
        indices = indices.to(torch.int64)
    if not check.is_integer(indices) or indices.ndim > 1:
        raise TypeError(
            f"Samples must be chosen by a whole number, a list of them, a slice or a mask. Got {samples!r}."
        )
    indices = indices.reshape(-1).to(device, torch.int64)
    if not indices.numel():
        return indices
    lowest, highest = (int(bound) for bound in torch.aminmax(indices))
    if lowest < -n_samples or highest >= n_samples:
        wrong = (indices < -n_samples) | (indices >= n_samples)
        raise IndexError(
            f"A sample index must be >= -{n_samples} and < {n_samples}, the number of samples. "
            f"Got {int(indices[check.first(wrong)])}."
        )
    return indices if lowest >= 0 else torch.where(indices < 0, indices + n_samples, indices)


def collatable(batch: Sequence[Spikes]) -> None:
    """Refuse to join spikes of different layers, grids, durations or makers."""
    if not batch:
        raise ValueError("`batch` of collate must hold at least one Spikes. Got none.")
    first = batch[0]
    for position, spikes in enumerate(batch):
        if not hasattr(spikes, "offsets"):
            raise TypeError(f"`batch` of collate must hold Spikes. Got {check.kind(spikes)} at {position}.")
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
            raise ValueError(f"`batch` of collate must hold inputs, not a layer's activity. Got support at {position}.")
        if (spikes.marks is None) != (first.marks is None):
            raise ValueError(f"`batch` of collate must have marks everywhere or nowhere. Got a mixture at {position}.")


def mergeable(parts: Sequence[Spikes]) -> None:
    """Refuse to put spikes of different samples, grids or durations side by side."""
    if not parts:
        raise ValueError("`parts` of merge must hold at least one Spikes. Got none.")
    first = parts[0]
    for position, spikes in enumerate(parts):
        if not hasattr(spikes, "offsets"):
            raise TypeError(f"`parts` of merge must hold Spikes. Got {check.kind(spikes)} at {position}.")
        for name in ("n_samples", "duration", "dt"):
            if getattr(spikes, name) != getattr(first, name):
                raise ValueError(
                    f"`parts` of merge must share one `{name}`. "
                    f"Got {getattr(first, name)} and, at {position}, {getattr(spikes, name)}."
                )
        if spikes.times.device != first.times.device:
            raise ValueError(
                f"`parts` of merge must share one device. Got {first.times.device} and, at {position}, "
                f"{spikes.times.device}."
            )


def griddable(spikes: Spikes, dt: float, coincident: str) -> int:
    """The number of steps of a grid of `dt` over these spikes."""
    if coincident not in ("sum", "one"):
        raise ValueError(f"`coincident` of on_grid must be 'sum' or 'one'. Got {coincident!r}.")
    check.number("`dt` of on_grid", dt)
    if not 0 < dt <= spikes.duration:
        raise ValueError(f"`dt` of on_grid must be > 0 s and at most the duration, {spikes.duration} s. Got {dt}.")
    if spikes.support is not None:
        raise ValueError("`on_grid` takes inputs, not the activity of a surrogate layer. Got spikes with support.")
    if spikes.duration / dt > check.INT32_MAX // 2:
        raise ValueError(f"`dt` of on_grid must give fewer than 2**30 steps. Got {dt} s in {spikes.duration} s.")
    return max(round(spikes.duration / dt), 1)


def raster(raster: Any, dt: float) -> None:
    """Refuse what `from_dense` cannot read."""
    if not isinstance(raster, Tensor) or not raster.is_floating_point():
        raise TypeError(f"`raster` of from_dense must be a floating tensor. Got {check.kind(raster)}.")
    sizes = tuple(raster.shape)
    if raster.ndim < 3 or sizes[0] == 0 or prod(sizes[2:]) == 0:
        raise ValueError(
            f"`raster` of from_dense must be [time, batch, *unit], at least one step and unit. Got {sizes}."
        )
    check.number("`dt` of from_dense", dt)
    if not (isfinite(dt) and dt > 0):
        raise ValueError(f"`dt` of from_dense must be > 0 s. Got {dt}.")
    wrong = ~raster.detach().isfinite()
    if bool(wrong.any()):
        value = float(raster.detach().flatten()[check.first(wrong.flatten())])
        raise ValueError(f"`raster` of from_dense must be finite. Got {value}.")


def delay(delay: Any, spikes: Spikes) -> Tensor:
    """A delay in float64: no axis, or one entry per unit."""
    try:
        exact = torch.as_tensor(delay, device=spikes.times.device)
    except (TypeError, ValueError, RuntimeError):
        exact = torch.empty((), dtype=torch.bool)
    if exact.is_complex() or exact.dtype == torch.bool:
        raise TypeError(f"`delay` of delayed must be seconds, a number or a tensor. Got {check.kind(delay)}.")
    if exact.ndim and exact.shape != (spikes.n_units,):
        raise ValueError(
            f"`delay` of delayed must be one number or one per unit, ({spikes.n_units},). Got {tuple(exact.shape)}."
        )
    exact = torch.as_tensor(delay, dtype=torch.float64, device=spikes.times.device)
    wrong = ~(exact.detach().isfinite() & (exact.detach() >= 0))
    if bool(wrong.any()):
        unit = f" at unit {check.first(wrong)}" if exact.ndim else ""
        value = float(exact.detach().flatten()[check.first(wrong.flatten())])
        raise ValueError(f"`delay` of delayed must be finite and >= 0 s. Got {value}{unit}.")
    return exact


def complete(given: AbstractSet[str], names: AbstractSet[str]) -> None:
    """Refuse to build Spikes from too few or unknown fields."""
    if given != names:
        missing, unknown = sorted(names - given), sorted(given - names)
        raise TypeError(f"`trusted` must get the fields of Spikes. Got {missing} missing and {unknown} unknown.")


def _tensor(position: int, values: Any, dtype: torch.dtype | None) -> Tensor:
    try:
        return values if isinstance(values, Tensor) else torch.tensor(values, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"`samples[{position}]` must hold numbers. Got {check.kind(values)}.") from error
