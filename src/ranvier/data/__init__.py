"""Data sets, encoders and augmentations: everything ends as `Spikes` and labels."""

from ranvier.data.audio import Cochlea
from ranvier.data.augment import DropEvents
from ranvier.data.encode import linear_latency, pixel_latency
from ranvier.data.idx import read_idx
from ranvier.data.labelled import LabelledSpikes, Splits, collate_labelled
from ranvier.data.mnist import load_fashion_mnist, load_mnist
from ranvier.data.yinyang import load_yinyang, yinyang_class, yinyang_points

__all__ = [
    "Cochlea",
    "DropEvents",
    "LabelledSpikes",
    "Splits",
    "collate_labelled",
    "linear_latency",
    "load_fashion_mnist",
    "load_mnist",
    "load_yinyang",
    "pixel_latency",
    "read_idx",
    "yinyang_class",
    "yinyang_points",
]
