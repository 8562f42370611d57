"""A layer of spiking neurons: input weights, optional recurrent weights, a neuron model and a gradient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.gradients import EventProp, Gradient
from ranvier.layers import check, init
from ranvier.layers.parameters import NeuronParameters
from ranvier.neurons import CubaLIF, Dynamics, Neuron, dynamics
from ranvier.ops.clocked import clocked
from ranvier.ops.clocked.op import Backend, State
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
        generator: torch.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.n_in, self.n_out = check.sizes("Spiking", n_in, n_out)
        self.neuron: Neuron = CubaLIF() if neuron is None else neuron
        check.neuron("Spiking", self.neuron, n_out, spiking=True)
        if recurrent_weights is not None and not recurrent:
            raise ValueError("`recurrent_weights` of Spiking need `recurrent=True`. Got recurrent=False.")
        self.backend: Backend = check.backend("Spiking", backend)
        self.gradient: Gradient = check.gradient(EventProp() if gradient is None else gradient, self.neuron)
        self.w_in = _drawn("weights", weights or init.fan_in(0.0, 10.0), (n_in, n_out), generator)
        rule = recurrent_weights or init.fan_in(0.0, 1.0)
        self.w_rec = _drawn("recurrent_weights", rule, (n_out, n_out), generator) if recurrent else None
        self.learned = NeuronParameters(self.neuron)

    def forward(self, spikes: Spikes, state: State | None = None, forced: Spikes | None = None) -> Spikes:
        """The emitted spikes; see `advance` for the arguments."""
        return self.advance(spikes, state, forced)[0]

    def advance(
        self, spikes: Spikes, state: State | None = None, forced: Spikes | None = None
    ) -> tuple[Spikes, dict[str, Float[Tensor, "batch unit"]]]:
        """The emitted spikes and the final state, from which the next chunk of a long sequence goes on.

        Args:
            spikes: input on a grid.
            state: initial states by name, [B, n_out] each; zero where not given.
            forced: spikes to emit instead of the threshold's.
        """
        numbers = self.dynamics(check.grid_step("Spiking", spikes))
        return clocked(
            spikes,
            self.w_in,
            self.w_rec,
            numbers,
            self.gradient,
            state=state,
            forced=forced,
            backend=self.backend,
        )

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
