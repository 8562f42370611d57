"""Training: `fit`, checkpoints, metrics, and evaluation."""

from ranvier.training.evaluate import Evaluation, Loss, evaluate
from ranvier.training.fit import FitConfig, FitResult, fit
from ranvier.training.wake import WakeSilent

__all__ = ["Evaluation", "FitConfig", "FitResult", "Loss", "WakeSilent", "evaluate", "fit"]
