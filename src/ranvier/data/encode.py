"""Latency codes: a value becomes the time of one spike.

Both encoders give at most one spike per unit and sample, of amplitude 1. Spikes of equal time are in the
order of their units. Times are computed in float64 and rounded once to float32.

Axis letters: B samples, n values, H rows, W columns.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ranvier.spikes import Spikes

_BRIGHTEST = 255
_FAINTEST_SPIKING = 2  # pixels of 0 and 1 are silent
_IMAGES_AT_ONCE = 8192  # bounds the working memory of the sort to some 100 MB for 28 x 28 pixels


def linear_latency(
    values: Float[Tensor, "batch value"],
    t_min: float,
    t_max: float,
    *,
    duration: float,
    bias_time: float | None = None,
) -> Spikes:
    """One spike per unit at t_min + value * (t_max - t_min): small values are early.

    This is the code of the Yin-Yang experiments of Wunderlich & Pehle, Sci. Rep. 11:12829 (2021), and of
    Göltz, Kriener et al., Nat. Mach. Intell. 3:823 (2021). The times are differentiable in `values`.

    Args:
        values: [B, n], in [0, 1].
        t_min: seconds, the time of value 0.
        t_max: seconds, the time of value 1, t_min < t_max <= duration.
        duration: seconds, of each sample.
        bias_time: seconds; if given, a further unit n spikes at that time in every sample.

    Returns:
        B samples in continuous time; `unit_shape` is (n,), with a bias unit (n + 1,).

    Raises:
        TypeError, ValueError: naming argument, rule and value received.
    """
    _check_values(values)
    if not 0 <= t_min < t_max <= duration:
        raise ValueError(
            f"`t_min`, `t_max` of linear_latency must satisfy 0 <= t_min < t_max <= duration, in seconds. "
            f"Got {t_min}, {t_max} and {duration}."
        )
    times = t_min + values.double() * (t_max - t_min)
    if bias_time is not None:
        if not 0 <= bias_time <= duration:
            raise ValueError(f"`bias_time` of linear_latency must be in 0 to duration, {duration} s. Got {bias_time}.")
        times = torch.cat([times, times.new_full((times.shape[0], 1), bias_time)], dim=1)
    n_samples, n_units = times.shape
    sorted_times, units = torch.sort(times.float(), dim=1, stable=True)
    sorted_times = sorted_times.reshape(-1)
    return Spikes(
        units=units.reshape(-1).to(torch.int32),
        times=sorted_times,
        amplitudes=torch.ones_like(sorted_times),
        offsets=torch.arange(n_samples + 1, device=values.device) * n_units,
        unit_shape=(n_units,),
        duration=duration,
    )


def pixel_latency(images: UInt8[Tensor, "batch row column"], t_max: float, *, duration: float) -> Spikes:
    """One spike per pixel p > 1, at (1 - p/255) * t_max: bright is early, 0 and 1 are silent.

    This is the code of the latency-MNIST experiment of Wunderlich & Pehle, Sci. Rep. 11:12829 (2021).

    Args:
        images: uint8 [B, H, W].
        t_max: seconds, 0 < t_max <= duration, the time that a pixel of 0 would have.
        duration: seconds, of each sample.

    Returns:
        B samples in continuous time; `unit_shape` is (H, W).

    Raises:
        TypeError, ValueError: naming argument, rule and value received.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"`images` of pixel_latency must be uint8. Got {str(images.dtype).removeprefix('torch.')}.")
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise ValueError(f"`images` of pixel_latency must have shape [batch, row, column]. Got {tuple(images.shape)}.")
    if not 0 < t_max <= duration:
        raise ValueError(f"`t_max` of pixel_latency must be > 0 s and at most the duration, {duration} s. Got {t_max}.")
    n_samples, n_rows, n_columns = images.shape
    pixels = images.reshape(n_samples, n_rows * n_columns)
    n_spikes = (pixels >= _FAINTEST_SPIKING).sum(1)
    firsts = range(0, max(n_samples, 1), _IMAGES_AT_ONCE)
    parts = [_brightest_first(pixels[first : first + _IMAGES_AT_ONCE]) for first in firsts]
    time_of = ((1 - torch.arange(_BRIGHTEST + 1, device=images.device).double() / _BRIGHTEST) * t_max).float()
    times = torch.cat([time_of[brightness.long()] for _, brightness in parts])
    return Spikes(
        units=torch.cat([units for units, _ in parts]),
        times=times,
        amplitudes=torch.ones_like(times),
        offsets=torch.cat([n_spikes.new_zeros(1), n_spikes.cumsum(0)]),
        unit_shape=(n_rows, n_columns),
        duration=duration,
    )


def _brightest_first(pixels: Tensor) -> tuple[Tensor, Tensor]:
    n_units = pixels.shape[1]
    cells = (pixels.reshape(-1) >= _FAINTEST_SPIKING).nonzero().squeeze(1)
    brightness = pixels.reshape(-1)[cells]
    rank = (cells // n_units) * (_BRIGHTEST + 1) + (_BRIGHTEST - brightness.to(torch.int64))
    order = torch.sort(rank.to(torch.int32), stable=True).indices
    return (cells[order] % n_units).to(torch.int32), brightness[order]


def _check_values(values: Tensor) -> None:
    if not values.is_floating_point():
        dtype = str(values.dtype).removeprefix("torch.")
        raise TypeError(f"`values` of linear_latency must be a floating type. Got {dtype}.")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"`values` of linear_latency must have shape [batch, value]. Got {tuple(values.shape)}.")
    wrong = ~((values >= 0) & (values <= 1))
    if bool(wrong.any()):
        raise ValueError(f"`values` of linear_latency must be in [0, 1]. Got {float(values[wrong][0])}.")
