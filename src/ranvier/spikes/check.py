"""The rules of `Spikes`, each broken with one sentence: argument, rule, value received."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ranvier.spikes.spikes import Spikes

_GRID_TOLERANCE = 1e-3  # of a step; float32 times of a grid are steps * dt only up to rounding


def is_integer(values: Tensor) -> bool:
    """Whether the tensor holds whole numbers."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def shape(unit_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """A unit shape as a tuple."""
    return (unit_shape,) if isinstance(unit_shape, int) else tuple(unit_shape)


def sample_indices(samples: Tensor, n_samples: int) -> None:
    """Refuse sample indices that are not whole, not ascending or out of range."""
    if not is_integer(samples) or samples.ndim != 1:
        raise TypeError(f"`samples` of Spikes must be a whole-number vector. Got {samples.dtype}, {samples.ndim} axes.")
    if samples.numel() == 0:
        return
    if bool((samples.diff() < 0).any()):
        raise ValueError(f"`samples` of Spikes must be ascending. Got a fall at event {_first(samples.diff() < 0) + 1}.")
    if int(samples[0]) < 0 or int(samples[-1]) >= n_samples:
        worst = int(samples[0]) if int(samples[0]) < 0 else int(samples[-1])
        raise ValueError(f"`samples` of Spikes must be in 0 to {n_samples - 1}. Got {worst}.")


def pair(index: int, sample: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One sample's (times, units) as tensors."""
    if not isinstance(sample, (tuple, list)) or len(sample) != 2:
        raise TypeError(f"`samples[{index}]` must be a (times, units) pair. Got {type(sample).__name__}.")
    times, units = torch.as_tensor(sample[0], dtype=dtype), torch.as_tensor(sample[1])
    if units.numel() == 0:
        units = units.to(torch.int32)
    if times.ndim != 1 or units.ndim != 1 or times.numel() != units.numel():
        raise ValueError(
            f"`samples[{index}]` must hold as many times as units. Got {tuple(times.shape)} and {tuple(units.shape)}."
        )
    if not is_integer(units):
        raise TypeError(f"`samples[{index}]` must have whole-number units. Got {units.dtype}.")
    return times, units.to(torch.int32)


def selection(samples: int | slice | Sequence[int] | Tensor, n_samples: int, device: torch.device) -> Tensor:
    """The chosen sample indices as an int64 vector."""
    if isinstance(samples, slice):
        return torch.arange(n_samples, device=device)[samples]
    indices = torch.as_tensor(samples, device=device)
    if indices.dtype == torch.bool:
        if tuple(indices.shape) != (n_samples,):
            raise IndexError(f"A sample mask must have shape ({n_samples},). Got {tuple(indices.shape)}.")
        return indices.nonzero().flatten()
    if indices.numel() == 0:
        return indices.reshape(-1).to(torch.int64)
    if not is_integer(indices) or indices.ndim > 1:
        raise TypeError(f"Samples are chosen by whole numbers, a slice or a mask. Got {samples!r}.")
    indices = indices.reshape(-1).to(torch.int64)
    wrong = (indices < -n_samples) | (indices >= n_samples)
    if bool(wrong.any()):
        raise IndexError(f"A sample index must be in 0 to {n_samples - 1}. Got {int(indices[_first(wrong)])}.")
    return torch.where(indices < 0, indices + n_samples, indices)


def collatable(batch: Sequence[Spikes]) -> None:
    """Refuse to join spikes of different layers, grids, durations or makers."""
    if not batch:
        raise ValueError("`batch` of collate must hold at least one Spikes. Got none.")
    first = batch[0]
    for index, spikes in enumerate(batch):
        for name in ("unit_shape", "duration", "dt"):
            if getattr(spikes, name) != getattr(first, name):
                raise ValueError(
                    f"`batch` of collate must share one `{name}`. "
                    f"Got {getattr(first, name)} and, at {index}, {getattr(spikes, name)}."
                )
        if spikes.support is not None:
            raise ValueError(f"`batch` of collate must hold inputs, not a layer's activity. Got support at {index}.")
        if (spikes.marks is None) != (first.marks is None):
            raise ValueError(f"`batch` of collate must have marks everywhere or nowhere. Got a mixture at {index}.")


def spikes(spikes: Spikes) -> None:
    """Check every rule of `Spikes`."""
    _types(spikes)
    _shapes(spikes)
    _offsets(spikes)
    _window(spikes)
    if spikes.n_events:
        _units(spikes)
        _times(spikes)
        _steps(spikes)


def _types(spikes: Spikes) -> None:
    rules = {"units": torch.int32, "steps": torch.int32, "offsets": torch.int64}
    for name in ("units", "times", "amplitudes", "offsets", "steps", "marks"):
        value = getattr(spikes, name)
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"`{name}` of Spikes must be a tensor. Got {type(value).__name__}.")
        if name in rules and value.dtype != rules[name]:
            raise TypeError(f"`{name}` of Spikes must be {_name(rules[name])}. Got {_name(value.dtype)}.")
        if name not in rules and not value.is_floating_point():
            raise TypeError(f"`{name}` of Spikes must be a floating type. Got {_name(value.dtype)}.")


def _shapes(spikes: Spikes) -> None:
    unit_shape = spikes.unit_shape
    if not isinstance(unit_shape, tuple) or not unit_shape or not all(isinstance(n, int) and n > 0 for n in unit_shape):
        raise ValueError(f"`unit_shape` of Spikes must be a tuple of positive whole numbers. Got {unit_shape!r}.")
    if prod(unit_shape) > torch.iinfo(torch.int32).max:
        raise ValueError(f"`unit_shape` of Spikes must hold fewer than 2**31 units. Got {unit_shape}.")
    for name in ("times", "amplitudes", "steps", "marks"):
        value = getattr(spikes, name)
        if value is not None and value.shape != spikes.units.shape:
            raise ValueError(
                f"`{name}` of Spikes must have one entry per unit index, {tuple(spikes.units.shape)}. "
                f"Got {tuple(value.shape)}."
            )
    if spikes.units.ndim != 1 or spikes.offsets.ndim != 1:
        axes = f"{spikes.units.ndim} and {spikes.offsets.ndim}"
        raise ValueError(f"`units` and `offsets` of Spikes must have one axis. Got {axes}.")


def _offsets(spikes: Spikes) -> None:
    offsets = spikes.offsets
    if offsets.numel() < 1 or int(offsets[0]) != 0 or int(offsets[-1]) != spikes.units.numel():
        raise ValueError(
            f"`offsets` of Spikes must run from 0 to the number of events, {spikes.units.numel()}. "
            f"Got {offsets[[0, -1]].tolist() if offsets.numel() else []}."
        )
    if bool((offsets.diff() < 0).any()):
        raise ValueError(f"`offsets` of Spikes must be ascending. Got a fall at {_first(offsets.diff() < 0) + 1}.")


def _window(spikes: Spikes) -> None:
    if not (isfinite(spikes.duration) and spikes.duration > 0):
        raise ValueError(f"`duration` of Spikes must be a positive number of seconds. Got {spikes.duration}.")
    if (spikes.dt is None) != (spikes.steps is None):
        raise ValueError("`dt` and `steps` of Spikes must be given together. Got only one of them.")
    if spikes.dt is None:
        return
    if not (isfinite(spikes.dt) and 0 < spikes.dt <= spikes.duration * (1 + 1e-9)):
        raise ValueError(f"`dt` of Spikes must be > 0 s and at most the duration. Got {spikes.dt}.")
    steps = spikes.duration / spikes.dt
    if abs(steps - round(steps)) > _GRID_TOLERANCE:
        raise ValueError(f"`duration` of Spikes must be a whole number of steps. Got {steps} steps.")


def _units(spikes: Spikes) -> None:
    lowest, highest = int(spikes.units.min()), int(spikes.units.max())
    if lowest < 0 or highest >= spikes.n_units:
        worst = lowest if lowest < 0 else highest
        raise ValueError(f"`units` of Spikes must be in 0 to {spikes.n_units - 1}. Got {worst}.")


def _times(spikes: Spikes) -> None:
    times = spikes.times.detach()
    for name, value in (("times", times), ("amplitudes", spikes.amplitudes.detach())):
        if not bool(value.isfinite().all()):
            wrong = ~value.isfinite()
            raise ValueError(
                f"`{name}` of Spikes must be finite. Got {float(value[_first(wrong)])} at event {_first(wrong)}."
            )
    if float(times.min()) < 0:
        raise ValueError(f"`times` of Spikes must be >= 0 s. Got {float(times.min())}.")
    if float(times.max()) > spikes.duration * (1 + 1e-6):
        raise ValueError(f"`times` of Spikes must be at most `duration`, {spikes.duration} s. Got {float(times.max())}.")
    _ascending("times", times, spikes.offsets)


def _steps(spikes: Spikes) -> None:
    if spikes.steps is None or spikes.dt is None:
        return
    lowest, highest = int(spikes.steps.min()), int(spikes.steps.max())
    if lowest < 0 or highest >= spikes.n_steps:
        worst = lowest if lowest < 0 else highest
        raise ValueError(f"`steps` of Spikes must be in 0 to {spikes.n_steps - 1}. Got {worst}.")
    _ascending("steps", spikes.steps, spikes.offsets)
    apart = (spikes.times.detach().double() - spikes.steps.double() * spikes.dt).abs()
    slack = _GRID_TOLERANCE * spikes.dt + torch.finfo(spikes.times.dtype).eps * spikes.duration
    if float(apart.max()) > slack:
        worst = int(apart.argmax())
        raise ValueError(
            f"`times` of Spikes on a grid must be steps * dt. "
            f"Got {float(spikes.times[worst])} s at step {int(spikes.steps[worst])} of {spikes.dt} s."
        )


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


def _first(mask: Tensor) -> int:
    return int(mask.to(torch.uint8).argmax())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
