"""`fit`: trains a network, keeps what it learned, and continues, to the bit, where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from math import ceil, isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ranvier.data import Labelled
from ranvier.data.labelled import choosable
from ranvier.errors import RunError
from ranvier.training import checkpoint
from ranvier.training.epoch import Augment, Regularisers, Task, train_epoch
from ranvier.training.evaluate import Loss, evaluate
from ranvier.training.guard import Guard
from ranvier.training.identity import identity
from ranvier.training.keeper import FolderKeeper, Keeper
from ranvier.training.memory import keep_freed
from ranvier.training.ranks import Ranks, together
from ranvier.training.schedule import EaseIn, Plateau, Rates
from ranvier.training.threads import thread_count
from ranvier.training.view import view
from ranvier.training.wake import WakeAfterEpoch, Waker, WakeSilent


@dataclass(frozen=True)
class FitConfig:
    """How a network is trained.

    Attributes:
        epochs: passes over the training data, >= 1.
        batch_size: samples per step, >= 1.
        learning_rate: Adam's in the first epoch, > 0.
        decay: factor on the learning rates every `decay_every` epochs, > 0; 1 for none.
        decay_every: epochs from one decay to the next, >= 1.
        ease_in: a slow start over the first batches, or None; all rates share it.
        plateau: cuts of all rates where training accuracy stops rising, or None.
        rates: learning rates of their own in the first epoch, > 0, by what the names of parameters begin with, such
            as "hidden.delays" or "hidden"; where several fit, the longest counts.
        betas: Adam's two memories, each in [0, 1).
        eps: Adam's floor under the root of the second moment, > 0.
        wake: how silent neurons are woken; None leaves them to the gradients.
        wake_after: how neurons that were silent for an epoch are raised after it, or None.
        seed: of the order of the samples and of augmentation, >= 0; weights are drawn before, by who builds
            the network.
        threads: torch's thread count while training; None keeps the caller's. The same count is needed for
            the same bits.

    Raises:
        ValueError: at construction, naming attribute, rule and value.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 5e-3
    decay: float = 0.95
    decay_every: int = 1
    ease_in: EaseIn | None = None
    plateau: Plateau | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    wake: WakeSilent | None = None
    wake_after: WakeAfterEpoch | None = None
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        lowest = {"epochs": 1, "batch_size": 1, "decay_every": 1, "seed": 0, "threads": 1}
        for name, low in lowest.items():
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ValueError(f"`{name}` of FitConfig must be a whole number >= {low}. Got {value!r}.")
        for name in ("learning_rate", "decay", "eps"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"`{name}` of FitConfig must be > 0. Got {value}.")
        object.__setattr__(self, "rates", dict(self.rates))
        for prefix, rate in self.rates.items():
            if not (isfinite(rate) and rate > 0):
                raise ValueError(f"`rates` of FitConfig must be > 0. Got {rate} for {prefix!r}.")
        if not (len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)):
            raise ValueError(f"`betas` of FitConfig must be two numbers in [0, 1). Got {self.betas}.")


@dataclass
class FitResult:
    """How far a training is: what `fit` returns, and what a checkpoint holds beside weights and optimiser.

    Attributes:
        epoch: epochs done.
        metrics: the last epoch's, as in `metrics.jsonl`.
        best_epoch: the first epoch with the best validation accuracy.
        best_validation: that accuracy, a fraction.
        seconds: wall time of the epochs done, validation included.
        samples: training samples seen.
    """

    epoch: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    best_epoch: int = 0
    best_validation: float = -1.0
    seconds: float = 0.0
    samples: int = 0


def fit(
    network: nn.Module,
    loss: Loss,
    train: Labelled,
    validation: Labelled,
    config: FitConfig | None = None,
    *,
    regularisers: Regularisers | None = None,
    augment: Augment | None = None,
    run_dir: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> FitResult:
    """Train `network` in place with Adam; afterwards it holds the final weights.

    With `run_dir`, each epoch ends with a line in `metrics.jsonl` and the checkpoint `last.pt`, each better
    validation with `best.pt`, all written atomically. A training that was stopped at any moment, however
    rudely, and is resumed by the same call with `resume=True` ends with the same weights to the bit (same
    machine, CPU, thread count, number of processes).

    Where torch.distributed is initialised, all its processes call this alike and train together: each computes a share
    of every batch of `batch_size`, and all end with the weights and metrics of one process but for rounding. The first
    one's weights are everybody's at the start; it alone keeps `run_dir` and reports. What layers of the user's own draw
    at random, or compute across samples, they draw and compute for each share.

    Args:
        network: returns `(output, activity)` for spikes; `Network` does.
        loss: of `ranvier.losses`, or what behaves alike.
        train: at least one sample; in memory, or read from a file batch by batch.
        validation: on the same grid, at least one sample; chooses `best.pt` and nothing else. Like `train`, it must
            not be held out: the test part of `Splits` is for `evaluate`, after all choices.
        config: how to train.
        regularisers: by name of a spiking layer, functions of its spike counts [B, N] that are added to the
            loss.
        augment: changes the inputs of each batch; all its randomness must come from the generator it is
            given.
        run_dir: folder to keep the run in; made if absent. None keeps nothing.
        resume: continue from the checkpoint in `run_dir`, or start if there is none yet.
        progress: whether to report on standard error. Nothing goes to standard output.

    Raises:
        RunError: the loss, a gradient or a weight stopped being finite (`network` and the checkpoints keep
            the last good state); `run_dir` cannot be written, holds a run already, or its checkpoints are
            damaged, or of another configuration, other data or another number of processes; processes that train
            together differ in these; or one of them ended (LostProcessError).
        ValueError: naming argument, rule and value.
    """
    config = FitConfig() if config is None else config
    keep_freed()
    with ExitStack() as around:
        ranks = around.enter_context(together(network))
        for name, data in (("train", train), ("validation", validation)):
            choosable(f"`{name}` of fit", data)
        guard = Guard(network)
        groups = _groups(guard, config)
        optimiser = torch.optim.Adam(groups, config.learning_rate, betas=config.betas, eps=config.eps, fused=True)
        rates = Rates(config, optimiser, ceil(len(train) / config.batch_size))
        waker = None if config.wake is None else Waker(config.wake, network)
        if config.wake_after is not None:
            config.wake_after.chosen(network)  # refuses other names before anything runs
        task = Task(
            network, loss, train, regularisers or {}, augment, optimiser, guard, waker, config.wake_after, ranks
        )
        keeper = FolderKeeper(Path(run_dir), resume=resume) if ranks.is_first and run_dir is not None else Keeper()
        loaded = ranks.from_first(lambda: keeper.loaded)
        data = {"train": identity(train), "validation": identity(validation)}
        _check_same(ranks, network, config, data)
        so_far, settings = _start(loaded, ranks, config, data, network, optimiser, rates, waker)
        ranks.copy_first(network)
        screen = around.enter_context(view(show=progress and ranks.is_first))
        around.enter_context(closing(keeper))
        around.enter_context(thread_count(settings["threads"]))
        gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        around.enter_context(torch.random.fork_rng(gpus))  # each epoch seeds the global sources
        if loaded is not None and loaded.note is not None:
            screen.note(loaded.note)
        keeper.begin(so_far.epoch)
        for epoch in range(so_far.epoch + 1, config.epochs + 1):
            started = time.monotonic()
            screen.begin_epoch(epoch, config.epochs, len(train))
            trained = train_epoch(
                task, epoch, config.seed, config.batch_size, screen.batch, before_batch=partial(rates.set, epoch)
            )
            guard.look_at_weights(f"epoch {epoch}, after its last batch")
            last_share = rates.share(epoch, ceil(len(train) / config.batch_size) - 1)
            rates.end_epoch(trained["train_accuracy"])
            ranks.copy_first(network)  # buffers of the user's own may have seen other samples
            checked = evaluate(network, loss, validation, ranks=ranks)
            better = checked.accuracy > so_far.best_validation
            so_far = FitResult(
                epoch=epoch,
                metrics={
                    "epoch": epoch,
                    **trained,
                    "validation_loss": checked.loss,
                    "validation_accuracy": checked.accuracy,
                    "validation_ties": checked.ties,
                    "learning_rate": config.learning_rate * last_share,
                },
                best_epoch=epoch if better else so_far.best_epoch,
                best_validation=checked.accuracy if better else so_far.best_validation,
                seconds=so_far.seconds + time.monotonic() - started,
                samples=so_far.samples + len(train),
            )
            rest = {
                "optimiser": optimiser.state_dict(),
                "settings": settings,
                "data": data,
                "processes": ranks.count,
                "rates": rates.state_dict(),
            }
            if waker is not None:
                rest["waker"] = waker.state_dict()
            keeper.keep(asdict(so_far), network.state_dict(), rest, best=better)
            screen.end_epoch(so_far.metrics, config.epochs)
    return so_far


def _groups(guard: Guard, config: FitConfig) -> list[dict[str, Any]]:
    """The parameters by their learning rate in the first epoch, those with the common one first."""
    members: dict[str, list[nn.Parameter]] = {"": [], **{prefix: [] for prefix in config.rates}}
    for name, parameter in zip(guard.names, guard.parameters, strict=True):
        fitting = [prefix for prefix in config.rates if f"{name}.".startswith(f"{prefix}.")]
        members[max(fitting, key=len, default="")].append(parameter)
    for prefix in config.rates:
        if not members[prefix]:
            raise ValueError(
                f"`rates` of FitConfig must name parameters of the network ({', '.join(guard.names)}). Got {prefix!r}."
            )
    return [
        {"params": parameters, "lr": config.rates.get(prefix, config.learning_rate)}
        for prefix, parameters in members.items()
        if parameters
    ]


def _check_same(ranks: Ranks, network: nn.Module, config: FitConfig, data: dict[str, str]) -> None:
    """Refuse processes that would not train the same network in the same way on the same data."""
    layers = {name: list(value.shape) for name, value in network.named_parameters()}
    told = {f"`{name}` of FitConfig": value for name, value in asdict(config).items()}
    told |= {f"`{name}` of fit": value for name, value in {"network": layers, **data}.items()}
    for other in ranks.of_each(told):
        for name, value in told.items():
            if other[name] != value:
                raise RunError(f"{name} must be the same in all processes. Got {value} and {other[name]}.")


def _start(
    loaded: checkpoint.Loaded | None,
    ranks: Ranks,
    config: FitConfig,
    data: dict[str, str],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    rates: Rates,
    waker: Waker | None,
) -> tuple[FitResult, dict[str, Any]]:
    """How far the training is and the settings it keeps, with network, optimiser, rates and waker as they were."""
    settings = asdict(config)
    del settings["epochs"]
    if loaded is None:
        return FitResult(), settings | {"threads": config.threads or torch.get_num_threads()}
    content = loaded.content
    processes = content.get("processes", 1)  # absent from older runs
    if ranks.count != processes:
        raise RunError(
            f"A run must go on with as many processes as it was started with, {processes}. Got {ranks.count}."
        )
    kept = asdict(FitConfig()) | content["settings"]  # what was no setting yet had its default
    for name, value in settings.items():
        if value != kept[name] and not (name == "threads" and value is None):
            raise RunError(f"`{name}` of FitConfig must be as when the run was started, {kept[name]}. Got {value}.")
    for name, value in content.get("data", data).items():  # absent from older runs
        if value != data[name]:
            raise RunError(f"`{name}` of fit must be what it was when the run was started, {value}. Got {data[name]}.")
    if content["epoch"] > config.epochs:
        raise RunError(f"`epochs` of FitConfig must be at least those done, {content['epoch']}. Got {config.epochs}.")
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise RunError("`network` of fit must be built as when the run was started. Got other layers.") from error
    optimiser.load_state_dict(content["optimiser"])
    if "rates" in content:  # absent from runs older than cuts
        rates.load_state_dict(content["rates"])
    if waker is not None:
        waker.load_state_dict(content["waker"])
    return FitResult(**{known.name: content[known.name] for known in fields(FitResult)}), kept
