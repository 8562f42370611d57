"""What users compose: modules that own weights and join connection, neuron and gradient."""

from ranvier.layers import init
from ranvier.layers.delay_line import DelayLine
from ranvier.layers.delays import Delay, Delays
from ranvier.layers.input_weighted import InputWeighted
from ranvier.layers.network import Network, Run, SilentLayerWarning
from ranvier.layers.readout import Readout
from ranvier.layers.spiking import Spiking

__all__ = [
    "Delay",
    "DelayLine",
    "Delays",
    "InputWeighted",
    "Network",
    "Readout",
    "Run",
    "SilentLayerWarning",
    "Spiking",
    "init",
]
