"""What every op does with its input: choose a path, unify dtypes, gather raw arrays, hand gradients back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranvier.ops.product import Product
from ranvier.spikes import Spikes, ragged

if TYPE_CHECKING:
    from ranvier.ops.clocked.cpu import EventList


def choose(backend: str, weights: Tensor) -> str:
    """The path to take; a demanded path that does not exist is an error."""
    if backend not in ("auto", "reference", "numba"):
        raise ValueError(f"`backend` must be 'auto', 'reference' or 'numba'. Got {backend!r}.")
    compiled = weights.device.type == "cpu" and weights.dtype in (torch.float32, torch.float64)
    if backend == "numba" and not compiled:
        raise ValueError(
            f"`backend` 'numba' needs float32 or float64 weights on the CPU. Got {weights.dtype} on {weights.device}."
        )
    return "numba" if backend != "reference" and compiled else "reference"


def check_device(name: str, given: Tensor, weights: Tensor) -> None:
    """Refuse what is elsewhere than the weights; nothing is moved in silence."""
    if given.device != weights.device:
        raise ValueError(f"`{name}` must be on the device of `w_in`, {weights.device}. Got {given.device}.")


def cast(spikes: Spikes, dtype: torch.dtype) -> Spikes:
    """The spikes with times, amplitudes and support in the weights' dtype."""
    return spikes if spikes.times.dtype == dtype and spikes.amplitudes.dtype == dtype else spikes.to(dtype)


def array(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers as a contiguous array, without a copy where possible."""
    numbers = tensor.multiplied() if isinstance(tensor, Product) else tensor
    return numbers.contiguous().numpy(force=True)


def array_or_zeros(gradient: Tensor | None, shape: tuple[int, ...], real: np.dtype[Any]) -> NDArray[Any]:
    """A gradient that came in as a contiguous array, or zeros for None."""
    return np.zeros(shape, real) if gradient is None else array(gradient)


def event_list(offsets: Tensor, steps: Tensor | None, units: Tensor) -> EventList:
    """Index arrays for the kernels."""
    from ranvier.ops.clocked.cpu import EventList

    assert steps is not None
    return EventList(array(offsets), array(steps), array(units))


def far_cells(spikes: Spikes) -> EventList | None:
    """The compact support of the input, or None where it is dense or absent."""
    support = spikes.support
    if support is None or support.units is None or support.offsets is None:
        return None
    return event_list(support.offsets, support.steps, support.units)


def shifts(spikes: Spikes) -> Tensor | None:
    """Zeros [T, B, n_in] whose gradient is amplitude times dL/dt of the event; None if no time carries gradient."""
    if not spikes.times.requires_grad:
        return None
    assert spikes.steps is not None
    moved = spikes.amplitudes.detach() * (spikes.times - spikes.times.detach())
    cells = (spikes.steps.long(), ragged.samples_of(spikes.offsets), spikes.units.long())
    zeros = moved.new_zeros(spikes.n_steps, spikes.n_samples, spikes.n_units)
    return zeros.index_put(cells, moved, accumulate=True)


def stack_state(state: Mapping[str, Tensor] | None, names: tuple[str, ...], n_samples: int, weights: Tensor) -> Tensor:
    """The initial state [S, B, N] in the order of `names`; zero where not given."""
    shape = (n_samples, weights.shape[1])
    if not state:
        return weights.new_zeros(len(names), *shape)
    for name, value in state.items():
        if name not in names:
            raise ValueError(f"`state` must name states among {', '.join(names)}. Got {name!r}.")
        if tuple(value.shape) != shape:
            raise ValueError(f"`state[{name!r}]` must be {list(shape)}. Got {list(value.shape)}.")
        check_device(f"state[{name!r}]", value, weights)
    zero = weights.new_zeros(shape)
    return torch.stack([state[name].to(weights.dtype) if name in state else zero for name in names])


@dataclass(frozen=True)
class Delays:
    """Synaptic delays [from, to].

    Attributes:
        seconds: in the weights' dtype; may carry gradient.
        steps: rounded to the grid, at most `n_steps`, where an arrival is lost whenever it was sent.
    """

    seconds: Tensor
    steps: Tensor

    @property
    def later(self) -> Tensor | None:
        """Zeros whose gradient is dL/d(delay); None if not wanted."""
        return self.seconds - self.seconds.detach() if self.seconds.requires_grad else None

    def array(self) -> NDArray[np.int32] | None:
        """The steps for the kernels; None where all are zero."""
        return array(self.steps) if self.steps.any() else None


def delays(
    name: str, given: Tensor | None, weights: Tensor | None, spikes: Spikes, state: Mapping[str, Tensor] | None
) -> Delays | None:
    """Delays in seconds, checked and rounded to the grid of `spikes`; None where none are given."""
    if given is None:
        return None
    if weights is None:
        raise ValueError(f"`{name}` needs weights to delay. Got none.")
    if tuple(given.shape) != tuple(weights.shape):
        raise ValueError(f"`{name}` must be {list(weights.shape)}, one delay per weight. Got {list(given.shape)}.")
    if not given.is_floating_point():
        raise TypeError(f"`{name}` must be floating point, in s. Got {given.dtype}.")
    check_device(name, given, weights)
    exact = given.detach().double()
    wrong = ~(exact.isfinite() & (exact >= 0))
    if wrong.any():
        raise ValueError(f"`{name}` must be finite and >= 0 s. Got {exact[wrong][0].item()}.")
    if state:
        raise ValueError(
            f"`state` cannot be given together with delays: arrivals in flight are not part of the state. Got `{name}`."
        )
    steps = (exact / spikes.on_grid_only("delays")).round().clamp(max=spikes.n_steps)
    return Delays(given.to(weights.dtype), steps.to(torch.int32))


def of_units(values: NDArray[Any], per_unit: bool, real: torch.dtype) -> Tensor:
    """A gradient by unit [..., N] as that of the numbers: unit first, or summed where units share them."""
    tensor = torch.from_numpy(values)
    return (tensor.movedim(-1, 0) if per_unit else tensor.sum(-1)).to(real)


def of_silent(far: NDArray[Any], mu: NDArray[Any], w_in: Tensor, dense: bool, delayed: bool) -> Tensor:
    """The gradient of silent input cells: of those listed, or of all, from the adjoint of arrivals `mu` [T, B, N].

    Where arrivals are `delayed` the kernel has gathered it, and `mu` is the gradient already.
    """
    if not dense:
        return torch.from_numpy(far)
    if delayed:
        return torch.from_numpy(mu)
    weights = w_in.detach().T.clone(memory_format=torch.contiguous_format)  # an optimiser may step during backward
    return Product(torch.from_numpy(mu), weights)
