"""Neurons that only the tests know."""

from dataclasses import dataclass
from typing import ClassVar

from ranvier.neurons import Neuron, Parameter, matrix, vector


@dataclass(frozen=True)
class Chain(Neuron):
    """u drives I, I drives V; V rests at `rest`."""

    tau_mem: float = 20e-3
    tau_syn: float = 10e-3
    tau_rise: float = 5e-3
    rest: float = 0.0
    threshold: float = 1.0
    reset: str = "zero"
    learn: tuple = ()

    states: ClassVar = ("V", "I", "u")
    entered: ClassVar = "u"
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_syn": Parameter("s", True, "synaptic time constant"),
        "tau_rise": Parameter("s", True, "rise time constant"),
        "rest": Parameter("", False, "resting value"),
        "threshold": Parameter("", True, "threshold"),
    }

    def flow(self, values):
        m, s, r = (1 / values[name] for name in ("tau_mem", "tau_syn", "tau_rise"))
        return matrix([[-m, m, 0.0], [0.0, -s, s], [0.0, 0.0, -r]]), vector([values["rest"] * m, 0.0, 0.0])


@dataclass(frozen=True)
class Adapting(Neuron):
    """V drives w with strength `coupling`, w pulls V down with the same strength."""

    tau_mem: float = 20e-3
    tau_w: float = 100e-3
    coupling: float = 0.0
    threshold: float = 1.0
    reset: str = "zero"
    learn: tuple = ()

    states: ClassVar = ("V", "w")
    entered: ClassVar = "V"
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_w": Parameter("s", True, "adaptation time constant"),
        "coupling": Parameter("", False, "adaptation strength"),
        "threshold": Parameter("", True, "threshold"),
    }

    def flow(self, values):
        m, w, a = 1 / values["tau_mem"], 1 / values["tau_w"], values["coupling"]
        return matrix([[-m, -a * m], [a * w, -w]]), vector([0.0, 0.0])


@dataclass(frozen=True)
class Tired(Neuron):
    """Every spike leaves behind a current that holds V down: its spikes move a state, not the threshold."""

    tau_mem: float = 20e-3
    tau_syn: float = 5e-3
    tau_w: float = 50e-3
    kick: float = 0.5
    threshold: float = 1.0
    reset: str = "zero"
    learn: tuple = ()

    states: ClassVar = ("V", "I", "w")
    entered: ClassVar = "I"
    parameters: ClassVar = {
        "tau_mem": Parameter("s", True, "membrane time constant"),
        "tau_syn": Parameter("s", True, "synaptic time constant"),
        "tau_w": Parameter("s", True, "time constant of the current left behind"),
        "kick": Parameter("", False, "what a spike adds to it"),
        "threshold": Parameter("", True, "threshold"),
    }

    def flow(self, values):
        m, s, w = (1 / values[name] for name in ("tau_mem", "tau_syn", "tau_w"))
        return matrix([[-m, m, -m], [0.0, -s, 0.0], [0.0, 0.0, -w]]), vector([0.0, 0.0, 0.0])

    def jump(self, values):
        return vector([0.0, 0.0, values["kick"]])
