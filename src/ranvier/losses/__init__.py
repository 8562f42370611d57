"""From outputs to scores and losses, and penalties on activity: plain torch."""

from ranvier.losses.activity import LowerActivity, TargetActivity, UpperActivity
from ranvier.losses.delta_mse import DeltaMSE
from ranvier.losses.first_spike import FirstSpikeCrossEntropy
from ranvier.losses.over_time import (
    CrossEntropyOverTime,
    IntegralCrossEntropy,
    MaxOverTimeCrossEntropy,
    MeanOverTimeCrossEntropy,
)
from ranvier.losses.verdict import Verdict

__all__ = [
    "CrossEntropyOverTime",
    "DeltaMSE",
    "FirstSpikeCrossEntropy",
    "IntegralCrossEntropy",
    "LowerActivity",
    "MaxOverTimeCrossEntropy",
    "MeanOverTimeCrossEntropy",
    "TargetActivity",
    "UpperActivity",
    "Verdict",
]
