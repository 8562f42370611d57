"""What a neuron is: equations and parameters, one model per file; no weights, no time loop, no learning."""

from ranvier.neurons.adaptive_lif import AdaptiveLIF
from ranvier.neurons.continuous import Continuous, continuous
from ranvier.neurons.cuba_lif import CubaLIF
from ranvier.neurons.dynamics import Dynamics, Structure, dynamics
from ranvier.neurons.li import LI
from ranvier.neurons.lif import LIF
from ranvier.neurons.neuron import Flow, Neuron, Parameter, Reset, Value, Values, matrix, vector

__all__ = [
    "LI",
    "LIF",
    "AdaptiveLIF",
    "Continuous",
    "CubaLIF",
    "Dynamics",
    "Flow",
    "Neuron",
    "Parameter",
    "Reset",
    "Structure",
    "Value",
    "Values",
    "continuous",
    "dynamics",
    "matrix",
    "vector",
]
