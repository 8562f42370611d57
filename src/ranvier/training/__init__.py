"""Training: `fit`, checkpoints, metrics, and evaluation."""

from ranvier.training.evaluate import Evaluation, Loss, evaluate
from ranvier.training.fit import FitConfig, FitResult, fit
from ranvier.training.ranks import Ranks, together
from ranvier.training.schedule import EaseIn, Plateau
from ranvier.training.wake import WakeAfterEpoch, WakeSilent

__all__ = [
    "EaseIn",
    "Evaluation",
    "FitConfig",
    "FitResult",
    "Loss",
    "Plateau",
    "Ranks",
    "WakeAfterEpoch",
    "WakeSilent",
    "evaluate",
    "fit",
    "together",
]
