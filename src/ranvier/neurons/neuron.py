"""What a neuron is: data, not code.

A neuron declares its states, its parameters, its linear flow, its threshold and reset, and the state an
arriving spike enters. Everything else follows from that: on a grid the state x moves by

    x(t + dt) = P x(t) + d,   P = exp(A dt),   d = (integral of exp(A s) ds from 0 to dt) c,

for the flow dx/dt = A x + c. Engines take P, d and the rows of `dynamics`; they never learn a neuron's name.

Axis letters: S states, N units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ranvier.neurons.number import number

Reset = Literal["zero", "subtract", "none"]
Value = float | Sequence[float] | NDArray[Any] | Tensor
Values = Mapping[str, Float[Tensor, "*_unit"]]
Flow = tuple[Float[Tensor, "... state state"], Float[Tensor, "... state"]]
_RESETS = ("zero", "subtract", "none")


@dataclass(frozen=True)
class Parameter:
    """How a neuron's parameter is to be read.

    Attributes:
        unit: physical unit, "" for dimensionless.
        positive: whether only values > 0 have a meaning (then a learned one is learned as its logarithm).
        meaning: one phrase for messages and tables.
        zero: whether a positive one may also be 0, where it is not learned.
    """

    unit: str
    positive: bool
    meaning: str
    zero: bool = False


@dataclass(frozen=True)
class Neuron(ABC):
    """Base of the neuron models: frozen dataclasses whose fields are parameter values.

    A value is given as one number shared by all units, or as one number per unit (list, tuple, array,
    tensor), and kept as a float or a tuple of floats, so that a neuron can be compared, hashed and printed.
    `learn` names the parameters to be trained. The first state is the membrane: it is compared with
    `threshold`, and reset.

    Attributes:
        states: names of the states, the membrane first.
        parameters: how each parameter field is to be read.
        entered: the state that an arriving spike's weight is added to.
        arrival: whether arrivals of a step enter "after" its threshold test, and so move the membrane in the
            next step, or "before" it.
        raising: names of the states that raise the threshold: a unit spikes when V >= threshold + their sum. (A
            coefficient would be of no use: it is a matter of the state's unit.)
        spiking: whether the model has a `threshold` and a `reset`.

    Raises:
        TypeError, ValueError: at construction, naming argument, rule and value received.
    """

    states: ClassVar[tuple[str, ...]]
    parameters: ClassVar[Mapping[str, Parameter]]
    entered: ClassVar[str]
    arrival: ClassVar[Literal["after", "before"]] = "after"
    raising: ClassVar[tuple[str, ...]] = ()
    spiking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, rule in self.parameters.items():
            object.__setattr__(self, name, self._value(name, rule, getattr(self, name)))
        object.__setattr__(self, "learn", self._names())
        for name in self.learned:
            value = getattr(self, name)
            if self.parameters[name].zero and 0.0 in (value if isinstance(value, tuple) else (value,)):
                raise ValueError(f"`{name}` of {self.name} must be > 0 to be learned. Got {value}.")
        reset = getattr(self, "reset", None)
        if self.spiking and reset not in _RESETS:
            raise ValueError(f"`reset` of {self.name} must be 'zero', 'subtract' or 'none'. Got {reset!r}.")
        own = vars(self)
        if "refractory" in own:
            object.__setattr__(self, "refractory", self._refractory(own["refractory"]))
        sizes = {name: len(values) for name, values in self._per_unit()}
        if len(set(sizes.values())) > 1:
            lengths = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"Per-unit values of {self.name} must be equally many. Got {lengths}.")

    @property
    def name(self) -> str:
        """The model's name, for messages."""
        return type(self).__name__

    @property
    def learned(self) -> tuple[str, ...]:
        """The names of the parameters to train; none for a model without a field `learn`."""
        return tuple(getattr(self, "learn", ()))

    def _value(self, name: str, rule: Parameter, value: Any) -> float | tuple[float, ...]:
        what, bound = f"`{name}` of {self.name}", (">= 0" if rule.zero else "> 0") if rule.positive else "finite"
        if getattr(value, "requires_grad", False):
            raise TypeError(
                f"{what} must be plain numbers; name it in `learn` to train it. Got a tensor that requires gradient."
            )
        given = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            return number(what, given, bound, rule.unit)
        numbers = cast(Sequence[Any], given)
        if not numbers:
            raise ValueError(f"{what} must be one number, or one per unit. Got none.")
        return tuple(number(what, each, bound, rule.unit, f" at unit {unit}") for unit, each in enumerate(numbers))

    def _refractory(self, value: Any) -> float:
        forever = isinstance(value, float) and value == inf
        return inf if forever else number(f"`refractory` of {self.name}", value, ">= 0", "s")

    def _names(self) -> tuple[str, ...]:
        learn: Any = getattr(self, "learn", ())
        several = isinstance(learn, Iterable) and not isinstance(learn, str)
        names: list[Any] = list(cast(Iterable[Any], learn)) if several else [learn]
        known = tuple(self.parameters)
        for name in names:
            if name not in known:
                raise ValueError(f"`learn` of {self.name} must name parameters among {', '.join(known)}. Got {name!r}.")
        return tuple(name for name in known if name in names)

    def _per_unit(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        for name in self.parameters:
            value = getattr(self, name)
            if isinstance(value, tuple):
                yield name, value

    def check_size(self, n_units: int) -> None:
        """Refuse per-unit values whose number is not `n_units`."""
        for name, values in self._per_unit():
            if len(values) != n_units:
                raise ValueError(f"`{name}` of {self.name} must be one number, or {n_units}. Got {len(values)}.")

    def tensors(self, device: torch.device | str = "cpu") -> dict[str, Float[Tensor, "*_unit"]]:
        """Every parameter as a float64 tensor: [] when shared, [N] when per unit."""
        return {name: torch.tensor(getattr(self, name), dtype=torch.float64, device=device) for name in self.parameters}

    @abstractmethod
    def flow(self, values: Values) -> Flow:
        """The flow dx/dt = A x + c.

        Args:
            values: every parameter, [] or [N]; float64.

        Returns:
            A [..., S, S] and c [..., S], differentiable in the values; the leading axis is absent or N, for
            each on its own.
        """

    def jump(self, values: Values) -> Float[Tensor, "... state"]:  # noqa: ARG002 (for those who have one)
        """What a spike of the unit adds to each of its states, beside the reset of V: x <- x + jump.

        Args:
            values: every parameter, [] or [N]; float64.

        Returns:
            [..., S], 0 for the membrane, differentiable in the values; nothing by default.
        """
        return vector([0.0] * len(self.states))


def matrix(rows: Sequence[Sequence[Tensor | float]]) -> Float[Tensor, "... row column"]:
    """A float64 matrix [..., R, C] from entries that are numbers or tensors [] or [N], on their device."""
    devices = [entry.device for row in rows for entry in row if isinstance(entry, Tensor)]
    device = devices[0] if devices else torch.device("cpu")
    tensors = [[torch.as_tensor(entry, dtype=torch.float64, device=device) for entry in row] for row in rows]
    shape = common_shape(*(entry.shape for row in tensors for entry in row))
    return torch.stack([torch.stack([entry.expand(shape) for entry in row], -1) for row in tensors], -2)


def vector(entries: Sequence[Tensor | float]) -> Float[Tensor, "... row"]:
    """A float64 vector [..., R] from entries that are numbers or tensors [] or [N], on their device."""
    return matrix([entries]).squeeze(-2)


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    return tuple(torch.broadcast_shapes(*shapes))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
