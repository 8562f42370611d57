"""A layer of spiking neurons: input weights, optional recurrent weights, a neuron model and a gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranvier.gradients import EventProp, Gradient, Surrogate
from ranvier.layers import init
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
        weights: rule that draws `w_in` [n_in, n_out]; by default normal, mean 0, such that one synchronous volley of all
            inputs has standard deviation 10 in the entered state.
        recurrent_weights: rule that draws `w_rec` [n_out, n_out]; by default normal, a volley's standard deviation being 1.
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
        check_sizes(type(self).__name__, n_in, n_out)
        self.neuron = CubaLIF() if neuron is None else neuron
        if not isinstance(self.neuron, Neuron) or not self.neuron.spiking:
            raise TypeError(f"`neuron` of Spiking must be a spiking model such as CubaLIF(). Got {neuron!r}.")
        self.neuron.check_size(n_out)
        if recurrent_weights is not None and not recurrent:
            raise ValueError("`recurrent_weights` of Spiking need `recurrent=True`. Got recurrent=False.")
        self.n_in, self.n_out, self.backend = n_in, n_out, backend
        self.gradient: Gradient = check_gradient(EventProp() if gradient is None else gradient, self.neuron)
        self.w_in = nn.Parameter((weights or init.fan_in(0.0, 10.0))((n_in, n_out), generator))
        rule = recurrent_weights or init.fan_in(0.0, 1.0)
        self.w_rec = nn.Parameter(rule((n_out, n_out), generator)) if recurrent else None
        self.learned = NeuronParameters(self.neuron)

    def forward(self, spikes: Spikes, state: State | None = None, forced: Spikes | None = None) -> Spikes:
        """The emitted spikes; see `advance` for the arguments."""
        return self.advance(spikes, state, forced)[0]

    def advance(
        self, spikes: Spikes, state: State | None = None, forced: Spikes | None = None
    ) -> tuple[Spikes, dict[str, Tensor]]:
        """The emitted spikes and the final state, from which the next chunk of a long sequence goes on.

        Args:
            spikes: input on a grid.
            state: initial states by name, [B, n_out] each; zero where not given.
            forced: spikes to emit instead of the threshold's.
        """
        numbers = self.dynamics(spikes.on_grid_only("Spiking"))
        return clocked(
            spikes, self.w_in, self.w_rec, numbers, self.gradient, state=state, forced=forced, backend=self.backend
        )

    def dynamics(self, dt: float) -> Dynamics:
        """The layer's neurons as numbers on a grid of `dt` seconds."""
        return dynamics(self.neuron, dt, self.learned.values(), self.w_in.dtype)

    def extra_repr(self) -> str:
        """For printing."""
        return f"{self.n_in}, {self.n_out}, {self.neuron}, recurrent={self.w_rec is not None}, gradient={self.gradient}"


def check_sizes(name: str, n_in: int, n_out: int) -> None:
    """Refuse sizes that are no positive whole numbers."""
    for argument, value in (("n_in", n_in), ("n_out", n_out)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`{argument}` of {name} must be a positive whole number. Got {value!r}.")


def check_gradient(gradient: Gradient, neuron: Neuron) -> Gradient:
    """Refuse what is no gradient, or one the neuron does not admit."""
    if not isinstance(gradient, (EventProp, Surrogate)):
        raise TypeError(f"`gradient` must be EventProp(...) or Surrogate(...). Got {gradient!r}.")
    if isinstance(gradient, EventProp) and neuron.arrival == "before":
        raise ValueError(
            f"`gradient` of {neuron.name} must be a Surrogate: its input moves the membrane at once, so its spike times equal "
            "its input times and their derivative by the weights is zero. Got EventProp."
        )
    if isinstance(gradient, EventProp) and getattr(neuron, "reset", "none") == "none":
        raise ValueError(f"`reset` of {neuron.name} trained with EventProp must be 'zero' or 'subtract'. Got 'none'.")
    return gradient
