"""Events to membrane traces of leaky integrators."""

from ranvier.ops.readout.op import readout

__all__ = ["readout"]
