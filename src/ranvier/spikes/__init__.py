"""What travels between layers: events with a time and an amplitude."""

from ranvier.spikes import ragged
from ranvier.spikes.spikes import Record, Spikes, Support, collate

__all__ = ["Record", "Spikes", "Support", "collate", "ragged"]
