"""From outputs to scores and losses, and penalties on activity: plain torch."""

from ranvier.losses.activity import LowerActivity, UpperActivity
from ranvier.losses.first_spike import FirstSpikeCrossEntropy
from ranvier.losses.over_time import MaxOverTimeCrossEntropy, MeanOverTimeCrossEntropy

__all__ = [
    "FirstSpikeCrossEntropy",
    "LowerActivity",
    "MaxOverTimeCrossEntropy",
    "MeanOverTimeCrossEntropy",
    "UpperActivity",
]
