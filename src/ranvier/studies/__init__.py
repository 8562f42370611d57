"""The experiments of the literature, one per file, as configurations and what they build."""

from ranvier.studies.config import DATASETS, DELAYS, GRADIENTS, SPEECH, SURROGATES, RunConfig, takes_folder
from ranvier.studies.study import Study, study
from ranvier.studies.table import documented

__all__ = [
    "DATASETS",
    "DELAYS",
    "GRADIENTS",
    "SPEECH",
    "SURROGATES",
    "RunConfig",
    "Study",
    "documented",
    "study",
    "takes_folder",
]
