"""The current-based leaky integrate-and-fire neuron, the library's base model.

    tau_mem dV/dt = -V + I + bias        tau_syn dI/dt = -I

A spike that arrives adds its weight to I. When V reaches the threshold the neuron spikes and V is reset.
References: Wunderlich & Pehle, Sci. Rep. 11:12829 (2021); Zenke & Vogels, Neural Comput. 33:899 (2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ranvier.neurons.neuron import Flow, Neuron, Parameter, Reset, Value, Values, matrix, vector


@dataclass(frozen=True)
class CubaLIF(Neuron):
    """Current-based leaky integrate-and-fire. The equations stand in the module's docstring.

    Every value is one number, or one per unit.

    Args:
        tau_mem: membrane time constant, s, > 0.
        tau_syn: synaptic time constant, s, > 0; may equal tau_mem.
        threshold: dimensionless, > 0.
        bias: constant current.
        reset: "zero" sets V to 0, "subtract" takes the threshold off, "none" leaves V.
        refractory: seconds after a spike during which V is held at its reset value, >= 0, the same for all units;
            infinite for one spike per unit. The current goes on meanwhile.
        learn: names of the parameters to train.
    """

    tau_mem: Value = 20e-3
    tau_syn: Value = 10e-3
    threshold: Value = 1.0
    bias: Value = 0.0
    reset: Reset = "zero"
    refractory: float = 0.0
    learn: Sequence[str] = ()

    states: ClassVar = ("V", "I")
    entered: ClassVar = "I"
    arrival: ClassVar = "after"
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_syn": Parameter("s", True, "synaptic time constant"),
        "threshold": Parameter("", True, "membrane value at which the neuron spikes"),
        "bias": Parameter("", False, "constant current"),
    }

    def flow(self, values: Values) -> Flow:
        """See `Neuron.flow`."""
        return current_based(values)


def current_based(values: Values) -> Flow:
    """The flow of a leaky membrane driven by a decaying current; equations in the module's docstring."""
    membrane, synapse = 1 / values["tau_mem"], 1 / values["tau_syn"]
    return matrix([[-membrane, membrane], [0.0, -synapse]]), vector([values["bias"] * membrane, 0.0])
