"""The current-based leaky integrate-and-fire neuron whose threshold rises with its own spikes.

    tau_mem dV/dt = -V + I + bias        tau_syn dI/dt = -I        tau_adapt da/dt = -a

A spike that arrives adds its weight to I. When V reaches threshold + a the neuron spikes: V is reset, and `adaptation`
is added to a, so that the next spike takes more and spike trains slow down. Reference: Bellec et al., Nat. Commun.
11:3625 (2020), who write beta a with unit jumps where we write a with jumps of beta.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ranvier.neurons.neuron import Flow, Neuron, Parameter, Reset, Value, Values, matrix, vector


@dataclass(frozen=True)
class AdaptiveLIF(Neuron):
    """CubaLIF with an adaptive threshold. The equations stand in the module's docstring.

    Every value is one number, or one per unit.

    Args:
        tau_mem: membrane time constant, s, > 0.
        tau_syn: synaptic time constant, s, > 0; may equal tau_mem.
        tau_adapt: time constant of the adaptation, s, > 0; may equal either.
        threshold: the threshold at rest, dimensionless, > 0.
        adaptation: what a spike adds to the threshold, dimensionless, >= 0; > 0 to be learned.
        bias: constant current.
        reset: "zero" sets V to 0, "subtract" takes off what V had to reach, threshold + a, "none" leaves V.
        refractory: seconds after a spike during which V is held at its reset value, >= 0, the same for all units;
            infinite for one spike per unit. I and a go on meanwhile.
        learn: names of the parameters to train.
    """

    tau_mem: Value = 20e-3
    tau_syn: Value = 10e-3
    tau_adapt: Value = 200e-3
    threshold: Value = 1.0
    adaptation: Value = 0.1
    bias: Value = 0.0
    reset: Reset = "zero"
    refractory: float = 0.0
    learn: Sequence[str] = ()

    states: ClassVar = ("V", "I", "a")
    entered: ClassVar = "I"
    arrival: ClassVar = "after"
    raising: ClassVar = ("a",)
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_syn": Parameter("s", True, "synaptic time constant"),
        "tau_adapt": Parameter("s", True, "time constant of the adaptation"),
        "threshold": Parameter("", True, "membrane value at which the rested neuron spikes"),
        "adaptation": Parameter("", True, "what a spike adds to the threshold", zero=True),
        "bias": Parameter("", False, "constant current"),
    }

    def flow(self, values: Values) -> Flow:
        """See `Neuron.flow`."""
        m, s, a = (1 / values[name] for name in ("tau_mem", "tau_syn", "tau_adapt"))
        return matrix([[-m, m, 0.0], [0.0, -s, 0.0], [0.0, 0.0, -a]]), vector([values["bias"] * m, 0.0, 0.0])

    def jump(self, values: Values) -> Float[Tensor, "... state"]:
        """See `Neuron.jump`."""
        return vector([0.0, 0.0, values["adaptation"]])
