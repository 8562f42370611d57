"""What layers ask of their arguments, refused where the user wrote it."""

from __future__ import annotations

from typing import Any, get_args

from jaxtyping import Float
from torch import Tensor

from ranvier.gradients import EventProp, Gradient, Surrogate
from ranvier.neurons import Neuron
from ranvier.ops.clocked.op import Backend
from ranvier.spikes import Spikes


def sizes(layer: str, n_in: Any, n_out: Any) -> tuple[int, int]:
    """Refuse sizes that are no positive whole numbers."""
    for argument, value in (("n_in", n_in), ("n_out", n_out)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`{argument}` of {layer} must be a positive whole number. Got {value!r}.")
    return n_in, n_out


def neuron(layer: str, neuron: Any, n_out: int, *, spiking: bool) -> None:
    """Refuse what is no neuron, one of the wrong kind, or one with values for another number of units."""
    if not isinstance(neuron, Neuron) or neuron.spiking != spiking:
        kind = "a spiking model such as CubaLIF()" if spiking else "an integrator such as LI()"
        raise TypeError(f"`neuron` of {layer} must be {kind}. Got {neuron!r}.")
    neuron.check_size(n_out)


def backend(layer: str, backend: Any) -> Backend:
    """Refuse a backend that no op has."""
    known = get_args(Backend)
    if backend not in known:
        raise ValueError(f"`backend` of {layer} must be one of {', '.join(known)}. Got {backend!r}.")
    return backend


def weights(what: str, drawn: Any, shape: tuple[int, int]) -> Float[Tensor, "n_in unit"]:
    """Refuse weights that an initialiser drew in another shape or type."""
    if not isinstance(drawn, Tensor) or tuple(drawn.shape) != shape or not drawn.is_floating_point():
        got = f"{list(drawn.shape)} {drawn.dtype}" if isinstance(drawn, Tensor) else type(drawn).__name__
        raise ValueError(f"{what} must draw a floating tensor {list(shape)}. Got {got}.")
    return drawn.detach()


def grid_step(layer: str, spikes: Any) -> float:
    """The grid step of a layer's input; refuse what is no spikes, or in continuous time."""
    if not isinstance(spikes, Spikes):
        raise TypeError(f"`spikes` of {layer} must be Spikes. Got {type(spikes).__name__}.")
    return spikes.on_grid_only(layer)


def gradient(gradient: Any, neuron: Neuron) -> Gradient:
    """Refuse what is no gradient, or one the neuron does not admit."""
    if not isinstance(gradient, (EventProp, Surrogate)):
        raise TypeError(f"`gradient` must be EventProp(...) or Surrogate(...). Got {gradient!r}.")
    if isinstance(gradient, EventProp) and neuron.arrival == "before":
        raise ValueError(
            f"`gradient` of a layer of {neuron.name} must be a Surrogate: its input moves the membrane at "
            "once, so its spike times equal its input times and their derivative by the weights is zero. "
            "Got EventProp."
        )
    if isinstance(gradient, EventProp) and getattr(neuron, "reset", "none") == "none":
        raise ValueError(f"`reset` of {neuron.name} trained with EventProp must be 'zero' or 'subtract'. Got 'none'.")
    return gradient
