"""What travels between layers: events with a time and an amplitude."""

from ranvier.spikes import ragged
from ranvier.spikes.merge import merge
from ranvier.spikes.moved import moved
from ranvier.spikes.spikes import Record, Spikes, Support, collate

__all__ = ["Record", "Spikes", "Support", "collate", "merge", "moved", "ragged"]
