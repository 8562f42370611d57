"""`RunConfig`: every number a run depends on. Free of torch, so that options are checked at once."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from math import inf, isfinite
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

DATASETS = ("yinyang", "yinyang-delays", "mnist", "fashion-mnist")
GENERATED = ("yinyang", "yinyang-delays")  # need no files
DELAYS = ("none", "axonal", "synaptic")
GRADIENTS = ("eventprop", "surrogate")
ENGINES = ("grid", "exact")
SURROGATES = ("superspike", "sigmoid", "esser")

_MOST_STEPS = 1_000_000  # a sample's grid; steps are 32-bit and traces are held per step


@dataclass(frozen=True)
class RunConfig:
    """A run, completely. `documented` gives each data set's defaults.

    Times are in seconds, rates of learning and strengths are dimensionless.

    Attributes:
        dataset: one of `DATASETS`.
        gradient: one of `GRADIENTS`.
        engine: one of `ENGINES`: a time grid, or continuous time (EventProp only).
        surrogate: one of `SURROGATES`; None with EventProp.
        surrogate_scale: steepness of the surrogate, > 0; None with EventProp.
        epochs, batch_size, hidden: whole numbers >= 1.
        decay_every: epochs from one decay to the next, >= 1.
        delays: one of `DELAYS`, which are learned; only for yinyang-delays.
        delay_rate: Adam's for the delays, in the first epoch; None without delays.
        bias_spike: whether a further input spikes in every sample; only for yinyang-delays.
        seed: of weights, order and augmentation, >= 0.
        dt: grid step, 0 < dt <= duration; None with the exact engine.
        duration: of a sample.
        learning_rate: Adam's, in the first epoch.
        decay: factor on all learning rates every `decay_every` epochs.
        tau_mem, tau_syn: time constants of all layers.
        hidden_weights, output_weights: mean and standard deviation of the initial weights.
        drop: probability that an input spike is left out while training, 0 <= drop < 1.
        lower_activity: strength and spikes per unit and sample below which hidden units are woken; None for
            no penalty.
        upper_activity: strength and mean spikes per unit and sample above which the hidden layer is
            quietened; None likewise.
        n_train: use only the first so many training samples; None for all. For trials, not for results.
        threads: torch's thread count, >= 1; None for torch's own choice.
        data_dir: folder of the data files; None for the user's cache folder.

    Raises:
        ValueError: at construction, naming attribute, rule and value.
    """

    dataset: str
    gradient: str
    surrogate: str | None
    surrogate_scale: float | None
    epochs: int
    batch_size: int
    hidden: int
    dt: float | None
    duration: float
    learning_rate: float
    decay: float
    tau_mem: float
    tau_syn: float
    hidden_weights: tuple[float, float]
    output_weights: tuple[float, float]
    engine: str = "grid"
    drop: float = 0.0
    lower_activity: tuple[float, float] | None = None
    upper_activity: tuple[float, float] | None = None
    decay_every: int = 1
    delays: str = "none"
    delay_rate: float | None = None
    bias_spike: bool = False
    seed: int = 0
    n_train: int | None = None
    threads: int | None = None
    data_dir: str | None = None

    def __post_init__(self) -> None:
        self._check_choices()
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and low <= value <= high):
                raise ValueError(f"`{name}` must be a whole number from {low} to {high}. Got {value!r}.")
        for name in ("duration", "learning_rate", "decay", "tau_mem", "tau_syn"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"`{name}` must be a finite number > 0. Got {value}.")
        self._check_grid()
        self._check_delays()
        if not 0 <= self.drop < 1:
            raise ValueError(f"`drop` must be a probability below 1. Got {self.drop}.")
        for name in ("hidden_weights", "output_weights", "lower_activity", "upper_activity"):
            value = getattr(self, name)
            if value is not None:
                self._check_pair(name, value)

    def _check_grid(self) -> None:
        if self.engine == "exact":
            if self.dt is not None:
                raise ValueError(f"`dt` must not be given with `engine` exact, which has no grid. Got {self.dt}.")
            return
        if self.dt is None or not (isfinite(self.dt) and self.dt > 0):
            raise ValueError(f"`dt` must be a finite number > 0. Got {self.dt}.")
        if not 1 <= round(self.duration / self.dt) <= _MOST_STEPS or self.dt > self.duration:
            raise ValueError(
                f"`dt` must divide a sample of {self.duration} s into 1 to {_MOST_STEPS:,} steps. Got {self.dt}."
            )

    def _check_delays(self) -> None:
        if self.dataset == "yinyang-delays":
            for name, only in (("gradient", "eventprop"), ("engine", "exact")):
                if getattr(self, name) != only:
                    raise ValueError(f"`{name}` of yinyang-delays must be {only}. Got {getattr(self, name)}.")
        else:
            for name, none in (("delays", "none"), ("bias_spike", False)):
                if getattr(self, name) != none:
                    raise ValueError(f"`{name}` needs the data set yinyang-delays. Got {self.dataset}.")
        if self.delays == "none":
            if self.delay_rate is not None:
                raise ValueError(f"`delay_rate` needs `delays` axonal or synaptic. Got {self.delay_rate}.")
        elif self.delay_rate is None or not (isfinite(self.delay_rate) and self.delay_rate > 0):
            raise ValueError(f"`delay_rate` must be a finite number > 0. Got {self.delay_rate}.")

    def _check_choices(self) -> None:
        named = {"dataset": DATASETS, "gradient": GRADIENTS, "engine": ENGINES, "delays": DELAYS}
        for name, choices in named.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"`{name}` must be one of {', '.join(choices)}. Got {getattr(self, name)!r}.")
        if self.gradient == "eventprop":
            for name in ("surrogate", "surrogate_scale"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` needs `gradient` surrogate. Got gradient eventprop.")
            return
        if self.engine == "exact":
            raise ValueError("`gradient` surrogate needs `engine` grid. Got engine exact.")
        if self.surrogate not in SURROGATES:
            raise ValueError(f"`surrogate` must be one of {', '.join(SURROGATES)}. Got {self.surrogate!r}.")
        if not 0 < (self.surrogate_scale or 0) < inf:
            raise ValueError(f"`surrogate_scale` must be a finite number > 0. Got {self.surrogate_scale}.")

    def _check_pair(self, name: str, value: Any) -> None:
        pair = tuple(value)
        if len(pair) != 2 or not all(isfinite(number) for number in pair) or pair[1] < 0:
            raise ValueError(f"`{name}` must be two finite numbers, the second >= 0. Got {value}.")
        object.__setattr__(self, name, pair)

    @classmethod
    def from_dict(cls, values: Any) -> RunConfig:
        """The configuration that `dataclasses.asdict` turned into `values`, as read back from JSON.

        Settings newer than the run that `values` is from may be missing; they have their defaults.

        Raises:
            ValueError: `values` is no such dictionary, or what it holds is out of range.
        """
        names = {field.name: field.default for field in fields(cls)}
        needed = {name for name, default in names.items() if default is MISSING}
        if not isinstance(values, dict) or not needed <= set(values) <= set(names):
            raise ValueError(f"`values` of RunConfig.from_dict must hold exactly {', '.join(sorted(names))}.")
        hints = get_type_hints(cls)
        for name, value in values.items():
            if not _fits(value, hints[name]):
                raise ValueError(f"`{name}` must be of type {hints[name]}. Got {value!r}.")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**given)


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, kind) for kind in get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return isinstance(value, list) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is bool:
        return isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and not isinstance(value, bool)


_WHOLE = {
    "epochs": (1, 10**9),
    "batch_size": (1, 10**9),
    "decay_every": (1, 10**9),
    "hidden": (1, 100_000),
    "seed": (0, 2**63 - 1),
    "n_train": (1, 10**9),
    "threads": (1, 1024),
}
