"""Training: `fit`, checkpoints, metrics, and evaluation."""

from ranvier.training.evaluate import Evaluation, Loss, evaluate
from ranvier.training.fit import FitConfig, FitResult, fit

__all__ = ["Evaluation", "FitConfig", "FitResult", "Loss", "evaluate", "fit"]
