"""Events to events on a time grid."""

from ranvier.ops.clocked.op import clocked

__all__ = ["clocked"]
