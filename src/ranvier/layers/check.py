"""What layers ask of their arguments, refused where the user wrote it."""

from __future__ import annotations

from typing import Any, Literal, get_args

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


def on_grid(layer: str, spikes: Any) -> bool:
    """Whether a layer's input lies on a grid; refuse what is no spikes."""
    if not isinstance(spikes, Spikes):
        raise TypeError(f"`spikes` of {layer} must be Spikes. Got {type(spikes).__name__}.")
    return spikes.dt is not None


def spike_limit(layer: str, limit: Any) -> int:
    """Refuse a limit that is no positive whole number."""
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ValueError(f"`max_spikes_per_unit` of {layer} must be a whole number >= 1. Got {limit!r}.")
    return limit


def overflow(layer: str, overflow: Any) -> Literal["raise", "truncate"]:
    """Refuse an unknown way to meet a runaway."""
    if overflow not in ("raise", "truncate"):
        raise ValueError(f"`overflow` of {layer} must be 'raise' or 'truncate'. Got {overflow!r}.")
    return overflow


def continuous_gradient(gradient: Gradient) -> EventProp:
    """Refuse a gradient that needs a grid."""
    if not isinstance(gradient, EventProp):
        raise ValueError(
            "`gradient` in continuous time must be EventProp(): a surrogate needs the membrane at every step. "
            f"Put the input on a grid with `spikes.on_grid(dt, coincident=...)` first. Got {type(gradient).__name__}."
        )
    return gradient


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
