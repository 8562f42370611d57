"""From sound to spikes: the cochlea, and the conversion of recordings."""

from ranvier.data.audio.basilar import BasilarMembrane
from ranvier.data.audio.bushy_cell import BushyCell
from ranvier.data.audio.cochlea import Cochlea, Heard
from ranvier.data.audio.conversion import Converted, convert
from ranvier.data.audio.hair_cell import HairCell

__all__ = ["BasilarMembrane", "BushyCell", "Cochlea", "Converted", "HairCell", "Heard", "convert"]
