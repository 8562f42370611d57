"""What a neuron is: equations and parameters, one model per file; no weights, no time loop, no learning."""

from ranvier.neurons.cuba_lif import CubaLIF
from ranvier.neurons.dynamics import Dynamics, Structure, dynamics
from ranvier.neurons.li import LI
from ranvier.neurons.lif import LIF
from ranvier.neurons.neuron import Neuron, Parameter, Reset, matrix, vector

__all__ = [
    "LI",
    "LIF",
    "CubaLIF",
    "Dynamics",
    "Neuron",
    "Parameter",
    "Reset",
    "Structure",
    "dynamics",
    "matrix",
    "vector",
]
