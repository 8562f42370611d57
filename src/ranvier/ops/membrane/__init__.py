"""Events to what is asked about the membranes of leaky integrators, in continuous time."""

from ranvier.ops.membrane.membrane import Membrane, Weight

__all__ = ["Membrane", "Weight"]
