"""The border to dense rasters [T, B, *unit]."""

import torch
from torch import Tensor

from ranvier.spikes import ragged
from ranvier.spikes.spikes import Spikes, Support


def from_dense(cls: type[Spikes], raster: Tensor, dt: float) -> Spikes:
    """See `Spikes.from_dense`."""
    if raster.ndim < 3 or not raster.is_floating_point():
        raise ValueError(
            f"`raster` of from_dense must be a floating tensor [time, batch, *unit]. "
            f"Got {tuple(raster.shape)}, {raster.dtype}."
        )
    if not dt > 0:
        raise ValueError(f"`dt` of from_dense must be > 0 s. Got {dt}.")
    if not bool(raster.isfinite().all()):
        raise ValueError("`raster` of from_dense must be finite. Got NaN or infinity.")
    n_steps, n_samples = raster.shape[:2]
    flat = raster.flatten(2)
    sample, step, unit = (flat.detach() != 0).transpose(0, 1).nonzero(as_tuple=True)
    silent = Support(flat - flat.detach()) if raster.requires_grad else None
    return cls(
        units=unit.to(torch.int32),
        times=(step.double() * dt).to(raster.dtype),
        amplitudes=flat[step, sample, unit],
        offsets=ragged.offsets_of(sample, n_samples),
        unit_shape=tuple(raster.shape[2:]),
        duration=n_steps * dt,
        steps=step.to(torch.int32),
        dt=dt,
        support=silent,
    )


def to_dense(spikes: Spikes) -> Tensor:
    """See `Spikes.to_dense`."""
    spikes.on_grid_only("to_dense")
    assert spikes.steps is not None
    shape = (spikes.n_steps, spikes.n_samples, spikes.n_units)
    cells = (spikes.steps.long(), ragged.samples_of(spikes.offsets), spikes.units.long())
    raster = _background(spikes, shape)
    if raster is None:
        raster = spikes.amplitudes.new_zeros(shape)
    else:
        silent = torch.ones(shape, dtype=torch.bool, device=raster.device).index_put(
            cells, torch.zeros((), dtype=torch.bool, device=raster.device)
        )
        raster = raster * silent
    return raster.index_put(cells, spikes.amplitudes, accumulate=True).view(*shape[:2], *spikes.unit_shape)


def _background(spikes: Spikes, shape: tuple[int, int, int]) -> Tensor | None:
    """The silent cells' zeros, with their gradient."""
    support = spikes.support
    if support is None:
        return None
    if support.units is None or support.steps is None or support.offsets is None:
        return support.values
    cells = (support.steps.long(), ragged.samples_of(support.offsets), support.units.long())
    return support.values.new_zeros(shape).index_put(cells, support.values, accumulate=True)
