"""Data sets, encoders and augmentations: everything ends as `Spikes` and labels."""

from ranvier.data.audio import Cochlea
from ranvier.data.augment import Augmentations, DropEvents, JitterTimes, ShiftUnits, StretchTime
from ranvier.data.blend import blend
from ranvier.data.encode import linear_latency, pixel_latency
from ranvier.data.events import EventCounts, EventRules
from ranvier.data.fsdd import FSDD_OFFICIAL, Recording, Recordings, fsdd_recordings, load_fsdd
from ranvier.data.heidelberg import load_shd, load_ssc
from ranvier.data.idx import read_idx
from ranvier.data.kept import Kept
from ranvier.data.labelled import Labelled, LabelledSpikes, Splits, collate_labelled
from ranvier.data.load import load_spikes
from ranvier.data.mnist import load_fashion_mnist, load_mnist
from ranvier.data.spike_file import SpikeFile
from ranvier.data.split import ByColumn, ByRatio, leave_one_out
from ranvier.data.stored import StoredSpikes
from ranvier.data.yinyang import load_yinyang, yinyang_class, yinyang_points

__all__ = [
    "FSDD_OFFICIAL",
    "Augmentations",
    "ByColumn",
    "ByRatio",
    "Cochlea",
    "DropEvents",
    "EventCounts",
    "EventRules",
    "JitterTimes",
    "Kept",
    "Labelled",
    "LabelledSpikes",
    "Recording",
    "Recordings",
    "ShiftUnits",
    "SpikeFile",
    "Splits",
    "StoredSpikes",
    "StretchTime",
    "blend",
    "collate_labelled",
    "fsdd_recordings",
    "leave_one_out",
    "linear_latency",
    "load_fashion_mnist",
    "load_fsdd",
    "load_mnist",
    "load_shd",
    "load_spikes",
    "load_ssc",
    "load_yinyang",
    "pixel_latency",
    "read_idx",
    "yinyang_class",
    "yinyang_points",
]
