"""Events to events in continuous time: exact threshold crossings, exact gradients."""

from ranvier.ops.exact.op import exact

__all__ = ["exact"]
