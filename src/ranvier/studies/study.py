"""`Study`: what a configuration builds, ready for `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ranvier.studies.config import SPEECH, RunConfig

if TYPE_CHECKING:
    from ranvier.data import Splits
    from ranvier.data.audio.conversion import Progress
    from ranvier.gradients import Gradient
    from ranvier.layers import Network
    from ranvier.training import FitConfig, Loss, WakeSilent
    from ranvier.training.epoch import Augment, Regularisers


class Study(NamedTuple):
    """A configuration's parts.

    Attributes:
        splits: inputs, on the grid if there is one.
        network: freshly drawn from the seed.
        loss: scores the network's output.
        fit: how to train.
        regularisers, augment: see `fit`.
    """

    splits: Splits
    network: Network
    loss: Loss
    fit: FitConfig
    regularisers: Regularisers
    augment: Augment | None


def study(config: RunConfig, progress: Progress | None = None) -> Study:
    """Load the data of a configuration and build its network.

    Args:
        config: complete.
        progress: told of every recording that is turned into spikes, on the first use of a data set of sound.

    Raises:
        DataError: the data cannot be had or is damaged.
        RunError: what recordings became cannot be kept.
    """
    return assemble(config, load(config, progress))


def load(config: RunConfig, progress: Progress | None = None) -> Splits:
    """The data of a configuration in continuous time; arguments and errors as `study` has them."""
    from ranvier.studies import delgrad, latency_mnist, speech, yinyang

    if config.form in SPEECH:
        return speech.load(config, progress)
    loaders = {"yinyang": yinyang.load, "yinyang-delays": delgrad.load}
    return loaders.get(config.dataset, latency_mnist.load)(config)


def assemble(config: RunConfig, splits: Splits) -> Study:
    """What a configuration builds for such data in continuous time, its own or others of the same shape."""
    from ranvier.studies import delgrad, latency_mnist, speech, yinyang

    if config.form in SPEECH:
        return speech.assemble(config, splits)
    builders = {"yinyang": yinyang.assemble, "yinyang-delays": delgrad.assemble}
    return builders.get(config.dataset, latency_mnist.assemble)(config, splits)


def gradient_of(config: RunConfig) -> Gradient:
    """The gradient that a configuration names."""
    from ranvier.gradients import Esser, EventProp, SigmoidDerivative, SuperSpike, Surrogate

    if config.gradient == "eventprop":
        return EventProp(min_slope=0.0) if config.engine == "exact" else EventProp()  # published without a bound
    shapes = {"superspike": SuperSpike, "sigmoid": SigmoidDerivative, "esser": Esser}
    assert config.surrogate is not None
    assert config.surrogate_scale is not None
    return Surrogate(shapes[config.surrogate](scale=config.surrogate_scale))


def gridded(splits: Splits, config: RunConfig) -> Splits:
    """The splits on the configuration's grid, if it has one, the training part cut to `n_train`."""
    from ranvier.data import Splits

    train = splits.train if config.n_train is None else splits.train[: config.n_train]
    parts = (train, splits.validation, splits.test)
    if config.dt is None:
        return Splits(*parts)
    return Splits(*(part.on_grid(config.dt, coincident="sum") for part in parts))


def fit_config(
    config: RunConfig, rates: Mapping[str, float] | None = None, wake: WakeSilent | None = None
) -> FitConfig:
    """The part of a configuration that is about training, with what a study adds to it; see `FitConfig`."""
    from ranvier.training import EaseIn, FitConfig, Plateau, WakeAfterEpoch

    return FitConfig(
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        decay=config.decay,
        decay_every=config.decay_every,
        rates=rates or {},
        wake=wake,
        ease_in=None if config.ease_in is None else EaseIn(*config.ease_in),
        plateau=None if config.plateau is None else Plateau(patience=config.plateau),
        wake_after=None if config.wake_after is None else WakeAfterEpoch("hidden", config.wake_after),
        seed=config.seed,
        threads=config.threads,
    )


def regularisers_of(config: RunConfig) -> Regularisers:
    """The activity penalties on the hidden layer that a configuration asks for."""
    from ranvier.losses import LowerActivity, TargetActivity, UpperActivity

    rules = []
    if config.lower_activity is not None:
        rules.append(LowerActivity(*config.lower_activity))
    if config.upper_activity is not None:
        rules.append(UpperActivity(*config.upper_activity))
    if config.target_activity is not None:
        rules.append(TargetActivity.published(*config.target_activity, tau_mem=config.tau_mem))
    return {"hidden": rules} if rules else {}


def augment_of(config: RunConfig) -> Augment | None:
    """The change of the inputs while training that a configuration asks for."""
    from ranvier.data import DropEvents

    return DropEvents(config.drop) if config.drop else None
