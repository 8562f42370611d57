"""What a neuron is: data, not code.

A neuron declares its states, its parameters, its linear flow, its threshold and reset, and the state an arriving spike
enters. Everything else follows from that: on a grid the state x moves by

    x(t + dt) = P x(t) + d,   P = exp(A dt),   d = (integral of exp(A s) ds from 0 to dt) c,

for the flow dx/dt = A x + c. Engines take P, d and the rows below; they never learn a neuron's name.

Axis letters: S states, N units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

Reset = Literal["zero", "subtract", "none"]
Value = float | tuple[float, ...]


@dataclass(frozen=True)
class Parameter:
    """How a neuron's parameter is to be read.

    Attributes:
        unit: physical unit, "" for dimensionless.
        positive: whether only values > 0 have a meaning (then a learned one is learned as its logarithm).
        meaning: one phrase for messages and tables.
    """

    unit: str
    positive: bool
    meaning: str


@dataclass(frozen=True)
class Neuron(ABC):
    """Base of the neuron models: frozen dataclasses whose fields are parameter values.

    A value is one number shared by all units, or one number per unit. `learn` names the parameters to be trained.
    The first state is the membrane: it is compared with `threshold`, and reset.

    Attributes:
        states: names of the states, the membrane first.
        parameters: how each parameter field is to be read.
        entered: the state that an arriving spike's weight is added to.
        arrival: whether arrivals of a step enter "after" its threshold test, and so move the membrane in the next step,
            or "before" it.
        resets: the resets the model allows.
    """

    states: ClassVar[tuple[str, ...]]
    parameters: ClassVar[Mapping[str, Parameter]]
    entered: ClassVar[str]
    arrival: ClassVar[Literal["after", "before"]] = "after"
    spiking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, rule in self.parameters.items():
            object.__setattr__(self, name, self._value(name, rule, getattr(self, name)))
        object.__setattr__(self, "learn", self._learned())
        reset = getattr(self, "reset", "zero")
        if reset not in ("zero", "subtract", "none"):
            raise ValueError(f"`reset` of {self.name} must be 'zero', 'subtract' or 'none'. Got {reset!r}.")
        sizes = {n for n in map(len, self._tuples())}
        if len(sizes) > 1:
            raise ValueError(f"Per-unit parameters of {self.name} must have one length. Got {sorted(sizes)}.")

    @property
    def name(self) -> str:
        """The model's name, for messages."""
        return type(self).__name__

    def _value(self, name: str, rule: Parameter, value: Any) -> Value:
        per_unit = isinstance(value, (list, tuple)) or (hasattr(value, "ndim") and value.ndim > 0)
        try:
            numbers = tuple(float(number) for number in value) if per_unit else (float(value),)
        except (TypeError, ValueError):
            raise TypeError(f"`{name}` of {self.name} must be a number or one number per unit. Got {value!r}.") from None
        for number in numbers:
            if not isfinite(number) or (rule.positive and number <= 0):
                bound = f"> 0 {rule.unit}".strip() if rule.positive else "finite"
                raise ValueError(f"`{name}` of {self.name} must be {bound}. Got {number}.")
        if not numbers:
            raise ValueError(f"`{name}` of {self.name} must hold one number per unit. Got none.")
        return numbers if per_unit else numbers[0]

    def _learned(self) -> tuple[str, ...]:
        learn = getattr(self, "learn", ())
        names = (learn,) if isinstance(learn, str) else tuple(learn)
        for name in names:
            if name not in self.parameters:
                raise ValueError(
                    f"`learn` of {self.name} must name parameters among {', '.join(self.parameters)}. Got {name!r}."
                )
        return names

    def _tuples(self) -> Iterator[tuple[float, ...]]:
        for name in self.parameters:
            value = getattr(self, name)
            if isinstance(value, tuple):
                yield value

    def check_size(self, n_units: int) -> None:
        """Refuse per-unit values whose number is not `n_units`."""
        for values in self._tuples():
            if len(values) != n_units:
                raise ValueError(f"Per-unit parameters of {self.name} must have {n_units} values. Got {len(values)}.")

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter as a float64 tensor: [] when shared, [N] when per unit."""
        return {name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in self.parameters}

    @abstractmethod
    def flow(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The flow dx/dt = A x + c.

        Args:
            values: every parameter, [] or [N]; float64.

        Returns:
            A [..., S, S] and c [..., S], differentiable in the values.
        """

    def changed(self, **values: Any) -> Neuron:
        """The same model with other parameter values."""
        return type(self)(**{field.name: getattr(self, field.name) for field in fields(self)} | values)


def matrix(rows: list[list[Tensor | float]]) -> Tensor:
    """A matrix [..., R, C] from entries that are numbers or tensors [] or [N]."""
    tensors = [[torch.as_tensor(entry, dtype=torch.float64) for entry in row] for row in rows]
    shape = torch.broadcast_shapes(*(entry.shape for row in tensors for entry in row))
    return torch.stack([torch.stack([entry.expand(shape) for entry in row], -1) for row in tensors], -2)


def vector(entries: list[Tensor | float]) -> Tensor:
    """A vector [..., R] from entries that are numbers or tensors [] or [N]."""
    return matrix([entries]).squeeze(-2)
