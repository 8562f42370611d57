"""MNIST and Fashion-MNIST as latency-coded spikes, from the four IDX files of their authors.

With `data_dir` the files are the user's own: they must be sound IDX files that fit each other, but need not
be the published ones, and nothing is ever written there. Without it they are fetched into the user's cache
folder, and only the published bytes are accepted.

MNIST: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, Proc. IEEE
86:2278 (1998). Fashion-MNIST: Xiao, Rasul & Vollgraf, arXiv 1708.07747 (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from ranvier.data.download import download
from ranvier.data.encode import pixel_latency
from ranvier.data.idx import read_idx
from ranvier.data.labelled import LabelledSpikes, Splits
from ranvier.errors import DataError

_N_CLASSES = 10
_TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        folder: its name in the cache folder.
        base_url: where the four files are.
        checksums: MD5 of the compressed files, by file name.
    """

    folder: str
    base_url: str
    checksums: Mapping[str, str]


MNIST = Source(
    folder="mnist",
    base_url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    checksums={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
FASHION_MNIST = Source(
    folder="fashion-mnist",
    base_url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    checksums={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)


def load_mnist(
    data_dir: str | PathLike[str] | None = None,
    *,
    t_max: float = 20e-3,
    duration: float = 40e-3,
    n_validation: int = 5000,
    base_url: str | None = None,
) -> Splits:
    """Handwritten digits, bright pixels spike first: 55,000 / 5,000 / 10,000 images of 28 x 28.

    Encoding, `t_max` and the validation split (the first training images) are those of Wunderlich & Pehle,
    Sci. Rep. 11:12829 (2021). The default `duration` leaves the network as long again after the last input.

    Args:
        data_dir: folder with the four IDX files under their canonical names, with or without .gz (with, if
            both are there). Their structure is checked (format, sizes, labels 0 to 9), not their checksum, so
            that data of the same form can be used. None takes the published files from the user's cache
            folder, downloading them on first use.
        t_max: seconds, 0 < t_max <= duration, the time that a black pixel would have: see `pixel_latency`.
        duration: seconds, of each sample.
        n_validation: how many images, from the first on, leave the training set for validation; 0 for none.
        base_url: download from here instead, the same bytes; only used without `data_dir`.

    Returns:
        Splits of 10 classes; inputs have `unit_shape` (28, 28).

    Raises:
        DataError: a file is missing, damaged, does not fit the others, or cannot be downloaded.
        ValueError: an argument is out of range, or `base_url` is given together with `data_dir`.
    """
    return _load(MNIST, data_dir, t_max, duration, n_validation, base_url)


def load_fashion_mnist(
    data_dir: str | PathLike[str] | None = None,
    *,
    t_max: float = 20e-3,
    duration: float = 40e-3,
    n_validation: int = 5000,
    base_url: str | None = None,
) -> Splits:
    """Pictures of clothing, in form and size like MNIST: see `load_mnist`, which has the same arguments."""
    return _load(FASHION_MNIST, data_dir, t_max, duration, n_validation, base_url)


def _load(
    source: Source,
    data_dir: str | PathLike[str] | None,
    t_max: float,
    duration: float,
    n_validation: int,
    base_url: str | None,
) -> Splits:
    if data_dir is not None and base_url is not None:
        raise ValueError(f"`base_url` must be None when `data_dir` is given: nothing is fetched. Got {base_url!r}.")
    if n_validation < 0:
        raise ValueError(f"`n_validation` must be >= 0. Got {n_validation}.")
    files = _cached(source, base_url) if data_dir is None else _own(Path(data_dir))
    images, labels = _read(*(files[name] for name in _TRAIN))
    test_images, test_labels = _read(*(files[name] for name in _TEST))
    if n_validation >= len(images):
        raise ValueError(f"`n_validation` must leave some of the {len(images)} training images. Got {n_validation}.")
    if images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{files[_TEST[0]]} must hold images of {tuple(images.shape[1:])} pixels, as for training. "
            f"Got {tuple(test_images.shape[1:])}."
        )

    def encode(images: Tensor, labels: Tensor) -> LabelledSpikes:
        return LabelledSpikes(pixel_latency(images, t_max, duration=duration), labels, _N_CLASSES)

    return Splits(
        train=encode(images[n_validation:], labels[n_validation:]),
        validation=encode(images[:n_validation], labels[:n_validation]),
        test=encode(test_images, test_labels),
    )


def _cached(source: Source, base_url: str | None) -> dict[str, Path]:
    import pooch

    folder = Path(pooch.os_cache("ranvier")) / source.folder
    download(source.checksums, base_url or source.base_url, folder)
    return {name: folder / name for name in source.checksums}


def _own(folder: Path) -> dict[str, Path]:
    names = (*_TRAIN, *_TEST)
    candidates = {name: (folder / name, folder / name.removesuffix(".gz")) for name in names}
    found = {name: path for name, paths in candidates.items() for path in reversed(paths) if path.is_file()}
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"`data_dir` (--data-dir) must be a folder with {', '.join(names)}, or the same without .gz. "
            f"Got {folder} without {', '.join(missing)}."
        )
    return found


def _read(images_file: Path, labels_file: Path) -> tuple[UInt8[Tensor, "batch row column"], Tensor]:
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(labels) != len(images):
        raise DataError(
            f"{labels_file} must hold one label per image of {images_file.name}, {len(images)}. Got {len(labels)}."
        )
    if int(labels.max()) >= _N_CLASSES:
        raise DataError(f"{labels_file} must hold labels in 0 to {_N_CLASSES - 1}. Got {int(labels.max())}.")
    return images, labels.to(torch.int64)
