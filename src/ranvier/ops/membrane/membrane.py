"""The membranes of leaky integrators as functions of time, of which one asks numbers.

    tau_mem dV/dt = -V + I + bias        tau_syn dI/dt = -I

An event of unit u with amplitude a adds a * w_in[u, n] to the current of unit n; V and I are 0 at time 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.continuous import Continuous
from ranvier.ops import inputs
from ranvier.ops.clocked.op import Backend
from ranvier.ops.membrane import integral, op
from ranvier.spikes import Spikes

Weight = Literal["constant", "linear", "exponential", "sigmoid"]


@dataclass(frozen=True, eq=False)
class Membrane:
    """The membranes of a layer of integrators, not evaluated yet.

    Every answer is differentiable in the spikes' times and amplitudes, in `w_in` and in the neuron's numbers. Inside,
    all is float64; answers have the dtype of `w_in`. One asked for again without gradient is remembered (a loss, its
    predictions and its ties all ask the same), until something it rests on changes in place.

    Args:
        spikes: input in continuous time, n_in units.
        w_in: weights [n_in, N].
        neuron: the integrators as numbers; a threshold plays no part.
        backend: "numba" (CPU), "reference" (plain torch, any device), or "auto": numba where it exists.

    Raises:
        ValueError: the arguments do not fit together.
    """

    spikes: Spikes
    w_in: Tensor
    neuron: Continuous
    backend: Backend = "auto"
    _known: dict[str, tuple[tuple[int, ...], Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        spikes, w_in, neuron = self.spikes, self.w_in, self.neuron
        inputs.choose(self.backend, w_in)
        inputs.check_device("spikes", spikes.times, w_in)
        if spikes.dt is not None:
            raise ValueError(f"`spikes` of Membrane must be in continuous time. Got a grid of {spikes.dt} s.")
        if w_in.ndim != 2 or spikes.n_units != w_in.shape[0]:
            raise ValueError(
                f"`w_in` of Membrane must have a row for each of the {spikes.n_units} units of `spikes`. "
                f"Got {list(w_in.shape)}."
            )
        if neuron.per_unit and neuron.tau_mem.shape[0] != w_in.shape[1]:
            raise ValueError(
                f"`neuron` of Membrane must describe {w_in.shape[1]} units. Got {neuron.tau_mem.shape[0]}."
            )

    @property
    def n_samples(self) -> int:
        """B, the number of samples."""
        return self.spikes.n_samples

    @property
    def n_units(self) -> int:
        """N, the number of integrators."""
        return self.w_in.shape[1]

    def maximum(self) -> Float[Tensor, "batch unit"]:
        """The exact maximum of V over [0, duration].

        The gradient enters where the maximum lies. Where that is at an event that bends V downwards, the maximum moves
        with that event. Of equal maxima the first one counts; a membrane that never falls, as one at rest, has its
        maximum at the end.
        """
        path = inputs.choose(self.backend, self.w_in)
        return self._once("maximum", lambda: op.maximum(self.spikes, self.w_in, self.neuron, path))

    def at(self, times: Tensor | Sequence[float]) -> Float[Tensor, "time batch unit"]:
        """V of all samples at the same times [K], in seconds, ascending, 0 <= time <= duration.

        An event at such a time has not moved V yet; its own time's gradient is that of the side before.
        """
        asked = self._asked(times)
        return op.at(self.spikes, self.w_in, self.neuron, asked, inputs.choose(self.backend, self.w_in))

    def integral(self, weight: Weight = "constant") -> Float[Tensor, "batch unit"]:
        """(1/T) times the integral of V(t) w(t) over [0, T], T the duration.

        Args:
            weight: w(t) = 1 ("constant"), 1 - t/T ("linear"), exp(-t/T) ("exponential"), or
                1 / (1 + exp((t/T - 0.5) / 0.2)) ("sigmoid"). Closed forms, but for the last: Gauss-Legendre quadrature
                to about 1e-13, ten times slower.
        """
        if weight not in get_args(Weight):
            raise ValueError(f"`weight` must be one of {', '.join(get_args(Weight))}. Got {weight!r}.")
        return self._once(weight, lambda: integral.integral(self.spikes, self.w_in, self.neuron, weight))

    def _once(self, name: str, answer: Callable[[], Tensor]) -> Tensor:
        neuron = self.neuron
        given = (self.spikes.times, self.spikes.amplitudes, self.w_in, neuron.tau_mem, neuron.tau_syn, neuron.bias)
        if any(tensor.is_inference() for tensor in given):  # these do not count their changes
            return answer()
        versions = tuple(tensor._version for tensor in given)
        if not torch.is_grad_enabled() and name in self._known and self._known[name][0] == versions:
            return self._known[name][1]
        found = answer()
        self._known[name] = (versions, found.detach().clone())
        return found

    def _asked(self, times: Any) -> Tensor:
        asked = torch.as_tensor(times, dtype=torch.float64, device=self.w_in.device)
        if asked.ndim != 1:
            raise ValueError(f"`times` of Membrane.at must be one list of seconds. Got {list(asked.shape)}.")
        if asked.numel():
            if not bool((asked.diff() >= 0).all()):
                raise ValueError(f"`times` of Membrane.at must ascend. Got {asked.tolist()}.")
            if not 0 <= float(asked[0]) <= float(asked[-1]) <= self.spikes.duration * (1 + 1e-6):
                raise ValueError(
                    f"`times` of Membrane.at must be >= 0 and <= {self.spikes.duration} s. "
                    f"Got {float(asked[0])} to {float(asked[-1])}."
                )
        return asked.clamp(max=self.spikes.duration)
