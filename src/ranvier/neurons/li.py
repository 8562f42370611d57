"""The leaky integrator: CubaLIF's flow without its threshold, the library's readout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ranvier.neurons.cuba_lif import current_based
from ranvier.neurons.neuron import Flow, Neuron, Parameter, Value, Values


@dataclass(frozen=True)
class LI(Neuron):
    """Leaky integrator of synaptic current. The equations stand in `cuba_lif`.

    Every value is one number, or one per unit.

    Args:
        tau_mem: membrane time constant, s, > 0.
        tau_syn: synaptic time constant, s, > 0; may equal tau_mem.
        bias: constant current.
        learn: names of the parameters to train.
    """

    tau_mem: Value = 20e-3
    tau_syn: Value = 10e-3
    bias: Value = 0.0
    learn: Sequence[str] = ()

    states: ClassVar = ("V", "I")
    entered: ClassVar = "I"
    spiking: ClassVar = False
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_syn": Parameter("s", True, "synaptic time constant"),
        "bias": Parameter("", False, "constant current"),
    }

    def flow(self, values: Values) -> Flow:
        """See `Neuron.flow`."""
        return current_based(values)
