"""A layer of spiking neurons: input weights, optional recurrent weights, a neuron model and a gradient."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.gradients import EventProp, Gradient
from ranvier.layers import check, init
from ranvier.layers.delays import DelayParameters, Delays
from ranvier.layers.parameters import Bounds, NeuronParameters
from ranvier.neurons import CubaLIF, Dynamics, Neuron, continuous, dynamics
from ranvier.ops.clocked import clocked
from ranvier.ops.clocked.op import Backend, State
from ranvier.ops.exact import exact
from ranvier.spikes import Spikes


class Spiking(nn.Module):
    """Spikes in, spikes out.

    Args:
        n_in: number of input units.
        n_out: number of neurons.
        neuron: the model, with its values and what of it to learn.
        recurrent: whether the neurons are connected among themselves.
        gradient: how credit flows back: `EventProp()` or `Surrogate(...)`.
        weights: rule that draws `w_in` [n_in, n_out]; by default normal, mean 0, such that one synchronous
            volley of all inputs has standard deviation 10 in the entered state.
        recurrent_weights: rule that draws `w_rec` [n_out, n_out]; by default normal, a volley's standard
            deviation being 1.
        delays: synaptic delays of the input connections [n_in, n_out], or None.
        recurrent_delays: synaptic delays of the recurrent connections [n_out, n_out], or None.
        bounds: lowest and highest value, by name, of what the neuron learns: `{"tau_mem": (3e-3, inf)}`. They hold by
            construction.
        max_spikes_per_unit: in continuous time, a unit that spikes more often in one sample is a runaway.
        overflow: what becomes of one: "raise" an error, or "truncate": silence from there on, counted in the record.
        generator: source of randomness for the weights.
        backend: "auto", "reference" or "numba".

    Attributes:
        w_in: [n_in, n_out].
        w_rec: [n_out, n_out] (from, to), or None.

    Raises:
        ValueError, TypeError: naming argument, rule and value.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        neuron: Neuron | None = None,
        *,
        recurrent: bool = False,
        gradient: Gradient | None = None,
        weights: init.Initialiser | None = None,
        recurrent_weights: init.Initialiser | None = None,
        delays: Delays | None = None,
        recurrent_delays: Delays | None = None,
        bounds: Bounds | None = None,
        max_spikes_per_unit: int = 1000,
        overflow: Literal["raise", "truncate"] = "raise",
        generator: torch.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.n_in, self.n_out = check.sizes("Spiking", n_in, n_out)
        self.neuron: Neuron = CubaLIF() if neuron is None else neuron
        check.neuron("Spiking", self.neuron, n_out, spiking=True)
        if recurrent_weights is not None and not recurrent:
            raise ValueError("`recurrent_weights` of Spiking need `recurrent=True`. Got recurrent=False.")
        if recurrent_delays is not None and not recurrent:
            raise ValueError("`recurrent_delays` of Spiking need `recurrent=True`. Got recurrent=False.")
        self.max_spikes_per_unit = check.spike_limit("Spiking", max_spikes_per_unit)
        self.overflow: Literal["raise", "truncate"] = check.overflow("Spiking", overflow)
        self.backend: Backend = check.backend("Spiking", backend)
        self.gradient: Gradient = check.gradient(EventProp() if gradient is None else gradient, self.neuron)
        self.w_in = _drawn("weights", weights or init.fan_in(0.0, 10.0), (n_in, n_out), generator)
        rule = recurrent_weights or init.fan_in(0.0, 1.0)
        self.w_rec = _drawn("recurrent_weights", rule, (n_out, n_out), generator) if recurrent else None
        self.delays = None if delays is None else DelayParameters(delays, (n_in, n_out), generator)
        self.recurrent_delays = (
            None if recurrent_delays is None else DelayParameters(recurrent_delays, (n_out, n_out), generator)
        )
        self.learned = NeuronParameters(self.neuron, bounds)

    def forward(self, spikes: Spikes, state: State | None = None, forced: Spikes | None = None) -> Spikes:
        """The emitted spikes; see `advance` for the arguments."""
        return self.advance(spikes, state, forced)[0]

    def advance(
        self, spikes: Spikes, state: State | None = None, forced: Spikes | None = None
    ) -> tuple[Spikes, dict[str, Float[Tensor, "batch unit"]]]:
        """The emitted spikes and the final state, from which the next chunk of a long sequence goes on.

        Args:
            spikes: input on a grid, or in continuous time: that decides which engine runs.
            state: initial states by name, [B, n_out] each; zero where not given.
            forced: spikes to emit instead of the threshold's; on a grid only.
        """
        if check.on_grid("Spiking", spikes):
            return clocked(
                spikes,
                self.w_in,
                self.w_rec,
                self.dynamics(spikes.on_grid_only("Spiking")),
                self.gradient,
                state=state,
                forced=forced,
                backend=self.backend,
                **self._delays(),
            )
        if forced is not None:
            raise ValueError(
                "`forced` of Spiking must be None in continuous time; call `on_grid(dt)` first. Got spikes."
            )
        return exact(
            spikes,
            self.w_in,
            self.w_rec,
            continuous(self.neuron, self.learned.values(), self.w_in.device),
            check.continuous_gradient(self.gradient),
            state=state,
            max_spikes_per_unit=self.max_spikes_per_unit,
            overflow=self.overflow,
            backend=self.backend,
            **self._delays(),
        )

    def _delays(self) -> dict[str, Tensor]:
        own = (("d_in", self.delays), ("d_rec", self.recurrent_delays))
        return {name: delays.values() for name, delays in own if delays is not None}

    def dynamics(self, dt: float) -> Dynamics:
        """The layer's neurons as numbers on a grid of `dt` seconds."""
        return dynamics(self.neuron, dt, self.learned.values(), self.w_in.dtype, self.w_in.device)

    def extra_repr(self) -> str:
        """For printing."""
        sizes, recurrent = f"{self.n_in}, {self.n_out}", self.w_rec is not None
        return f"{sizes}, {self.neuron}, recurrent={recurrent}, gradient={self.gradient}"


def _drawn(
    name: str, rule: init.Initialiser, shape: tuple[int, int], generator: torch.Generator | None
) -> nn.Parameter:
    return nn.Parameter(check.weights(f"`{name}` of Spiking", rule(shape, generator), shape))
