"""`Spikes`: what travels between layers.

A spike has a time and an amplitude. Events are sorted by sample, then time; a batch is the concatenation of
its samples, ragged and unpadded. `times` and `amplitudes` are ordinary autograd tensors: exact gradients flow
through the times, surrogate gradients through the amplitudes and through `support`, the silent cells where a
surrogate derivative is not zero. Rate penalties read `marks`, ones that only `counts` and `rates` look at.

Axis letters: E events, B samples, T grid steps, N units, S cells of the support.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from math import prod
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.spikes import arguments, check, ragged

_PER_EVENT = ("units", "times", "amplitudes", "steps", "marks")


@dataclass(frozen=True, eq=False)
class Support:
    """Silent cells that carry gradient: zeros whose gradient is the surrogate's.

    Dense (every cell of the raster): `values` is [T, B, N], a stride-0 zero that holds no memory, and the
    other fields are None. Its producer drops the gradient that arrives at cells that hold a spike, for
    `Spikes.amplitudes` owns them; a consumer need not know.
    Compact (a list, for surrogates of bounded width): `values` [S] with `units`, `steps` [S] and `offsets`
    [B+1], sorted by sample, then step, and disjoint from the spikes.
    """

    values: Tensor
    units: Tensor | None = None
    steps: Tensor | None = None
    offsets: Tensor | None = None

    @property
    def is_dense(self) -> bool:
        """Whether every cell of the raster belongs to the support."""
        return self.units is None


@dataclass(frozen=True)
class Record:
    """What the op that made the spikes reports: which path ran, and what it counted.

    `collate` adds the counts of its parts; a selection of samples starts anew, as nobody counted per sample.

    Attributes:
        backend: "reference" or "numba" for computed spikes, "input" for given ones.
        clipped: spikes whose slope EventProp's `min_slope` raised.
        dropped: events past the end of the window, left out by `on_grid` or `delayed`.
        truncated: units that were silenced because they spiked too often (continuous time).
    """

    backend: str = "input"
    clipped: int = 0
    dropped: int = 0
    truncated: int = 0


@dataclass(frozen=True, eq=False)
class Spikes:
    """A batch of events. See the module's docstring for the idea, `from_*` for the ways to make one.

    Attributes:
        units: int32 [E], flat C-order index into `unit_shape`, 0 <= unit < n_units.
        times: float [E], seconds, 0 <= time <= duration, ascending within a sample; on a grid, steps * dt.
        amplitudes: float [E], 1 for a spike.
        offsets: int64 [B+1], from 0 to E: sample b owns events offsets[b] to offsets[b+1].
        unit_shape: shape of the layer that sends.
        duration: seconds, > 0, the same for all samples.
        steps: int32 [E] on a grid, 0 <= step < n_steps; None in continuous time.
        dt: grid step in seconds; None in continuous time.
        support: silent cells that carry a surrogate gradient.
        marks: float [E], ones that only `counts` reads (from layers whose amplitudes carry no gradient).
        membrane: float [B, N], V of the sending layer at the end, differentiable: the handle on its silent units for
            losses in continuous time. None where the sender kept none; delays and grids drop it.
        record: what the producing op reports.

    Raises:
        TypeError, ValueError: at construction, naming argument, rule and value received.
    """

    units: Tensor
    times: Tensor
    amplitudes: Tensor
    offsets: Tensor
    unit_shape: tuple[int, ...]
    duration: float
    steps: Tensor | None = None
    dt: float | None = None
    support: Support | None = None
    marks: Tensor | None = None
    membrane: Tensor | None = None
    record: Record = Record()

    def __post_init__(self) -> None:
        check.spikes(self)

    @classmethod
    def trusted(cls, **values: Any) -> Spikes:
        """Build without looking at the values, for code that made the arrays itself. Fields go by name."""
        spikes = object.__new__(cls)
        given = _optional() | values
        arguments.complete(given.keys(), cls.__dataclass_fields__.keys())
        spikes.__dict__.update(given)
        return spikes

    def _with(self, **changes: Any) -> Spikes:
        return self.trusted(**self.__dict__ | changes)

    @classmethod
    def from_events(
        cls,
        samples: Tensor,
        times: Tensor,
        units: Tensor,
        *,
        n_samples: int,
        unit_shape: int | tuple[int, ...],
        duration: float,
        amplitudes: Tensor | None = None,
    ) -> Spikes:
        """From one flat event list with a sample index per event.

        Args:
            samples: [E], ascending, 0 <= sample < n_samples.
            times: [E], seconds, ascending within a sample.
            units: [E], flat unit indices of any whole-number type.
            n_samples: B; samples without events are allowed.
            unit_shape: N, or the shape whose C-order index `units` is.
            duration: seconds.
            amplitudes: [E]; ones by default.
        """
        arguments.event_tensors(times, units)
        samples = arguments.sample_indices(samples, units.numel(), n_samples)
        sizes = check.shape(unit_shape)
        return cls(
            units=check.unit_indices(units, sizes),
            times=times,
            amplitudes=torch.ones_like(times) if amplitudes is None else amplitudes,
            offsets=ragged.offsets_of(samples, n_samples),
            unit_shape=sizes,
            duration=duration,
        )

    @classmethod
    def from_samples(
        cls,
        samples: Sequence[tuple[Any, Any]],
        *,
        unit_shape: int | tuple[int, ...],
        duration: float,
        dtype: torch.dtype = torch.float32,
    ) -> Spikes:
        """From one `(times, units)` pair per sample (lists, arrays, tensors; times in seconds, ascending)."""
        pairs = [arguments.pair(position, sample, dtype) for position, sample in enumerate(samples)]
        sizes = check.shape(unit_shape)
        device = arguments.common_device(pairs)
        times = torch.cat([torch.zeros(0, dtype=dtype, device=device), *(times for times, _ in pairs)])
        units = torch.cat([torch.zeros(0, dtype=torch.int64, device=device), *(units for _, units in pairs)])
        return cls(
            units=check.unit_indices(units, sizes),
            times=times,
            amplitudes=torch.ones_like(times),
            offsets=torch.tensor([0, *(times.numel() for times, _ in pairs)]).cumsum(0).to(times.device),
            unit_shape=sizes,
            duration=duration,
        )

    @classmethod
    def from_dense(cls, raster: Tensor, *, dt: float) -> Spikes:
        """From a dense raster [T, B, *unit]: every non-zero cell becomes an event with that amplitude.

        A raster that requires grad gets its exact gradient everywhere: silent cells become a dense support.
        """
        from ranvier.spikes.dense import from_dense

        return from_dense(raster, dt)

    @property
    def n_samples(self) -> int:
        """B, the number of samples."""
        return self.offsets.numel() - 1

    @property
    def n_units(self) -> int:
        """N, the number of units of the sending layer."""
        return prod(self.unit_shape)

    @property
    def n_events(self) -> int:
        """E, the number of events of the whole batch."""
        return self.units.numel()

    @property
    def n_steps(self) -> int:
        """T, the number of grid steps. Raises in continuous time."""
        return round(self.duration / self.on_grid_only("n_steps"))

    def on_grid_only(self, name: str) -> float:
        """The grid step, or a ValueError that says `name` needs a grid."""
        if self.dt is None:
            raise ValueError(f"`{name}` needs spikes on a time grid; call `on_grid(dt)` first. Got continuous time.")
        return self.dt

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, samples: SupportsIndex | slice | Sequence[int] | np.ndarray | Tensor) -> Spikes:
        """Some of the samples, in the given order; the batch axis stays."""
        indices = arguments.selection(samples, self.n_samples, self.offsets.device)
        events, offsets = ragged.gather_samples(self.offsets, indices)
        chosen = {
            name: None if (value := getattr(self, name)) is None else value.index_select(0, events)
            for name in _PER_EVENT
        }
        support, record = self._support_of(indices), Record(self.record.backend)
        membrane = None if self.membrane is None else self.membrane.index_select(0, indices)
        return self._with(**chosen, offsets=offsets, support=support, membrane=membrane, record=record)

    def _support_of(self, indices: Tensor) -> Support | None:
        support = self.support
        if support is None:
            return None
        if support.units is None or support.steps is None or support.offsets is None:
            return Support(support.values[:, indices])
        cells, offsets = ragged.gather_samples(support.offsets, indices)
        return Support(support.values[cells], support.units[cells], support.steps[cells], offsets)

    def to(self, target: torch.device | str | torch.dtype) -> Spikes:
        """Move to a device, or convert times, amplitudes, marks and support to a floating dtype."""
        if isinstance(target, torch.dtype) and not target.is_floating_point:
            raise TypeError(f"`target` of Spikes.to must be a device or a floating dtype. Got {target}.")

        dtype = target if isinstance(target, torch.dtype) else None

        def moved(values: dict[str, Any]) -> dict[str, Any]:
            return {
                name: value.to(target)
                for name, value in values.items()
                if isinstance(value, Tensor) and (value.is_floating_point() or dtype is None)
            }

        spikes = self._with(**moved(self.__dict__))
        if spikes.steps is not None and spikes.dt is not None and dtype is not None:
            from ranvier.spikes.grid import times_at

            spikes = spikes._with(times=times_at(spikes.steps, spikes.dt, spikes.times))
        if self.support is not None:
            spikes = spikes._with(support=replace(self.support, **moved(self.support.__dict__)))
        return spikes

    def on_grid(self, dt: float, *, coincident: Literal["sum", "one"]) -> Spikes:
        """Round every event to the nearest step of a grid of `dt` seconds.

        Rounding is done in float64, a half-way event goes to the even step; n_steps is duration / dt rounded;
        an event that rounds to step n_steps or beyond is dropped and counted in `record.dropped`. Spikes that
        are on a grid already are rounded from their steps. The gradient with respect to the times passes
        straight through.

        Args:
            dt: seconds, 0 < dt <= duration.
            coincident: what becomes of several events of one unit in one step: "sum" adds their amplitudes
                (and marks) into one event, "one" keeps the first and drops the others, uncounted.
        """
        from ranvier.spikes.grid import on_grid

        return on_grid(self, dt, coincident)

    def delayed(self, delay: float | Tensor) -> Spikes:
        """Every spike, and its support, later by `delay` seconds (axonal: for all units, or [N], per unit).

        On a grid steps move by the delay rounded to the grid and the gradient passes straight through. What
        would end past `duration` is left out, with zero gradient, and counted in `record.dropped`. Negative
        delays are refused.
        """
        from ranvier.spikes.delay import delayed

        return delayed(self, delay)

    def counts(self) -> Float[Tensor, "batch unit"]:
        """Spikes per sample and unit [B, N], differentiable for rate penalties.

        The sum of `marks` where the producer emits them, else of the amplitudes (silent support included).
        """
        from ranvier.spikes.measure import counts

        return counts(self)

    def rates(self) -> Float[Tensor, "batch unit"]:
        """`counts` per second [B, N], in Hz."""
        return self.counts() / self.duration

    def first_times(self) -> Float[Tensor, "batch unit"]:
        """Time of each unit's first spike [B, N], in s, infinite where silent; differentiable in `times`."""
        from ranvier.spikes.measure import first_times

        return first_times(self)

    def to_dense(self) -> Float[Tensor, "time batch *unit"]:
        """The raster [T, B, *unit_shape] of amplitudes, differentiable also in the support. Needs a grid."""
        from ranvier.spikes.dense import to_dense

        return to_dense(self)


def collate(batch: Sequence[Spikes]) -> Spikes:
    """Concatenate the samples of several Spikes of one layer, grid and duration into one."""
    arguments.collatable(batch)
    first, records = batch[0], [spikes.record for spikes in batch]
    lengths = torch.cat([spikes.offsets.diff() for spikes in batch])
    joined = {
        name: None if getattr(first, name) is None else torch.cat([getattr(spikes, name) for spikes in batch])
        for name in _PER_EVENT
    }
    record = Record(
        backend=first.record.backend,
        clipped=sum(record.clipped for record in records),
        dropped=sum(record.dropped for record in records),
        truncated=sum(record.truncated for record in records),
    )
    return first._with(  # pyright: ignore[reportPrivateUsage]
        **joined, offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), membrane=None, record=record
    )


@cache
def _optional() -> dict[str, Any]:
    return {field.name: field.default for field in fields(Spikes) if field.default is not MISSING}
