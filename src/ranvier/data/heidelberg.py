"""The Spiking Heidelberg Digits and Spiking Speech Commands: spoken words as the spikes of a model of the inner ear.

The files stay compressed on their site and are unpacked into the user's cache folder, for HDF5 cannot be read from a
gzip file sample by sample. Their checksums are those that the site publishes beside them.

Cramer, Stradmann, Schemmel & Zenke, The Heidelberg spiking data sets, IEEE TNNLS 33:2744 (2022), arXiv 1910.07407.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import torch

from ranvier.data.download import download_unpacked
from ranvier.data.events import EventRules
from ranvier.data.labelled import Splits
from ranvier.data.load import stored_splits
from ranvier.data.spike_file import SpikeFile
from ranvier.data.split import ByColumn, Parts, distinct
from ranvier.data.stored import StoredSpikes
from ranvier.errors import DataError

HEIDELBERG = "https://zenkelab.org/datasets/"
_SHD = ("shd_train.h5", "shd_test.h5")
_SSC = ("ssc_train.h5", "ssc_valid.h5", "ssc_test.h5")
_SHD_CLASSES, _SSC_CLASSES = 20, 35


def load_shd(
    data_dir: str | PathLike[str] | None = None,
    *,
    duration: float = 1.4,
    validation_speakers: Iterable[int | str] | None = None,
    rules: EventRules | None = None,
    base_url: str | None = None,
) -> Splits[StoredSpikes]:
    """Spiking Heidelberg Digits: zero to nine in English, then in German, 20 classes on 700 channels.

    The set has no validation part. Here whole speakers of the training file validate, because two speakers occur only
    in the test file: a validation set of known voices would flatter the network. Nothing of the test file is used.

    Args:
        data_dir: folder with shd_train.h5 and shd_test.h5, of which the structure is checked. None takes the
            published files from the user's cache folder, downloading them on first use.
        duration: seconds. 1.4 holds nearly every sample whole; Nowotny, Turner & Knight crop to 1.0.
        validation_speakers: numbers in `extra/speaker` of the training file; by default the highest one there. None
            at all, `()`, leaves the whole file for training, as for a last training after all choices.
        rules: what becomes of events that are not finite, negative, late or unsorted: see `EventRules`.
        base_url: download from here instead; only used without `data_dir`.

    Returns:
        Splits of 20 classes in continuous time, read batch by batch.

    Raises:
        DataError: a file is missing or damaged, a speaker does not occur, or the files cannot be downloaded.
        ValueError: an argument is out of range, or `base_url` is given together with `data_dir`.
    """
    train, test = _files(_SHD, "shd", data_dir, base_url)
    if validation_speakers is None:
        validation_speakers = distinct(train.column("speaker"))[-1:]
    parts = ByColumn("speaker", validation=validation_speakers)(train)
    return stored_splits(train, parts, test, duration=duration, n_classes=_SHD_CLASSES, rules=rules)


def load_ssc(
    data_dir: str | PathLike[str] | None = None,
    *,
    duration: float = 1.4,
    rules: EventRules | None = None,
    base_url: str | None = None,
) -> Splits[StoredSpikes]:
    """Spiking Speech Commands: 35 words on 700 channels, with a validation file of their own.

    Args:
        data_dir: folder with ssc_train.h5, ssc_valid.h5 and ssc_test.h5, of which the structure is checked. None takes
            the published files from the user's cache folder, downloading them on first use.
        duration: seconds.
        rules: what becomes of events that are not finite, negative, late or unsorted: see `EventRules`.
        base_url: download from here instead; only used without `data_dir`.

    Returns:
        Splits of 35 classes in continuous time, read batch by batch.

    Raises:
        DataError: a file is missing or damaged, or the files cannot be downloaded.
        ValueError: an argument is out of range, or `base_url` is given together with `data_dir`.
    """
    train, validation, test = _files(_SSC, "ssc", data_dir, base_url)
    none = torch.zeros(0, dtype=torch.int64)
    parts = Parts(torch.arange(len(train)), none, none)
    return stored_splits(
        train, parts, test, validated=validation, duration=duration, n_classes=_SSC_CLASSES, rules=rules
    )


def _files(
    names: tuple[str, ...], cache: str, data_dir: str | PathLike[str] | None, base_url: str | None
) -> list[SpikeFile]:
    if data_dir is None:
        import pooch

        folder = Path(pooch.os_cache("ranvier")) / cache
        download_unpacked(names, base_url or HEIDELBERG, folder)
        return [SpikeFile(folder / name) for name in names]
    if base_url is not None:
        raise ValueError(f"`base_url` must be None when `data_dir` is given: nothing is fetched. Got {base_url!r}.")
    folder = Path(data_dir)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        packed = ", of which some are still compressed (gunzip them)" if _packed(folder, missing) else ""
        raise DataError(
            f"`data_dir` (--data-dir) must be a folder with {', '.join(names)}. "
            f"Got {folder} without {', '.join(missing)}{packed}."
        )
    return [SpikeFile(folder / name) for name in names]


def _packed(folder: Path, names: list[str]) -> bool:
    return any((folder / f"{name}.gz").is_file() for name in names)
