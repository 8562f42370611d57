"""The commands and their options. Free of torch, so that help and bad usage are answered at once."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg, subcommand
from tyro.constructors import PrimitiveConstructorSpec

from ranvier.studies import DATASETS, DELAYS, documented
from ranvier.studies.config import EAR_NAMES, LABELS, LOSSES


class UsageError(Exception):
    """A command line that is wrong whatever the disk holds."""


def _optional(kind: type, metavar: str) -> Any:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda given: kind(given[0]),
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


def _choice(*choices: str) -> Any:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(choices) + "}",
        instance_from_str=lambda given: given[0],
        is_instance=lambda value: value is None or value in choices,
        str_from_instance=lambda value: [str(value)],
        choices=choices,
    )


def _defaults(name: str) -> str:
    """What the data sets have, those with the same value together, the most of them last and unnamed."""
    having: dict[object, list[str]] = {}
    for dataset in DATASETS:
        config = documented("yinyang", engine="grid") if (name, dataset) == ("dt", "yinyang") else documented(dataset)
        having.setdefault(getattr(config, name), []).append(dataset.partition(":")[0])
    having.pop(None, None)  # has no such setting
    most = max(having, key=lambda value: len(having[value]))
    told = [f"{value} for {' and '.join(named)}" for value, named in having.items() if value != most]
    return f"(default: {', '.join((*told, f'{most} for the others' if told else str(most)))})"


def _given(help_: str, hint: str = "") -> Any:
    return arg(help=help_, help_behavior_hint=hint)


@dataclass(frozen=True)
class _Network:
    """What network, on what data: common to the commands that build one."""

    dataset: Annotated[
        Positional[str | None],
        _optional(str, "{" + ",".join(DATASETS) + "}"),
        _given(
            "What to learn. yinyang and yinyang-delays need no files; FILE.h5 has the layout of SHD, FOLDER sounds.",
            "(required for a new network)",
        ),
    ] = None
    gradient: Annotated[
        str | None,
        _choice("eventprop", "surrogate"),
        _given("How credit flows back.", "(default: eventprop)"),
    ] = None
    engine: Annotated[
        str | None,
        _choice("grid", "exact"),
        _given("A time grid, or continuous time.", "(default: exact for yinyang with eventprop, else grid)"),
    ] = None
    delays: Annotated[
        str | None,
        _choice(*DELAYS),
        _given("Delays to learn; needs yinyang-delays.", "(default: synaptic)"),
    ] = None
    bias_spike: Annotated[bool, _given("Give yinyang-delays a fifth input that always spikes.")] = False
    surrogate: Annotated[
        str | None,
        _choice("superspike", "sigmoid", "esser"),
        _given("Shape of the surrogate; needs --gradient surrogate.", "(default: superspike)"),
    ] = None
    seed: Annotated[
        int | None, _optional(int, "N"), _given("Of weights and whatever else is drawn.", "(default: 0)")
    ] = None
    hidden: Annotated[int | None, _optional(int, "N"), _given("Hidden neurons.", _defaults("hidden"))] = None
    dt: Annotated[
        float | None,
        _optional(float, "S"),
        _given("Time step of the grid in seconds; needs --engine grid.", _defaults("dt")),
    ] = None
    loss: Annotated[
        str | None,
        _choice(*LOSSES),
        _given(
            "Of speech: what of the readouts' membranes counts.", "(default: exponential; maximum with a surrogate)"
        ),
    ] = None
    channels: Annotated[
        int | None,
        _optional(int, "N"),
        _given("Of speech: channels of the inner ear.", "(default: 700, or the file's)"),
    ] = None
    delay_line: Annotated[
        int | None, _optional(int, "N"), _given("Of speech: copies of the input, 30 ms apart.", "(default: 1)")
    ] = None
    leave_out: Annotated[
        str | None,
        _optional(str, "SPEAKER"),
        _given("Of speech: test on this speaker, validate on the next one.", "(default: the data set's own parts)"),
    ] = None
    split_seed: Annotated[
        int | None,
        _optional(int, "N"),
        _given("Of the tenths for validation and test; needs spikes:FILE.h5 or audio:FOLDER.", "(default: 0)"),
    ] = None
    label_from: Annotated[
        str | None,
        _choice(*LABELS),
        _given("Where recordings have their class; needs audio:FOLDER.", "(default: name)"),
    ] = None
    ear: Annotated[
        str | None,
        _choice(*EAR_NAMES),
        _given("Model of the ear that hears recordings; needs fsdd or audio:FOLDER.", "(default: speech)"),
    ] = None
    data_dir: Annotated[
        str | None,
        _optional(str, "D"),
        _given("Folder with the data set's files.", "(default: the user's cache folder, filled on first use)"),
    ] = None


@dataclass(frozen=True)
class Train(_Network):
    """Train a network on a data set, or continue a run that was stopped.

    Settings not given are the data set's documented ones; they are printed at the start.
    """

    epochs: Annotated[
        int | None, _optional(int, "N"), _given("Passes over the training data.", _defaults("epochs"))
    ] = None
    batch_size: Annotated[int | None, _optional(int, "N"), _given("Samples per step.", _defaults("batch_size"))] = None
    learning_rate: Annotated[
        float | None, _optional(float, "X"), _given("Adam's, in the first epoch.", _defaults("learning_rate"))
    ] = None
    threads: Annotated[
        int | None,
        _optional(int, "N"),
        _given("CPU threads of each process.", "(default: torch's choice; under torchrun equal shares)"),
    ] = None
    out: Annotated[
        str | None,
        _optional(str, "DIR"),
        _given("Folder for the run, new or empty.", "(default: runs/<dataset>-<time>)"),
    ] = None
    resume: Annotated[
        str | None,
        _optional(str, "DIR"),
        _given("Continue this run with its own settings; only --epochs, --data-dir and --json may be given too."),
    ] = None
    json: Annotated[bool, _given("Print the result as one JSON object.")] = False


@dataclass(frozen=True)
class Evaluate:
    """Measure the final weights of a run on the test set."""

    run: Annotated[Positional[str | None], _optional(str, "RUN"), _given("The run's folder.", "(required)")] = None
    data_dir: Annotated[
        str | None,
        _optional(str, "D"),
        _given("Folder with the data set's files.", "(default: as in training)"),
    ] = None
    json: Annotated[bool, _given("Print the result as one JSON object.")] = False


@dataclass(frozen=True)
class Check(_Network):
    """Check the gradients of a fresh network, or of a run's final weights, against central differences.

    Ends with code 0 if they are right, or a surrogate's and so biased by design, and with 1 if they are wrong or there
    is no verdict.
    """

    run: Annotated[
        str | None,
        _optional(str, "DIR"),
        _given("Check this run's network; only --samples, --data-dir and --json may be given too."),
    ] = None
    samples: Annotated[int | None, _optional(int, "N"), _given("Validation samples to check on.", "(default: 8)")] = (
        None
    )
    json: Annotated[bool, _given("Print the report as one JSON object.")] = False


@dataclass(frozen=True)
class Info:
    """Show versions, backends, threads and the cache folder."""

    json: Annotated[bool, _given("Print them as one JSON object.")] = False


@dataclass(frozen=True)
class Warmup:
    """Compile ahead what the documented settings of `ranvier train` run, into the cache folder.

    For images of containers and for clusters: a job then starts at once, also where the cache can only be read. Kernels
    are compiled for this processor, and for as many threads as torch uses here, one or several.
    """

    json: Annotated[bool, _given("Print the result as one JSON object.")] = False


@dataclass(frozen=True)
class Encode:
    """Turn recordings into spikes with a model of the inner ear, in one file of the layout of SHD.

    Continues where an interrupted command of the same settings stopped. Files that cannot be read are left out, told,
    and end the command with code 1.
    """

    inputs: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="PATH", help="Folders of wav or flac files, and such files.", help_behavior_hint="(required)"),
    ] = ()
    out: Annotated[
        str | None, _optional(str, "FILE"), _given("The new HDF5 file.", "(required; usually ends in .h5)")
    ] = None
    channels: Annotated[int, _optional(int, "N"), _given("Places along the basilar membrane.", "(default: 700)")] = 700
    label_from: Annotated[
        str,
        _choice("name", "folder"),
        _given(
            "Where a recording's class is told: name is LABEL_SPEAKER_NUMBER.wav, folder is LABEL/SPEAKER_NUMBER.wav.",
            "(default: name)",
        ),
    ] = "name"
    ear: Annotated[
        str,
        _choice(*EAR_NAMES),
        _given("That of the Heidelberg data sets, or one that makes more of speech.", "(default: heidelberg)"),
    ] = "heidelberg"
    causal: Annotated[
        bool, _given("Let waves in the ear travel forwards in time; the Heidelberg data sets' travel backwards.")
    ] = False
    seed: Annotated[int, _optional(int, "N"), _given("Of the nerve fibres.", "(default: 0)")] = 0
    jobs: Annotated[int, _optional(int, "N"), _given("Recordings at a time.", "(default: 1)")] = 1
    json: Annotated[bool, _given("Print the result as one JSON object.")] = False


Command = Train | Evaluate | Check | Encode | Warmup | Info


def parse(arguments: Sequence[str]) -> Command:
    """Read a command line.

    Raises:
        UsageError: it is wrong.
        SystemExit: with code 0, after printing help.
    """
    errors = io.StringIO()
    form: Any = (
        Annotated[Train, subcommand("train")]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Check, subcommand("check")]
        | Annotated[Encode, subcommand("encode")]
        | Annotated[Warmup, subcommand("warmup")]
        | Annotated[Info, subcommand("info")]
    )
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                form,
                prog="ranvier",
                description="Train spiking neural networks at the cost of their spikes.",
                args=list(arguments),
                config=(OmitSubcommandPrefixes, FlagCreatePairsOff),
            )
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        raise UsageError(_first_sentence(errors.getvalue())) from None


def _first_sentence(box: str) -> str:
    """The message in the box that tyro draws: what stands above its first inner line."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│ ") for line in box.splitlines()]
    message: list[str] = []
    for line in lines:
        if line.startswith("╭"):
            continue
        if not line or line.startswith(("─", "╰")):
            break
        message.append(line)
    text = " ".join(message) or "The command line must be as `ranvier --help` says."
    return text if text.endswith(".") else f"{text}."
