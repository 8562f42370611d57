"""A layer of leaky integrators: spikes in, membranes out, as traces on a grid and as functions of continuous time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.layers import check, init
from ranvier.layers.parameters import Bounds, NeuronParameters
from ranvier.neurons import LI, Dynamics, Neuron, dynamics
from ranvier.neurons.continuous import continuous
from ranvier.ops.clocked.op import Backend, State
from ranvier.ops.membrane import Membrane
from ranvier.ops.readout import readout
from ranvier.spikes import Spikes


class Readout(nn.Module):
    """Leaky integrators without threshold.

    Args:
        n_in: number of input units.
        n_out: number of integrators.
        neuron: the model, with its values and what of it to learn.
        weights: rule that draws `w_in` [n_in, n_out]; by default normal, a synchronous volley's standard
            deviation being 1.
        bounds: lowest and highest value, by name, of what the neuron learns; see `Spiking`.
        generator: source of randomness for the weights.
        backend: "auto", "reference" or "numba".

    Attributes:
        w_in: [n_in, n_out].
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        neuron: Neuron | None = None,
        *,
        weights: init.Initialiser | None = None,
        bounds: Bounds | None = None,
        generator: torch.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.n_in, self.n_out = check.sizes("Readout", n_in, n_out)
        self.neuron: Neuron = LI() if neuron is None else neuron
        check.neuron("Readout", self.neuron, n_out, spiking=False)
        self.backend: Backend = check.backend("Readout", backend)
        drawn = (weights or init.fan_in(0.0, 1.0))((n_in, n_out), generator)
        self.w_in = nn.Parameter(check.weights("`weights` of Readout", drawn, (n_in, n_out)))
        self.learned = NeuronParameters(self.neuron, bounds)

    def forward(self, spikes: Spikes, state: State | None = None) -> Float[Tensor, "time batch unit"] | Membrane:
        """What the spikes do to the membranes.

        Args:
            spikes: input on a grid or in continuous time.
            state: initial states by name, on a grid only.

        Returns:
            On a grid, the membrane [T, B, n_out] after each step's flow, before its arrivals. In continuous time, a
            `Membrane` that answers for its maximum, its integrals and its values; losses take either.
        """
        if check.on_grid("Readout", spikes):
            return self.advance(spikes, state)[0]
        if state:
            raise ValueError(
                f"`state` of Readout must be None in continuous time, where all starts at 0. Got {', '.join(state)}."
            )
        numbers = continuous(self.neuron, self.learned.values(), self.w_in.device)
        return Membrane(spikes, self.w_in, numbers, self.backend)

    def advance(
        self, spikes: Spikes, state: State | None = None
    ) -> tuple[Float[Tensor, "time batch unit"], dict[str, Float[Tensor, "batch unit"]]]:
        """The membrane traces and the final state, from which the next chunk of a long sequence goes on.

        Args:
            spikes: input on a grid.
            state: initial states by name, [B, n_out] each; zero where not given.
        """
        numbers = self.dynamics(check.grid_step("Readout.advance", spikes))
        return readout(spikes, self.w_in, numbers, state=state, backend=self.backend)

    def dynamics(self, dt: float) -> Dynamics:
        """The integrators as numbers on a grid of `dt` seconds."""
        return dynamics(self.neuron, dt, self.learned.values(), self.w_in.dtype, self.w_in.device)

    def extra_repr(self) -> str:
        """For printing."""
        return f"{self.n_in}, {self.n_out}, {self.neuron}"
