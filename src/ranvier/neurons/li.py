"""The leaky integrator: CubaLIF's membrane without a threshold, the library's readout.

    tau_mem dV/dt = -V + I + bias        tau_syn dI/dt = -I
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ranvier.neurons.neuron import Neuron, Parameter, Value, matrix, vector


@dataclass(frozen=True)
class LI(Neuron):
    """Leaky integrator of synaptic current. The equations stand in the module's docstring.

    Args:
        tau_mem: membrane time constant, s, > 0.
        tau_syn: synaptic time constant, s, > 0; may equal tau_mem.
        bias: constant current.
        learn: names of the parameters to train.
    """

    tau_mem: Value = 20e-3
    tau_syn: Value = 10e-3
    bias: Value = 0.0
    learn: tuple[str, ...] = ()

    states: ClassVar = ("V", "I")
    entered: ClassVar = "I"
    spiking: ClassVar = False
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_syn": Parameter("s", True, "synaptic time constant"),
        "bias": Parameter("", False, "constant current"),
    }

    def flow(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `Neuron.flow`."""
        membrane, synapse = 1 / values["tau_mem"], 1 / values["tau_syn"]
        return matrix([[-membrane, membrane], [0.0, -synapse]]), vector([values["bias"] * membrane, 0.0])
