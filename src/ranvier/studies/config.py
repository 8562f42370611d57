"""`RunConfig`: every number a run depends on. Free of torch, so that options are checked at once."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from math import inf, isfinite
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

NAMING = ("spikes:FILE.h5", "audio:FOLDER")  # forms of names that say where the data are
SPEECH = ("fsdd", "shd", "ssc", *NAMING)
DATASETS = ("yinyang", "yinyang-delays", "mnist", "fashion-mnist", *SPEECH)
GENERATED = ("yinyang", "yinyang-delays")  # need no files
DELAYS = ("none", "axonal", "synaptic")
GRADIENTS = ("eventprop", "surrogate")
ENGINES = ("grid", "exact")
SURROGATES = ("superspike", "sigmoid", "esser")
LOSSES = ("constant", "linear", "exponential", "sigmoid", "maximum")
LABELS = ("name", "folder")
EAR_NAMES = ("heidelberg", "speech")  # those of `data.audio.ears`, which needs torch

_MOST_STEPS = 1_000_000  # a sample's grid; steps are 32-bit and traces are held per step


@dataclass(frozen=True)
class RunConfig:
    """A run, completely. `documented` gives each data set's defaults.

    Times are in seconds, rates of learning and strengths are dimensionless.

    Attributes:
        dataset: one of `DATASETS`, with a path in place of FILE.h5 or FOLDER.
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
        hidden_weights, output_weights: mean and standard deviation of the initial weights; `hidden_weights` None
            with `xi`.
        drop: probability that an input spike is left out while training, 0 <= drop < 1.
        lower_activity: strength and spikes per unit and sample below which hidden units are woken; None for
            no penalty.
        upper_activity: strength and mean spikes per unit and sample above which the hidden layer is
            quietened; None likewise.
        target_activity: the literature's strength c' and spikes per unit and sample that hidden units are pulled to
            from both sides, as in `TargetActivity.published`; None likewise.
        ease_in: share of the learning rate in the first batch, and factor per batch until it is whole; None for none.
        plateau: epochs that pass at least before the learning rate is halved because training accuracy stopped rising,
            >= 1; None for never.
        wake_after: what is added to all incoming weights of hidden units that were silent for an epoch; None for
            nothing.
        n_train: use only the first so many training samples; None for all. For trials, not for results.
        threads: torch's thread count, >= 1; None for torch's own choice.
        data_dir: folder of the data files; None for the user's cache folder.

    The others are of the data sets of speech, `SPEECH`, alone:

    Attributes:
        recurrent_weights: mean and standard deviation of the initial recurrent weights; None with `xi`.
        xi: standard deviations of a fluctuating membrane from its mean to the threshold, which draws input and
            recurrent weights of the hidden layer in place of `hidden_weights` and `recurrent_weights`; None to not.
        loss: what the classes' scores are, one of `LOSSES`: a weighted mean of each readout over time, or its maximum.
        channels: of the inner ear, or of the file, >= 1; None for those that a spike file tells, or else 700.
        delay_line: copies of the input, 30 ms apart, that the hidden layer gets, >= 1; by so many `hidden_weights`
            of speech are divided, and by the number of channels over 700, for which they are published.
        shift: most channels of 700 by which all spikes of a sample are moved while training, >= 0; of other numbers of
            channels as many in proportion.
        leave_out: the speaker who is tested, while the next one in the alphabet validates; None for the data set's own
            parts. Not for shd and ssc.
        split_seed: of the tenths of each class that validate and are tested, where the data set has no parts of its
            own.
        label_from: where recordings have their classes, one of `LABELS`; for audio:FOLDER.
        ear: which cochlea hears recordings, one of `EAR_NAMES`; see `data.audio.ears`. For fsdd and audio:FOLDER.
        output_rate: Adam's for the readout's weights, in the first epoch; None for `learning_rate`.
        drawn_times: whether each hidden unit has time constants of its own, of which `tau_mem` and `tau_syn` are the
            means: see `init.gamma_times`. With `xi`, the means still draw the weights.
        learned_times: whether the hidden layer's time constants are trained, within 3 ms (synapses: 1 ms) and 3 times
            `tau_mem` (`tau_syn`).
        blend: whether training samples are joined by as many blends of pairs: see `data.blend`. Holds the training
            part in memory.

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
    hidden_weights: tuple[float, float] | None
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
    target_activity: tuple[float, float] | None = None
    ease_in: tuple[float, float] | None = None
    plateau: int | None = None
    wake_after: float | None = None
    recurrent_weights: tuple[float, float] | None = None
    xi: float | None = None
    loss: str | None = None
    channels: int | None = None
    delay_line: int = 1
    shift: int = 0
    leave_out: str | None = None
    split_seed: int = 0
    label_from: str = "name"
    ear: str = "heidelberg"
    output_rate: float | None = None
    drawn_times: bool = False
    learned_times: bool = False
    blend: bool = False

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
        if self.wake_after is not None and not (isfinite(self.wake_after) and self.wake_after > 0):
            raise ValueError(f"`wake_after` must be a finite number > 0. Got {self.wake_after}.")
        self._check_grid()
        self._check_delays()
        self._check_speech()
        if not 0 <= self.drop < 1:
            raise ValueError(f"`drop` must be a probability below 1. Got {self.drop}.")
        for name in _PAIRS:
            value = getattr(self, name)
            if value is not None:
                self._check_pair(name, value)
        if self.ease_in is not None and not (0 < self.ease_in[0] <= 1 < self.ease_in[-1]):
            raise ValueError(f"`ease_in` must be a share > 0 and <= 1, and a factor > 1. Got {self.ease_in}.")

    @property
    def form(self) -> str:
        """The data set's entry in `DATASETS`."""
        return form_of(self.dataset) or self.dataset

    @property
    def path(self) -> str | None:
        """What the data set's name says after the colon."""
        return self.dataset.partition(":")[2] or None

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

    def _check_speech(self) -> None:
        if self.form not in SPEECH:
            for name in _SPEECH_ONLY:
                if getattr(self, name) != getattr(type(self), name):
                    told = ", ".join(SPEECH)
                    raise ValueError(f"`{name}` needs a data set of speech ({told}). Got {self.dataset}.")
            if self.hidden_weights is None:
                raise ValueError(f"`hidden_weights` of {self.dataset} must be two numbers. Got None.")
            return
        if self.engine != "grid":
            raise ValueError(f"`engine` of {self.form} must be grid. Got {self.engine}.")
        if self.output_rate is not None and not (isfinite(self.output_rate) and self.output_rate > 0):
            raise ValueError(f"`output_rate` must be a finite number > 0. Got {self.output_rate}.")
        if self.loss not in LOSSES:
            raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}. Got {self.loss!r}.")
        drawn = (self.hidden_weights, self.recurrent_weights)
        if self.xi is not None and drawn != (None, None):
            raise ValueError(
                f"`xi` draws the weights in place of `hidden_weights` and the recurrent ones. Got {drawn}."
            )
        if self.xi is None and None in drawn:
            raise ValueError(f"`xi` must be given, or `hidden_weights` and `recurrent_weights`. Got {drawn}.")
        if self.xi is not None and not (isfinite(self.xi) and self.xi > 0):
            raise ValueError(f"`xi` must be a finite number > 0. Got {self.xi}.")
        for name, allowed in _PARTIAL.items():
            if self.form not in allowed and getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"`{name}` needs the data set {' or '.join(allowed)}. Got {self.dataset}.")
        if self.leave_out is not None and self.split_seed:
            raise ValueError(f"`split_seed` must be 0 with `leave_out`, which is no draw. Got {self.split_seed}.")

    def _check_choices(self) -> None:
        if form_of(self.dataset) is None:
            raise ValueError(f"`dataset` must be one of {', '.join(DATASETS)}. Got {self.dataset!r}.")
        named = {"gradient": GRADIENTS, "engine": ENGINES, "delays": DELAYS, "label_from": LABELS, "ear": EAR_NAMES}
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


def form_of(dataset: str) -> str | None:
    """The entry of `DATASETS` that a name belongs to: "spikes:a.h5" to "spikes:FILE.h5"; None if there is none."""
    kind, colon, path = dataset.partition(":")
    if colon:
        return next((form for form in NAMING if path and form.startswith(f"{kind}:")), None)
    return dataset if dataset in DATASETS else None


def takes_folder(dataset: str) -> bool:
    """Whether `data_dir` means anything to a data set."""
    return form_of(dataset) not in (*GENERATED, *NAMING)


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
    "plateau": (1, 10**9),
    "channels": (1, 1 << 16),
    "delay_line": (1, 1000),
    "shift": (0, 1 << 16),
    "split_seed": (0, 2**32 - 1),
}
_PAIRS = (
    "hidden_weights",
    "recurrent_weights",
    "output_weights",
    "lower_activity",
    "upper_activity",
    "target_activity",
    "ease_in",
)
_SPEECH_ONLY = (
    "recurrent_weights",
    "xi",
    "loss",
    "channels",
    "delay_line",
    "shift",
    "leave_out",
    "split_seed",
    "label_from",
    "ear",
    "output_rate",
    "drawn_times",
    "learned_times",
    "blend",
)
_PARTIAL = {
    "leave_out": ("fsdd", *NAMING),
    "split_seed": NAMING,
    "label_from": ("audio:FOLDER",),
    "ear": ("fsdd", "audio:FOLDER"),
    "channels": ("fsdd", *NAMING),
}
