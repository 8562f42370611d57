"""The leaky integrate-and-fire neuron whose input moves the membrane at once.

    tau_mem dV/dt = -V + bias

A spike that arrives adds its weight to V, in the step it arrives, before the threshold is tested: no delay
per layer, as in snnTorch, SpikingJelly and BNTT. It is a model of its own, not a limit of CubaLIF; its spike
times equal its input times, so an exact gradient of spike times with respect to weights is zero and EventProp
does not apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ranvier.neurons.neuron import Flow, Neuron, Parameter, Reset, Value, Values, matrix, vector


@dataclass(frozen=True)
class LIF(Neuron):
    """Leaky integrate-and-fire, delta synapses. The equations stand in the module's docstring.

    Every value is one number, or one per unit.

    Args:
        tau_mem: membrane time constant, s, > 0.
        threshold: dimensionless, > 0.
        bias: what V relaxes to without input.
        reset: "zero" sets V to 0, "subtract" takes the threshold off, "none" leaves V.
        refractory: seconds after a spike during which V is held at its reset value and arrivals are lost, >= 0, the
            same for all units; infinite for one spike per unit.
        learn: names of the parameters to train.
    """

    tau_mem: Value = 20e-3
    threshold: Value = 1.0
    bias: Value = 0.0
    reset: Reset = "zero"
    refractory: float = 0.0
    learn: Sequence[str] = ()

    states: ClassVar = ("V",)
    entered: ClassVar = "V"
    arrival: ClassVar = "before"
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "threshold": Parameter("", True, "membrane value at which the neuron spikes"),
        "bias": Parameter("", False, "value that V relaxes to"),
    }

    def flow(self, values: Values) -> Flow:
        """See `Neuron.flow`."""
        membrane = 1 / values["tau_mem"]
        return matrix([[-membrane]]), vector([values["bias"] * membrane])
