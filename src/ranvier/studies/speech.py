"""Spoken words: spikes of a model of the inner ear, one recurrent hidden layer, a leaky readout for each class.

With EventProp, Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025), arXiv 2212.01232: the class whose membrane
has the largest mean under a weight that falls exponentially with time; 93.5 ± 0.7 % on the test set of SHD after a
search over settings, sizes and augmentations. With a surrogate, the class whose membrane rises highest, as in Zenke &
Vogels, Neural Comput. 33:899 (2021), and weights under which membranes fluctuate, Rossbroich, Gygax & Zenke (2022).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from ranvier.data import (
    Augmentations,
    ByRatio,
    Labelled,
    ShiftUnits,
    SpikeFile,
    Splits,
    StoredSpikes,
    blend,
    leave_one_out,
    load_shd,
    load_spikes,
    load_ssc,
)
from ranvier.data.audio.cached import encoded_folder, encoded_fsdd
from ranvier.data.audio.conversion import Progress
from ranvier.data.audio.ears import ear
from ranvier.data.audio.recordings import LabelFrom
from ranvier.data.fsdd import FSDD_OFFICIAL
from ranvier.data.load import CHANNELS
from ranvier.data.split import Divisible, Parts, SplitRule, distinct
from ranvier.errors import DataError
from ranvier.gradients import EventProp
from ranvier.layers import DelayLine, Network, Readout, Spiking, init
from ranvier.losses import IntegralCrossEntropy, MaxOverTimeCrossEntropy
from ranvier.neurons import LI, CubaLIF
from ranvier.ops.membrane import Weight
from ranvier.studies.config import RunConfig
from ranvier.studies.study import Study, augment_of, fit_config, gradient_of, regularisers_of
from ranvier.training.epoch import Augment

_SPACING = 30e-3  # between copies of a delay line, s
_SHARE = 0.9  # of a fluctuating membrane's variance that comes from the input, the rest from recurrence
# Slope below which a spike's adjoint is bounded, in thresholds. Membranes under hundreds of weak inputs cross flatly:
# of a fresh network for FSDD gradients of single batches have norms of 42 to 3e16 at 0.01, 2 to 15 at 0.1, 0.8 to 2 at
# 2 (benchmarks.gradient_noise)
_MIN_SLOPE = 2.0
_LOWEST = {"tau_mem": 3e-3, "tau_syn": 1e-3}  # of time constants that are drawn or learned, s
_LOOKED_AT = 256  # training samples that tell the mean rate of the input


def assemble(config: RunConfig, splits: Splits) -> Study:
    """The study's parts; see `Study`."""
    n_in, n_out = splits.train[:0].inputs.n_units, splits.train.n_classes
    splits = _on_grid(splits, config)
    source = torch.Generator().manual_seed(config.seed)
    line = DelayLine(n_in, config.delay_line, _SPACING)
    weights, recurrent = _rules(config, n_in, splits.train)
    neuron = _neuron(config, source)
    hidden = Spiking(
        line.n_out,
        config.hidden,
        neuron,
        recurrent=True,
        gradient=EventProp(_MIN_SLOPE) if config.gradient == "eventprop" else gradient_of(config),
        weights=weights,
        recurrent_weights=recurrent,
        bounds={name: (low, 3 * getattr(config, name)) for name, low in _LOWEST.items()} if neuron.learn else None,
        generator=source,
    )
    readout = LI(tau_mem=config.tau_mem, tau_syn=config.tau_syn)
    output = Readout(config.hidden, n_out, readout, weights=init.normal(*config.output_weights), generator=source)
    before: dict[str, Any] = {"delay_line": line} if config.delay_line > 1 else {}
    return Study(
        splits=splits,
        network=Network(**before, hidden=hidden, output=output),
        loss=MaxOverTimeCrossEntropy() if config.loss == "maximum" else IntegralCrossEntropy(cast(Weight, config.loss)),
        fit=fit_config(config, None if config.output_rate is None else {"output": config.output_rate}),
        regularisers=regularisers_of(config),
        augment=_augment(config, n_in),
    )


def load(config: RunConfig, progress: Progress | None = None) -> Splits[StoredSpikes]:
    """The data of a configuration in continuous time, read batch by batch.

    Args:
        config: of a data set of speech.
        progress: told of every recording that is turned into spikes, on the first use of recordings.

    Raises:
        DataError: the data cannot be had, are damaged, or have no speakers to leave out.
        RunError: what recordings became cannot be kept.
    """
    if config.form in ("shd", "ssc"):
        return (load_shd if config.form == "shd" else load_ssc)(config.data_dir, duration=config.duration)
    path = Path(config.path or "") if config.form == "spikes:FILE.h5" else _encoded(config, progress)
    n_units = config.channels or SpikeFile(path).channels or CHANNELS
    try:
        return load_spikes(path, duration=config.duration, split=_rule(config), n_units=n_units)
    except ValueError as error:  # too few samples for the parts
        raise DataError(f"{path} must have samples for training, validation and test. Got: {error}") from error


def _encoded(config: RunConfig, progress: Progress | None) -> Path:
    cochlea, jobs = ear(config.ear, config.channels), config.threads or torch.get_num_threads()
    if config.form == "fsdd":
        if config.data_dir is None:
            raise DataError("`data_dir` (--data-dir) must name the folder of the Free Spoken Digit Dataset. Got none.")
        return encoded_fsdd(Path(config.data_dir), cochlea, jobs=jobs, progress=progress)
    label_from = cast(LabelFrom, config.label_from)
    return encoded_folder(Path(config.path or ""), cochlea, label_from=label_from, jobs=jobs, progress=progress)


def _rule(config: RunConfig) -> SplitRule:
    if config.leave_out is not None:
        return partial(_without, config.leave_out)
    return FSDD_OFFICIAL if config.form == "fsdd" else ByRatio(seed=config.split_seed)


def _without(speaker: str, source: Divisible) -> Parts:
    rules = leave_one_out(source)
    if speaker not in rules:
        known = ", ".join(distinct(source.column("speaker"))[:20])
        raise DataError(f"`leave_out` must be a speaker of {source}: {known}. Got {speaker}.")
    return rules[speaker](source)


def _on_grid(splits: Splits, config: RunConfig) -> Splits:
    """On the grid, at most one spike per channel and step as published; the training part cut to `n_train`, blended."""
    assert config.dt is not None
    train: Any = splits.train
    if config.n_train is not None:  # files have one class after the other
        train = train.select(torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: config.n_train])
    if config.blend:
        train = blend(train[:], torch.Generator().manual_seed(config.seed))
    parts = (train, splits.validation, splits.test)
    return Splits(*(part.on_grid(config.dt, coincident="one") for part in parts))


def _neuron(config: RunConfig, source: torch.Generator) -> CubaLIF:
    """The hidden layer's, drawn unit by unit where asked for."""
    times: dict[str, Any] = {name: getattr(config, name) for name in _LOWEST}
    if config.drawn_times:
        times = {
            name: init.gamma_times(times[name], config.hidden, lowest=low, generator=source)
            for name, low in _LOWEST.items()
        }
    return CubaLIF(**times, learn=tuple(_LOWEST) if config.learned_times else ())


def _rules(config: RunConfig, n_in: int, train: Labelled) -> tuple[init.Initialiser, init.Initialiser]:
    """What draws the input weights and the recurrent weights."""
    if config.xi is None:
        assert config.hidden_weights is not None
        assert config.recurrent_weights is not None
        weights = init.normal(*config.hidden_weights)
        inputs = config.delay_line * n_in / CHANNELS  # as many times the published number
        return init.divided(weights, inputs), init.normal(*config.recurrent_weights)
    neuron = CubaLIF(tau_mem=config.tau_mem, tau_syn=config.tau_syn)
    rate = _mean_rate(config.dataset, train)
    ready = partial(init.fluctuation_driven, neuron, rate, dt=config.dt, xi=config.xi)
    return ready(share=_SHARE), ready(share=1 - _SHARE)


def _mean_rate(dataset: str, train: Labelled) -> float:
    """Spikes per channel and second, of some training samples from all over the set."""
    some = train[:: max(1, len(train) // _LOOKED_AT)].inputs
    rate = some.n_events / (some.n_samples * some.n_units * some.duration)
    if not rate:
        raise DataError(f"{dataset} must hold spikes. Got none in {some.n_samples} training samples.")
    return rate


def _augment(config: RunConfig, n_units: int) -> Augment | None:
    drop = augment_of(config)
    shift = ShiftUnits(round(config.shift * n_units / CHANNELS))
    each = (*(() if drop is None else (drop,)), *((shift,) if shift.most else ()))
    return Augmentations(each) if each else None
