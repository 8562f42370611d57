"""`warm`: compile what documented trainings run, without their data."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch

from ranvier.data import LabelledSpikes, Splits, assemble
from ranvier.ops import threads
from ranvier.spikes import Spikes
from ranvier.studies.config import DELAYS, GENERATED, SPEECH, RunConfig
from ranvier.studies.study import assemble as assemble_study
from ranvier.studies.study import load
from ranvier.studies.table import documented
from ranvier.training import fit

_SAMPLES = 16  # of which every thread gets some
_EVENTS = 200  # of a sample


def warmable() -> list[RunConfig]:
    """The documented settings that differ in the kernels they run."""
    return [
        documented("yinyang"),
        documented("yinyang", engine="grid"),
        documented("yinyang", "surrogate"),
        *(documented("yinyang-delays", delays=delays) for delays in DELAYS),
        documented("mnist"),
        documented("mnist", engine="exact"),
        documented("mnist", "surrogate"),
        documented("shd"),
        documented("shd", "surrogate"),
        documented("shd", "surrogate", surrogate="superspike", surrogate_scale=10.0),
    ]


def warm(config: RunConfig) -> None:
    """Train one batch as the configuration has it, so that its kernels are in the cache; files are not asked for."""
    parts = assemble_study(replace(config, n_train=_SAMPLES), stand_in(config))
    with threads.all_shared(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a layer may stay silent: its kernels are compiled all the same
        fit(
            parts.network,
            parts.loss,
            parts.splits.train,
            parts.splits.validation[:_SAMPLES],
            replace(parts.fit, epochs=1),
            regularisers=parts.regularisers,
            augment=parts.augment,
            progress=False,
        )


def stand_in(config: RunConfig) -> Splits:
    """Data in the shape of a configuration's: its own where it is generated, else random spikes."""
    if config.form in GENERATED:
        return load(config)
    n_units, n_classes = (config.channels or 700, 20) if config.form in SPEECH else (784, 10)
    random = np.random.default_rng(0)

    def part() -> LabelledSpikes:
        times = np.sort(random.random((_SAMPLES, _EVENTS)).astype(np.float32) * config.duration)
        units = random.integers(n_units, size=times.shape)
        inputs = Spikes.from_samples(list(zip(times, units, strict=True)), unit_shape=n_units, duration=config.duration)
        return LabelledSpikes(inputs, torch.arange(_SAMPLES) % n_classes, n_classes)

    if config.form in SPEECH:  # what is read from files is put on the grid by a kernel of its own
        assert config.dt is not None
        cells = assemble.Sample(np.zeros(1, np.int32), None, 0)
        assemble.on_grid([cells] * _SAMPLES, n_units, assemble.Grid(config.dt, "one", 1))
    return Splits(part(), part(), part())
