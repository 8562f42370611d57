"""How credit flows back: small frozen dataclasses that a layer is given, and the surrogate shapes."""

from ranvier.gradients.eventprop import EventProp
from ranvier.gradients.surrogate import Esser, Shape, SigmoidDerivative, SuperSpike, Surrogate

Gradient = EventProp | Surrogate

__all__ = ["Esser", "EventProp", "Gradient", "Shape", "SigmoidDerivative", "SuperSpike", "Surrogate"]
