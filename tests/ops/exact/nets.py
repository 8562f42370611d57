"""Networks for the tests of the exact engine: every number is a leaf, times are in whatever unit the test likes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ranvier.gradients import EventProp
from ranvier.neurons import Continuous
from ranvier.ops.exact import exact
from ranvier.spikes import Spikes

BACKENDS = ("reference", "numba")


class Structure(NamedTuple):
    """What a kernel is compiled for, beside the number type."""

    recurrent: bool
    delays: bool
    per_unit: bool
    refractory: float


# Every kernel is here, and every option of each; the slow tests draw all combinations.
STRUCTURES = (
    Structure(recurrent=False, delays=False, per_unit=False, refractory=0.0),
    Structure(recurrent=False, delays=False, per_unit=True, refractory=0.0),
    Structure(recurrent=False, delays=False, per_unit=False, refractory=4e-3),
    Structure(recurrent=False, delays=False, per_unit=False, refractory=math.inf),
    Structure(recurrent=False, delays=True, per_unit=False, refractory=0.0),
    Structure(recurrent=False, delays=True, per_unit=True, refractory=4e-3),
    Structure(recurrent=True, delays=False, per_unit=False, refractory=0.0),
    Structure(recurrent=True, delays=False, per_unit=True, refractory=0.0),
    Structure(recurrent=True, delays=False, per_unit=False, refractory=4e-3),
    Structure(recurrent=True, delays=False, per_unit=False, refractory=math.inf),
    Structure(recurrent=True, delays=True, per_unit=False, refractory=0.0),
    Structure(recurrent=True, delays=True, per_unit=False, refractory=4e-3),
    Structure(recurrent=True, delays=True, per_unit=False, refractory=math.inf),
)
NUMBERS = ("tau_mem", "tau_syn", "threshold", "bias")
ADAPTIVE = ("tau_adapt", "adaptation")
STATES = ("V", "I", "a")
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Net:
    """One layer and its input.

    Attributes:
        values: times, amplitudes, w_in, tau_mem, tau_syn, threshold, bias; where there are any w_rec, d_in, d_rec and
            initial states.
        units, offsets: whose events these are.
        duration, refractory, min_slope, limit: as the op takes them.
    """

    values: Values
    units: Tensor
    offsets: Tensor
    duration: float
    refractory: float = 0.0
    min_slope: float = 0.01
    limit: int = 1000
    options: dict[str, Any] = field(default_factory=dict)

    def with_values(self, **values: Tensor) -> Net:
        return replace(self, values=self.values | values)

    def to(self, dtype: torch.dtype) -> Net:
        """Weights, events and states in a dtype; what describes the neuron stays float64."""
        return self.with_values(
            **{
                name: value.to(dtype)
                for name, value in self.values.items()
                if name not in (*NUMBERS, *ADAPTIVE, "d_in", "d_rec")
            }
        )

    def leaves(self) -> Net:
        return self.with_values(
            **{name: value.detach().clone().requires_grad_() for name, value in self.values.items()}
        )

    @property
    def spikes(self) -> Spikes:
        return Spikes.trusted(
            units=self.units,
            times=self.values["times"],
            amplitudes=self.values["amplitudes"],
            offsets=self.offsets,
            unit_shape=(self.values["w_in"].shape[0],),
            duration=self.duration,
        )

    @property
    def neuron(self) -> Continuous:
        """The numbers; all per unit as soon as one is."""
        names = [name for name in (*NUMBERS, *ADAPTIVE) if name in self.values]
        numbers = torch.broadcast_tensors(*(self.values[name] for name in names))
        states = STATES if "adaptation" in names else STATES[:2]
        return Continuous(states, **dict(zip(names, numbers, strict=True)), refractory=self.refractory)

    def run(self, backend: str, **options: Any) -> tuple[Spikes, Values]:
        values = self.values
        return exact(
            self.spikes,
            values["w_in"],
            values.get("w_rec"),
            self.neuron,
            EventProp(self.min_slope),
            d_in=values.get("d_in"),
            d_rec=values.get("d_rec"),
            state={name: values[name] for name in STATES if name in values} or None,
            max_spikes_per_unit=self.limit,
            backend=backend,
            **(self.options | options),
        )


def net(
    events: Sequence[tuple[Sequence[float], Sequence[int]]],
    w_in: Sequence[Sequence[float]] | Tensor,
    *,
    duration: float,
    tau_mem: float | Tensor = 20.0,
    tau_syn: float | Tensor = 5.0,
    threshold: float | Tensor = 1.0,
    bias: float | Tensor = 0.0,
    refractory: float = 0.0,
    min_slope: float = 0.01,
    limit: int = 1000,
    **more: Any,
) -> Net:
    """A net in float64 from one `(times, units)` pair per sample."""
    w = real(w_in)
    spikes = Spikes.from_samples(events, unit_shape=w.shape[0], duration=duration, dtype=torch.float64)
    values = {"times": spikes.times, "amplitudes": spikes.amplitudes, "w_in": w}
    numbers = {"tau_mem": tau_mem, "tau_syn": tau_syn, "threshold": threshold, "bias": bias}
    values |= {name: real(value) for name, value in (numbers | more).items() if value is not None}
    return Net(values, spikes.units, spikes.offsets, duration, refractory, min_slope, limit)


def real(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def gradients(loss: Tensor, values: Mapping[str, Tensor], *, keep: bool = False) -> Values:
    """dL/d(value) by name; zero where the loss does not depend on it."""
    found = torch.autograd.grad(loss, list(values.values()), allow_unused=True, retain_graph=keep)
    return {
        name: torch.zeros_like(value) if grad is None else grad
        for (name, value), grad in zip(values.items(), found, strict=True)
    }


def random_net(
    seed: int,
    *,
    n_samples: int = 1,
    n_in: int = 3,
    n_units: int = 3,
    n_events: int = 8,
    recurrent: bool = False,
    delays: bool = False,
    equal: bool = False,
    per_unit: bool = False,
    bias: float | None = None,
    refractory: float = 0.0,
    state: bool = False,
    min_slope: float = 0.0,
    adaptive: bool = False,
) -> Net:
    """A layer of a few units in seconds that mostly spikes a few times each.

    Args:
        seed: of everything random.
        n_samples, n_in, n_units, n_events: sizes; every sample has `n_events` events, apart from each other.
        recurrent, delays: weights between the units; synaptic delays of all synapses.
        equal: whether the time constants are.
        per_unit: different time constants, thresholds and biases.
        bias: its size; None for none.
        refractory: s.
        state: start from a random V and I.
        min_slope: of EventProp.
        adaptive: whether the threshold is.
    """
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=g, dtype=torch.float64)

    def normal(mean: float, std: float, *shape: int) -> Tensor:
        return mean + std * torch.randn(shape, generator=g, dtype=torch.float64)

    shape = (n_units,) if per_unit else ()
    tau_mem = uniform(8e-3, 25e-3, *shape)
    values = {
        "times": torch.cat([uniform(0.5e-3, 30e-3, n_events).sort().values for _ in range(n_samples)] or [real([])]),
        "amplitudes": uniform(0.7, 1.3, n_samples * n_events),
        "w_in": normal(1.5, 2.5, n_in, n_units),
        "tau_mem": tau_mem,
        "tau_syn": tau_mem.clone() if equal else uniform(3e-3, 12e-3, *shape),
        "threshold": uniform(0.7, 1.5, *shape),
        "bias": bias * uniform(-1, 1, *shape) if bias else torch.zeros(shape, dtype=torch.float64),
    }
    if recurrent:
        values["w_rec"] = normal(-1.0, 1.5, n_units, n_units)
    if delays:
        values["d_in"] = uniform(0.1e-3, 8e-3, n_in, n_units)
    if delays and recurrent:
        values["d_rec"] = uniform(0.1e-3, 8e-3, n_units, n_units)
    if state:
        values["V"] = normal(0.0, 0.3, n_samples, n_units)
        values["I"] = normal(0.0, 1.0, n_samples, n_units)
    units = torch.randint(n_in, (n_samples * n_events,), generator=g, dtype=torch.int32)
    if adaptive:
        values["tau_adapt"] = tau_mem.clone() if equal else uniform(5e-3, 60e-3, *shape)
        values["adaptation"] = uniform(0.1, 0.8, *shape)
    if adaptive and state:
        values["a"] = normal(0.3, 0.3, n_samples, n_units)
    offsets = torch.arange(n_samples + 1) * n_events
    return Net(values, units, offsets, 60e-3, refractory, min_slope)
